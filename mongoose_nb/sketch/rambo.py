"""RAMBO: repeated and merged Bloom filters (Gupta, Yan, Coleman, Kille, Elworth, Medini, Treangen and Shrivastava 2021)."""

from __future__ import annotations

from typing import Self

import numpy as np

from mongoose_nb.core import files
from mongoose_nb.core.arrays import aligned_zeros, read_only
from mongoose_nb.core.registry import describe
from mongoose_nb.core.types import PathLike
from mongoose_nb.core.validation import check_int
from mongoose_nb.sketch.documents import DocumentIndex, name_word
from mongoose_nb.sketch.kmer_hash import KmerHash, as_hasher
from mongoose_nb.sketch.storage import check_version, take

KIND = "rambo_index"
VERSION = 1


class RAMBOIndex(DocumentIndex):
    """Which documents have the k-mers of a query, with filters that documents share.

    In each of `n_reps` repetitions, a document goes into one of `n_buckets` filters, by a hash of its name that differs between the
    repetitions. A document may have a k-mer if its filters in all repetitions do. Memory does not depend on the number of documents.

    Parameters
    ----------
    hasher : KmerHash
        Its `bits` are those of every filter; a filter takes the k-mers of about one document in `n_buckets`.
    n_buckets, n_reps : int

    Notes
    -----
    With false-positive rate p of a filter, a document without the k-mer is reported with probability (p + (1 - p) / B)^R if one other
    document has it: either its filter errs, or it shares the filter with that document.

    References
    ----------
    Gupta et al., "Fast processing and querying of 170TB of genomics data via a repeated and merged Bloom filter (RAMBO)", arXiv 1910.04358.

    Examples
    --------
    >>> from mongoose_nb.sketch import IDLHash, RAMBOIndex
    >>> index = RAMBOIndex(IDLHash(k=15, t=9, bits=2**14), n_buckets=4, n_reps=3)
    >>> index = index.add("first", "ACGTTGCATGCATTTGCAGCATCAGGATC").add("second", "TTTTTTGGCGCGCGGATATATTAGAGACC")
    >>> index.search("TTGCATGCATTTGCAGCA", threshold=0.8)
    ['first']
    """

    def __init__(self, hasher: KmerHash, n_buckets: int, n_reps: int) -> None:
        super().__init__(hasher)
        self.n_buckets = check_int("n_buckets", n_buckets, low=1, high=1 << 16)
        self.n_reps = check_int("n_reps", n_reps, low=1, high=64)
        self._names: list[str] = []
        self._rows = aligned_zeros((self.n_reps, self.hasher.bits, -(-self.n_buckets // 8)), np.uint8)

    def __repr__(self) -> str:
        of = f"{self.hasher!r}, n_buckets={self.n_buckets}, n_reps={self.n_reps}"
        return f"RAMBOIndex({of}): {len(self):,} documents, {self.nbytes:,} bytes"

    @property
    def names(self) -> list[str]:
        """Names of the documents, in the order of the columns of `shares`."""
        return list(self._names)

    @property
    def nbytes(self) -> int:
        """Bytes of all filters."""
        return self._rows.nbytes

    def buckets_of(self, name: str) -> list[int]:
        """The filter of a document in each repetition.

        Parameters
        ----------
        name : str

        Returns
        -------
        list of int
            Independent between repetitions: hashes of the name with keys of their own.
        """
        return [name_word(f"{self.hasher.seed}/{r}/{name}") % self.n_buckets for r in range(self.n_reps)]

    def fills(self) -> np.ndarray:
        """Share of the bits that are set in every filter.

        Returns
        -------
        (n_reps, n_buckets) float64
        """
        out = np.empty((self.n_reps, self.n_buckets))
        for bucket in range(self.n_buckets):
            out[:, bucket] = ((self._rows[:, :, bucket >> 3] >> np.uint8(bucket & 7)) & np.uint8(1)).mean(axis=1)
        return out

    def _insert(self, documents):
        import numba

        from mongoose_nb.kernels.sketch import bits as kernels

        alone, plan, stride = numba.get_num_threads() == 1, self.hasher.plan(), self._rows.shape[2]
        for name, text, _ in documents:
            for rows, bucket in zip(self._rows, self.buckets_of(name)):
                place = kernels.Place(np.uint64(0), np.uint64(stride), np.uint64(bucket >> 3), np.uint8(1 << (bucket & 7)), np.uint8(0))
                kernels.insert_kmers(text, max(0, len(text) - self.hasher.k + 1), plan, place, alone, rows.reshape(-1))
            self._names.append(name)

    def _count(self, text, first, last):
        from mongoose_nb.kernels.sketch.columns import count_documents

        buckets = np.array([self.buckets_of(name) for name in self._names], np.int32).reshape(-1, self.n_reps).T
        members = np.argsort(buckets[0], kind="stable")
        member_start = np.zeros(self.n_buckets + 1, np.int64)
        np.cumsum(np.bincount(buckets[0], minlength=self.n_buckets), out=member_start[1:])
        counts, totals = np.zeros((len(first), len(self._names)), np.int32), np.zeros(len(first), np.int64)
        count_documents(text, first, last, self.hasher.plan(), read_only(self._rows.reshape(-1)), self._rows.shape, read_only(members),
                        read_only(member_start), read_only(np.ascontiguousarray(buckets)), counts, totals)
        return counts, totals

    # --- merging and files ----------------------------------------------------------------------------------------------

    def merge(self, other: RAMBOIndex) -> Self:
        """Take in the documents of another index, which may have been built elsewhere. Bit for bit what adding its documents gives.

        Parameters
        ----------
        other : RAMBOIndex
            With the same hash functions, buckets and repetitions, and different documents.

        Returns
        -------
        RAMBOIndex
            self
        """
        if self._mapped:
            raise ValueError("this index is mapped and cannot be changed; load it with mmap=False")
        if not isinstance(other, RAMBOIndex):
            raise TypeError(f"an index is merged with another of its kind; got a {type(other).__name__}")
        if not self.hasher.same(other.hasher) or (self.n_buckets, self.n_reps) != (other.n_buckets, other.n_reps):
            raise ValueError(f"the indexes have different functions: {self!r} and {other!r}; only indexes with the same can be merged")
        self._check_apart(other)
        self._rows |= other.rows()
        self._names += other.names
        return self

    def rows(self) -> np.ndarray:
        """The bits: (n_reps, bits, bytes of n_buckets) uint8."""
        return self._rows

    def save(self, path: PathLike) -> None:
        """Write the index to a file.

        Parameters
        ----------
        path : path-like
        """
        settings = {"version": VERSION, "hasher": describe(self.hasher, "hasher"), "n_buckets": self.n_buckets, "n_reps": self.n_reps,
                    "names": self._names}
        files.save(path, KIND, settings, {"rows": self._rows})

    @classmethod
    def load(cls, path: PathLike, *, mmap: bool = False) -> RAMBOIndex:
        """Read an index.

        Parameters
        ----------
        path : path-like
        mmap : bool
            Map the filters read-only instead of reading them. A mapped index answers queries, and takes no documents.

        Returns
        -------
        RAMBOIndex
        """
        settings, arrays = files.load(path, KIND, mmap=mmap)
        check_version(path, settings, VERSION)
        index = cls.__new__(cls)
        DocumentIndex.__init__(index, as_hasher(settings["hasher"]))
        index.n_buckets, index.n_reps, index._names = settings["n_buckets"], settings["n_reps"], list(settings["names"])
        index._rows = take(path, arrays, "rows", np.uint8, (index.n_reps, index.hasher.bits, -(-index.n_buckets // 8)), mmap)
        index._mapped = mmap
        return index
