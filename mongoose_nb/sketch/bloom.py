"""Bloom filters: a set of keys or k-mers in a few bits each, without false negatives."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np

from mongoose_nb.core import files
from mongoose_nb.core.arrays import aligned_zeros, read_only
from mongoose_nb.core.registry import describe
from mongoose_nb.core.threads import ROWS_FROM
from mongoose_nb.core.types import PathLike
from mongoose_nb.core.validation import check_int, check_number
from mongoose_nb.sketch.keys import as_keys
from mongoose_nb.sketch.kmer_hash import MOST_BITS, KmerHash, as_hasher
from mongoose_nb.sketch.storage import check_version, take

KIND = "bloom_filter"
VERSION = 1


def bits_for(n: int, fpr: float, n_hashes: int) -> int:
    """Bits of a filter that has the false-positive rate `fpr` when `n` keys are in it.

    Parameters
    ----------
    n : int
    fpr : float
    n_hashes : int

    Returns
    -------
    int
        A multiple of 512: -n h / ln(1 - fpr^(1/h)), rounded up.
    """
    bits = -n * n_hashes / math.log1p(-fpr ** (1 / n_hashes))
    return max(1024, -(-math.ceil(bits) // 512) * 512)


class BloomFilter:
    """A set that answers "no" only if a key was not inserted, and "yes" to a small share of the others.

    Parameters
    ----------
    hasher : KmerHash, optional
        Then the keys are the k-mers of sequences, and the filter has ``hasher.bits`` bits. Without it, keys are integers, strings or bytes.
    n : int, optional
        Number of keys that the filter is made for.
    fpr : float
        False-positive rate when `n` keys are in it.
    bits : int, optional
        Size, instead of `n` and `fpr`.
    n_hashes : int, optional
        By default the best for `n` and `fpr`; with `bits`, 4.
    seed : int

    Examples
    --------
    >>> from mongoose_nb.sketch import BloomFilter, IDLHash
    >>> names = BloomFilter(n=1000, fpr=0.01)
    >>> names.insert(["ada", "grace"])
    2
    >>> "ada" in names, "alan" in names
    (True, False)
    >>> genes = BloomFilter(IDLHash(k=5, t=3, bits=2**16))
    >>> genes.insert("ACGTTGCA")
    4
    >>> genes.query("TGCAACG")
    True
    """

    def __init__(self, hasher: KmerHash | None = None, *, n: int | None = None, fpr: float = 0.01, bits: int | None = None,
                 n_hashes: int | None = None, seed: int = 0) -> None:
        if isinstance(hasher, int | float):
            raise TypeError(f"the first argument is a k-mer hash; for a filter of {hasher!r} keys give n={hasher!r}")
        self.hasher = None if hasher is None else as_hasher(hasher)
        if self.hasher is not None:
            if n is not None or bits is not None or n_hashes is not None:
                raise ValueError("a filter with a hasher has the hasher's bits and n_hashes; give no n, bits or n_hashes")
            self.bits, self.n_hashes, self.seed = self.hasher.bits, self.hasher.n_hashes, self.hasher.seed
        else:
            if (n is None) == (bits is None):
                raise ValueError("give either n (with fpr) or bits, or a k-mer hash")
            fpr = check_number("fpr", fpr, low=0, high=1, open_low=True, open_high=True)
            best = max(1, min(64, round(-math.log2(fpr)))) if bits is None else 4
            self.n_hashes = check_int("n_hashes", best if n_hashes is None else n_hashes, low=1, high=64)
            size = bits if bits is not None else bits_for(check_int("n", n, low=1), fpr, self.n_hashes)
            self.bits = check_int("bits", size, low=1024, high=MOST_BITS)
            self.seed = check_int("seed", seed, low=0, high=(1 << 63) - 1)
        self._filled = aligned_zeros(-(-self.bits // 8), np.uint8)

    def __repr__(self) -> str:
        of = f"{self.hasher!r}" if self.hasher is not None else f"bits={self.bits}, n_hashes={self.n_hashes}, seed={self.seed}"
        return f"BloomFilter({of})"

    # --- keys ---------------------------------------------------------------------------------------------------------

    def insert(self, keys: Any) -> int:
        """Insert keys, or all k-mers of a sequence.

        Parameters
        ----------
        keys : keys, or a sequence or list of sequences where the filter has a k-mer hash

        Returns
        -------
        int
            Number of keys or k-mers, repeated ones included.
        """
        import numba

        from mongoose_nb.kernels.sketch import bits as kernels

        self._check_writeable()
        alone = numba.get_num_threads() == 1
        if self.hasher is None:
            words = as_keys(keys)
            if len(words) < ROWS_FROM:
                kernels.insert_few_keys(words, np.uint64(self.seed), self.n_hashes, np.uint64(self.bits), self._filled)
            else:
                kernels.insert_keys(words, np.uint64(self.seed), self.n_hashes, np.uint64(self.bits), alone, self._filled)
            return len(words)
        text, count = self.hasher.text_of(keys)
        return int(kernels.insert_kmers(text, count, self.hasher.plan(), kernels.FILTER, alone, self._filled)) if count else 0

    def contains(self, keys: Any) -> np.ndarray:
        """Whether each key, or each k-mer of a sequence, may have been inserted.

        Parameters
        ----------
        keys
            As for `insert`.

        Returns
        -------
        (n,) bool
            False is certain. K-mers are in the order of the sequence, those with other letters left out.
        """
        from mongoose_nb.kernels.sketch import bits as kernels

        if self.hasher is None:
            words = as_keys(keys)
            found = np.empty(len(words), np.bool_)
            test = kernels.test_few_keys if len(words) < ROWS_FROM else kernels.test_keys
            test(words, np.uint64(self.seed), self.n_hashes, np.uint64(self.bits), read_only(self._filled), found)
            return found
        text, count = self.hasher.text_of(keys)
        answers = np.empty(count, np.uint8)
        if count:
            kernels.test_kmers(text, count, self.hasher.plan(), read_only(self._filled), answers)
        return answers[answers < 2] == 1

    def __contains__(self, key: Any) -> bool:
        return self.query(key) if self.hasher is not None else bool(self.contains([key])[0])

    def share(self, sequence: Any) -> float:
        """Share of the k-mers of a sequence that are in the filter; NaN for a sequence without k-mers.

        Parameters
        ----------
        sequence
            As for `KmerHash.addresses`.

        Returns
        -------
        float
        """
        if self.hasher is None:
            raise ValueError("this filter holds single keys; make one for k-mers of sequences: BloomFilter(IDLHash(...))")
        found = self.contains(sequence)
        return float(found.mean()) if len(found) else math.nan

    def query(self, sequence: Any, threshold: float = 1.0) -> bool:
        """Whether at least `threshold` of the k-mers of a sequence are in the filter; False for a sequence without k-mers.

        Parameters
        ----------
        sequence
            As for `KmerHash.addresses`.
        threshold : float
            In (0, 1].

        Returns
        -------
        bool
        """
        threshold = check_number("threshold", threshold, low=0, high=1, open_low=True)
        return self.share(sequence) >= threshold

    # --- the filter as a whole ------------------------------------------------------------------------------------------

    @property
    def nbytes(self) -> int:
        """Bytes of the bits."""
        return self._filled.nbytes

    def _count(self):
        from mongoose_nb.kernels.sketch.bits import count_bits

        parts = np.zeros(64, np.int64)
        count_bits(read_only(self._filled), parts)
        return int(parts.sum())

    def fill(self) -> float:
        """Share of the bits that are set."""
        return self._count() / self.bits

    def false_positive_rate(self) -> float:
        """Probability that a key that was not inserted is reported as inserted: the fill to the power of `n_hashes`."""
        return self.fill() ** self.n_hashes

    def estimate(self) -> float:
        """Estimate of the number of different keys, -bits / n_hashes ln(1 - fill); infinite for a filter that is full."""
        fill = self.fill()
        return math.inf if fill >= 1 else -self.bits / self.n_hashes * math.log1p(-fill)

    def largest_load(self, window: int = 512) -> float:
        """Share of the bits that are set in the fullest window: repeats of few letters fill few windows with `IDLHash`.

        Parameters
        ----------
        window : int
            Bits, a multiple of 8.

        Returns
        -------
        float
        """
        window = check_int("window", window, low=8)
        if window % 8:
            raise ValueError(f"window is {window}; it must be a multiple of 8")
        ones = np.bitwise_count(self._filled)
        return float(np.add.reduceat(ones, np.arange(0, len(ones), window // 8), dtype=np.int64).max() / window)

    def _check_writeable(self):
        if not self._filled.flags.writeable:
            raise ValueError("this filter is mapped and cannot be changed; load it with mmap=False")

    def _check_alike(self, other):
        if not isinstance(other, BloomFilter):
            raise TypeError(f"a filter is joined with another filter; got a {type(other).__name__}")
        if repr(self) != repr(other):
            raise ValueError(f"the filters have different functions or sizes: {self!r} and {other!r}; only equal ones can be joined")

    def _joined(self, other, operation):
        self._check_alike(other)
        new = self.like()
        operation(self._filled, other.bytes_of(), out=new.bytes_of())
        return new

    def bytes_of(self) -> np.ndarray:
        """The bytes themselves: bit `a` is bit ``a & 7`` of byte ``a >> 3``."""
        return self._filled

    def like(self) -> BloomFilter:
        """An empty filter with the same functions and size."""
        if self.hasher is not None:
            return type(self)(self.hasher)
        return type(self)(bits=self.bits, n_hashes=self.n_hashes, seed=self.seed)

    def __or__(self, other: BloomFilter) -> BloomFilter:
        return self._joined(other, np.bitwise_or)

    def __and__(self, other: BloomFilter) -> BloomFilter:
        return self._joined(other, np.bitwise_and)

    def union(self, other: BloomFilter) -> BloomFilter:
        """A filter with the keys of both: bit for bit what inserting all of them gives.

        Parameters
        ----------
        other : BloomFilter
            With the same functions and size.

        Returns
        -------
        BloomFilter
        """
        return self | other

    def merge(self, other: BloomFilter) -> Self:
        """Take in the keys of another filter: bit for bit what inserting them gives.

        Parameters
        ----------
        other : BloomFilter
            With the same functions and size.

        Returns
        -------
        BloomFilter
            self
        """
        self._check_alike(other)
        self._check_writeable()
        np.bitwise_or(self._filled, other.bytes_of(), out=self._filled)
        return self

    def intersection(self, other: BloomFilter) -> BloomFilter:
        """A filter that has at least the keys that are in both; others more often than a filter of these keys alone.

        Parameters
        ----------
        other : BloomFilter
            With the same functions and size.

        Returns
        -------
        BloomFilter
        """
        return self & other

    # --- files ----------------------------------------------------------------------------------------------------------

    def save(self, path: PathLike) -> None:
        """Write the filter to a file.

        Parameters
        ----------
        path : path-like
        """
        settings = {"version": VERSION, "hasher": None if self.hasher is None else describe(self.hasher, "hasher"), "bits": self.bits,
                    "n_hashes": self.n_hashes, "seed": self.seed}
        files.save(path, KIND, settings, {"filled": self._filled})

    @classmethod
    def load(cls, path: PathLike, *, mmap: bool = False) -> BloomFilter:
        """Read a filter.

        Parameters
        ----------
        path : path-like
        mmap : bool
            Map the bits read-only instead of reading them.

        Returns
        -------
        BloomFilter
        """
        settings, arrays = files.load(path, KIND, mmap=mmap)
        check_version(path, settings, VERSION)
        self = cls.__new__(cls)
        self.hasher = None if settings["hasher"] is None else as_hasher(settings["hasher"])
        self.bits, self.n_hashes, self.seed = settings["bits"], settings["n_hashes"], settings["seed"]
        self._filled = take(path, arrays, "filled", np.uint8, (-(-self.bits // 8),), mmap)
        return self
