"""The abstraction of hashes of k-mers: from a sequence to addresses in a filter of bits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mongoose_nb.core.registry import Registered, describe, make
from mongoose_nb.core.validation import check_int
from mongoose_nb.sketch.sequences import as_text

if TYPE_CHECKING:
    from mongoose_nb.kernels.sketch.kmers import Hash

#: letters of the longest k-mer: two bits for each in a word of 64
LONGEST_KMER = 32
#: bits of the largest filter
MOST_BITS = 1 << 40


class KmerHash(Registered, kind="k-mer hash"):
    """Hash functions of k-mers. A k-mer and its reverse complement have the same addresses.

    Parameters
    ----------
    k : int
        Letters of a k-mer, 1 to 32.
    n_hashes : int
        Addresses of a k-mer, 1 to 64.
    bits : int
        Addresses are below it.
    seed : int
    """

    def __init__(self, k: int, n_hashes: int, bits: int, seed: int) -> None:
        self.k = check_int("k", k, low=1, high=LONGEST_KMER)
        self.n_hashes = check_int("n_hashes", n_hashes, low=1, high=64)
        self.bits = check_int("bits", bits, low=1024, high=MOST_BITS)
        self.seed = check_int("seed", seed, low=0, high=(1 << 63) - 1)

    def plan(self, bits: int | None = None) -> Hash:
        """What kernels have to know.

        Parameters
        ----------
        bits : int, optional
            Of a filter of another size.
        """
        raise NotImplementedError

    def for_bits(self, bits: int) -> KmerHash:
        """The same functions for a filter of another size.

        Parameters
        ----------
        bits : int

        Returns
        -------
        KmerHash
        """
        return type(self)(**{**self.config(), "bits": bits})

    def same(self, other: Any, *, bits: bool = True) -> bool:
        """Whether another object has the same functions.

        Parameters
        ----------
        other : object
        bits : bool
            Whether the number of bits matters.

        Returns
        -------
        bool
        """
        if not isinstance(other, KmerHash):
            return False
        mine, its = describe(self), describe(other)
        return all(mine[name] == its.get(name) for name in mine if bits or name != "bits") and len(mine) == len(its)

    def addresses(self, sequence: Any) -> np.ndarray:
        """Addresses of the k-mers of a sequence, in their order.

        Parameters
        ----------
        sequence : str, bytes, array of uint8, or list of these
            Letters other than A, C, G, T and U, in either case, end a k-mer: k-mers that contain one are left out.

        Returns
        -------
        (k-mers, n_hashes) uint64
            Below `bits`.
        """
        from mongoose_nb.kernels.sketch.bits import list_addresses

        text, count = self.text_of(sequence)
        good, out = np.empty(count, np.uint8), np.empty((count, self.n_hashes), np.uint64)
        if count:
            list_addresses(text, count, self.plan(), good, out)
        return out if good.all() else out[good > 0]

    def kmers(self, sequence: Any) -> np.ndarray:
        """The k-mers of a sequence as numbers, two bits for each letter: A 0, C 1, G 2, T 3, the first letter highest.

        Of a k-mer and its reverse complement the smaller number stands for both.

        Parameters
        ----------
        sequence
            As for `addresses`.

        Returns
        -------
        (k-mers,) uint64
        """
        from mongoose_nb.kernels.sketch.bits import list_kmers

        text, count = self.text_of(sequence)
        good, out = np.empty(count, np.uint8), np.empty(count, np.uint64)
        if count:
            list_kmers(text, count, self.plan(), good, out)
        return out[good > 0]

    def text_of(self, sequence: Any) -> tuple[np.ndarray, int]:
        """A sequence as letters, and the number of places where a k-mer may begin."""
        text = as_text(sequence)
        return text, max(0, len(text) - self.k + 1)


def as_hasher(hasher: Any) -> KmerHash:
    """A k-mer hash from itself, its name or its description.

    Parameters
    ----------
    hasher : KmerHash, str or dict

    Returns
    -------
    KmerHash
    """
    return make("k-mer hash", hasher)
