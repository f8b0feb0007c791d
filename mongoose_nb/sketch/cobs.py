"""COBS: a Bloom filter for each document, stored bit by bit side by side (Bingmann, Bradley, Gauger and Iqbal 2019)."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np

from mongoose_nb.core import files
from mongoose_nb.core.arrays import aligned_zeros, read_only
from mongoose_nb.core.registry import describe
from mongoose_nb.core.types import PathLike
from mongoose_nb.core.validation import check_number
from mongoose_nb.sketch.bloom import bits_for
from mongoose_nb.sketch.documents import DocumentIndex, text_digest
from mongoose_nb.sketch.kmer_hash import KmerHash, as_hasher
from mongoose_nb.sketch.storage import check_version, take

KIND = "cobs_index"
VERSION = 1
#: documents of a group have sizes within this factor of each other
RATIO = 1.5
#: most documents of a group
MOST_COLUMNS = 512


class Group:
    """Filters of documents of similar sizes: all have as many bits as the largest of them needs."""

    def __init__(self, capacity: int, bits: int, rows: np.ndarray, names: list[str], digests: list[str]) -> None:
        self.capacity, self.bits, self.rows, self.names, self.digests = capacity, bits, rows, names, digests

    @property
    def stride(self) -> int:
        """Bytes of a row."""
        return self.rows.shape[1]

    def copy(self) -> Group:
        """Another group, of rows of its own."""
        rows = aligned_zeros(self.rows.shape, np.uint8)
        rows[...] = self.rows
        return Group(self.capacity, self.bits, rows, list(self.names), list(self.digests))

    def widen(self, columns: int) -> None:
        """Make room for so many documents in all."""
        need = -(-columns // 8)
        if need > self.stride:
            rows = aligned_zeros((self.bits, need), np.uint8)
            rows[:, :self.stride] = self.rows
            self.rows = rows


class COBSIndex(DocumentIndex):
    """Which documents have the k-mers of a query: one Bloom filter for each document, in groups of documents of similar size.

    A query reads, for each k-mer, `n_hashes` rows of each group and learns of all its documents at once. Nothing is lost: the share of a
    document is at least the true one.

    Parameters
    ----------
    hasher : KmerHash
        Its `bits` play no part: the filters of a group have the size that the largest document needs.
    fpr : float
        False-positive rate of a k-mer in a document of the largest size of a group. It may be high, because a query has many k-mers.

    References
    ----------
    Bingmann, Bradley, Gauger, Iqbal, "COBS: a compact bit-sliced signature index", arXiv 1905.09624.

    Examples
    --------
    >>> from mongoose_nb.sketch import COBSIndex, IDLHash
    >>> index = COBSIndex(IDLHash(k=15, t=9))
    >>> index = index.add("first", "ACGTTGCATGCATTTGCAGCATCAGGATC").add("second", "TTTTTTGGCGCGCGGATATATTAGAGACC")
    >>> index.search("TTGCATGCATTTGCAGCA", threshold=0.8)
    ['first']
    """

    def __init__(self, hasher: KmerHash, *, fpr: float = 0.1) -> None:
        super().__init__(hasher)
        self.fpr = check_number("fpr", fpr, low=0, high=1, open_low=True, open_high=True)
        self._groups: list[Group] = []

    def __repr__(self) -> str:
        return f"COBSIndex({self.hasher!r}, fpr={self.fpr}): {len(self):,} documents, {self.nbytes:,} bytes"

    @property
    def names(self) -> list[str]:
        """Names of the documents, in the order of the columns of `shares`."""
        return [name for group in self._groups for name in group.names]

    @property
    def digests(self) -> dict[str, str]:
        """`text_digest` of every document by name; empty for documents of files that earlier versions wrote."""
        return {name: digest for group in self._groups for name, digest in zip(group.names, group.digests)}

    @property
    def nbytes(self) -> int:
        """Bytes of all rows."""
        return sum(group.rows.nbytes for group in self._groups)

    def groups(self) -> list[dict[str, Any]]:
        """Documents, largest number of k-mers, bits of a filter, fill and bytes of every group."""
        out = []
        for group in self._groups:
            # the columns that are in use: the others are empty
            ones = sum(int(np.bitwise_count(group.rows[lo:lo + (1 << 22)]).sum(dtype=np.int64)) for lo in range(0, group.bits, 1 << 22))
            out.append({"documents": len(group.names), "capacity": group.capacity, "bits": group.bits,
                        "fill": ones / (group.bits * len(group.names)), "bytes": group.rows.nbytes})
        return out

    def capacity_for(self, n: int) -> int:
        """Number of k-mers for which the filter of a document with `n` k-mers is made: the next power of `RATIO`.

        Parameters
        ----------
        n : int

        Returns
        -------
        int
        """
        return max(n, math.ceil(RATIO ** math.ceil(round(math.log(max(n, 2), RATIO), 9))))

    def bits_of(self, capacity: int) -> int:
        """Bits of the filter of a document with so many k-mers.

        Parameters
        ----------
        capacity : int

        Returns
        -------
        int
        """
        return max(bits_for(capacity, self.fpr, self.hasher.n_hashes), getattr(self.hasher, "window", 0))

    def _insert(self, documents):
        import numba

        from mongoose_nb.kernels.sketch import bits as kernels

        waiting: dict[int, list] = {}
        for document in sorted(documents, key=lambda document: -document[2]):
            waiting.setdefault(self.capacity_for(document[2]), []).append(document)
        alone = numba.get_num_threads() == 1
        for capacity, members in waiting.items():
            # a group that no document was added to yet is made for the largest of the batch, not for the power above it
            while members:
                group = next((g for g in self._groups if len(g.names) < MOST_COLUMNS and g.capacity >= members[0][2]
                              and g.capacity <= capacity), None)
                if group is None:
                    size = members[0][2] if len(members) > 1 else capacity
                    bits = self.bits_of(size)
                    group = Group(size, bits, aligned_zeros((bits, -(-min(len(members), MOST_COLUMNS) // 8)), np.uint8), [], [])
                    self._groups.append(group)
                some, members = members[:MOST_COLUMNS - len(group.names)], members[MOST_COLUMNS - len(group.names):]
                group.widen(len(group.names) + len(some))
                plan = self.hasher.plan(group.bits)
                for name, text, _ in some:
                    column = len(group.names)
                    place = kernels.Place(np.uint64(0), np.uint64(group.stride), np.uint64(column >> 3), np.uint8(1 << (column & 7)),
                                          np.uint8(0))
                    kernels.insert_kmers(text, max(0, len(text) - self.hasher.k + 1), plan, place, alone, group.rows.reshape(-1))
                    group.names.append(name)
                    group.digests.append(text_digest(text))

    def _count(self, text, first, last):
        from mongoose_nb.kernels.sketch.columns import count_columns

        counts, totals = [np.zeros((len(first), 0), np.int32)], np.zeros(len(first), np.int64)
        for group in self._groups:
            part = np.zeros((len(first), 8 * group.stride), np.int32)
            totals[:] = 0
            count_columns(text, first, last, self.hasher.plan(group.bits), read_only(group.rows.reshape(-1)), group.stride, part, totals)
            counts.append(part[:, :len(group.names)])
        return np.concatenate(counts, axis=1), totals

    # --- merging and files ----------------------------------------------------------------------------------------------

    def merge(self, other: COBSIndex) -> Self:
        """Take in the documents of another index, which may have been built elsewhere.

        Parameters
        ----------
        other : COBSIndex
            With the same hash functions and `fpr`, and different documents. Its rows are copied; those of a mapped index stay in its file,
            and then this index takes no further documents until it is saved and loaded.

        Returns
        -------
        COBSIndex
            self
        """
        if not isinstance(other, COBSIndex):
            raise TypeError(f"an index is merged with another of its kind; got a {type(other).__name__}")
        if not self.hasher.same(other.hasher, bits=False) or other.fpr != self.fpr:
            raise ValueError(f"the indexes have different functions: {self.hasher!r}, fpr={self.fpr} and {other.hasher!r}, "
                             f"fpr={other.fpr}; only indexes with the same can be merged")
        self._check_apart(other)
        self._groups += [group if other.mapped else group.copy() for group in other.group_list()]
        self._mapped = self._mapped or other.mapped
        return self

    def group_list(self) -> list[Group]:
        """The groups themselves, for merging."""
        return list(self._groups)

    def save(self, path: PathLike) -> None:
        """Write the index to a file.

        Parameters
        ----------
        path : path-like
        """
        settings = {"version": VERSION, "hasher": describe(self.hasher, "hasher"), "fpr": self.fpr,
                    "groups": [{"capacity": g.capacity, "bits": g.bits, "names": g.names, "digests": g.digests} for g in self._groups]}
        files.save(path, KIND, settings, {f"rows{i}": group.rows for i, group in enumerate(self._groups)})

    @classmethod
    def load(cls, path: PathLike, *, mmap: bool = False) -> COBSIndex:
        """Read an index.

        Parameters
        ----------
        path : path-like
        mmap : bool
            Map the rows read-only instead of reading them. A mapped index answers queries, and takes no documents.

        Returns
        -------
        COBSIndex
        """
        settings, arrays = files.load(path, KIND, mmap=mmap)
        check_version(path, settings, VERSION)
        index = cls(as_hasher(settings["hasher"]), fpr=settings["fpr"])
        for i, group in enumerate(settings["groups"]):
            rows = take(path, arrays, f"rows{i}", np.uint8, (group["bits"], -1), mmap)
            if 8 * rows.shape[1] < len(group["names"]):
                raise files.FormatError(f"{str(path)!r} is damaged: group {i} has more names than columns")
            digests = list(group.get("digests") or [""] * len(group["names"]))  # earlier versions kept none
            if len(digests) != len(group["names"]):
                raise files.FormatError(f"{str(path)!r} is damaged: group {i} has {len(group['names'])} names and {len(digests)} digests")
            index._groups.append(Group(group["capacity"], group["bits"], rows, list(group["names"]), digests))
        index._mapped = mmap
        return index
