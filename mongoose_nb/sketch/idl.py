"""IDL: hashes of k-mers that keep both identity and locality (Desai, Gupta, Zhang and Shrivastava 2024)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mongoose_nb.core.registry import register
from mongoose_nb.core.validation import check_int
from mongoose_nb.sketch.kmer_hash import KmerHash

if TYPE_CHECKING:
    from mongoose_nb.kernels.sketch.kmers import Hash

#: bits of a cache line: the base of a window is a multiple of it
LINE = 512
#: smallest and largest window
NARROWEST, WIDEST = 256, 1 << 20


@register("k-mer hash", "idl")
class IDLHash(KmerHash):
    """Addresses that neighbouring k-mers have in the same cache line, while different k-mers keep different addresses.

    The base of an address is a MinHash of the sub-k-mers of length `t`: two k-mers that follow each other share w - 1 of w + 1 sub-k-mers,
    w = k - t + 1, and have the same base with probability (w - 1) / (w + 1). The offset within a window of bits is a random hash of the
    k-mer itself. Answers of a filter are as exact as with `RandomHash`, and it reads fewer cache lines.

    Parameters
    ----------
    k, n_hashes, bits, seed
        See `KmerHash`.
    t : int
        Letters of a sub-k-mer, 1 to k. The longer, the fewer neighbours share a window; the shorter, the more other k-mers do.
    window : int
        Bits within which the offset lies, a power of two from 256 to 2^20. One cache line has 512.

    References
    ----------
    Desai, Gupta, Zhang, Shrivastava, "Improved data structures by hashing k-mers with locality" (IDL), arXiv 2406.14901.

    Examples
    --------
    >>> from mongoose_nb.sketch import IDLHash
    >>> lines = IDLHash(seed=1).addresses("ACGTTGCAAGCTTGCATCGGACTAGCATCGATCAGCT") // 512
    >>> lines.shape, len(set(lines[:, 0].tolist())) <= 3
    ((7, 4), True)
    """

    def __init__(self, k: int = 31, t: int = 16, n_hashes: int = 4, window: int = 512, bits: int = 2**24, seed: int = 0) -> None:
        super().__init__(k, n_hashes, bits, seed)
        self.t = check_int("t", t, low=1)
        if self.t > self.k:
            raise ValueError(f"t must be at most k; k={self.k} needs t <= {self.k}, and t is {self.t} (16 by default): "
                             f"give t={(self.k + 1) // 2}")
        self.window = check_int("window", window, low=NARROWEST, high=WIDEST)
        if window & (window - 1):
            raise ValueError(f"window is {window}; it must be a power of two, such as {1 << window.bit_length() - 1}")
        if window > bits:
            raise ValueError(f"window is {window} and bits is {bits}; a window must fit into the filter")

    @property
    def same_base_rate(self) -> float:
        """Share of neighbouring k-mers that have the same base, (w - 1) / (w + 1), where all sub-k-mers differ."""
        w = self.k - self.t + 1
        return (w - 1) / (w + 1)

    def plan(self, bits: int | None = None) -> Hash:
        """What kernels have to know; see `KmerHash.plan`."""
        from mongoose_nb.kernels.sketch.kmers import Hash

        window_bits = self.window.bit_length() - 1
        return Hash(self.k, self.t, self.n_hashes, window_bits, min(window_bits, LINE.bit_length() - 1),
                    np.uint64(self.bits if bits is None else bits), np.uint64(self.seed))
