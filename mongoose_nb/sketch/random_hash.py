"""Random addresses: what Bloom filters use, and what `IDLHash` is compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mongoose_nb.core.registry import register
from mongoose_nb.sketch.kmer_hash import KmerHash

if TYPE_CHECKING:
    from mongoose_nb.kernels.sketch.kmers import Hash


@register("k-mer hash", "random")
class RandomHash(KmerHash):
    """Random addresses in the whole filter, by double hashing of a mixed k-mer.

    Parameters
    ----------
    k, n_hashes, bits, seed
        See `KmerHash`.

    Examples
    --------
    >>> from mongoose_nb.sketch import RandomHash
    >>> RandomHash(k=5, n_hashes=3).addresses("ACGTTGCA").shape
    (4, 3)
    """

    def __init__(self, k: int = 31, n_hashes: int = 4, bits: int = 2**24, seed: int = 0) -> None:
        super().__init__(k, n_hashes, bits, seed)

    def plan(self, bits: int | None = None) -> Hash:
        """What kernels have to know; see `KmerHash.plan`."""
        from mongoose_nb.kernels.sketch.kmers import Hash

        return Hash(self.k, 0, self.n_hashes, 1, 0, np.uint64(self.bits if bits is None else bits), np.uint64(self.seed))
