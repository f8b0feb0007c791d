"""Candidate labels of rows, as one array with row pointers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mongoose_nb.core.arrays import read_only

if TYPE_CHECKING:
    import scipy.sparse as sp

    from mongoose_nb.kernels.ranking.linear import SparseRows


class Lists(NamedTuple):
    """Labels of each row: ``ids[indptr[i] : indptr[i + 1]]``, ascending.

    Parameters
    ----------
    indptr : (n + 1,) int64 array
    ids : int32 array
    """

    indptr: np.ndarray
    ids: np.ndarray

    @property
    def row(self) -> np.ndarray:
        """The row of each entry, (entries,) int64."""
        return np.repeat(np.arange(len(self.indptr) - 1), np.diff(self.indptr))

    def matrix(self, n_labels: int) -> sp.csr_matrix:
        """As an indicator, (n, n_labels) CSR int8.

        Parameters
        ----------
        n_labels : int
        """
        from scipy import sparse

        return sparse.csr_matrix((np.ones(len(self.ids), np.int8), self.ids, self.indptr), shape=(len(self.indptr) - 1, n_labels))

    def take(self, rows: np.ndarray) -> Lists:
        """The lists of some rows.

        Parameters
        ----------
        rows : (m,) int
        """
        part = self.matrix(int(self.ids.max(initial=0)) + 1)[rows]
        return Lists(part.indptr.astype(np.int64), part.indices.astype(np.int32, copy=False))

    def look_up(self, matrix: sp.csr_matrix) -> np.ndarray:
        """What a sparse matrix holds at the entries, zero where it holds nothing.

        Parameters
        ----------
        matrix : (n, labels) CSR with ascending ids

        Returns
        -------
        (entries,) array of the matrix's type
        """
        width = matrix.shape[1]
        keys = np.repeat(np.arange(matrix.shape[0], dtype=np.int64), np.diff(matrix.indptr)) * width + matrix.indices
        out = np.zeros(len(self.ids), matrix.dtype)
        if len(keys):
            wanted = self.row * width + self.ids
            at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
            there = keys[at] == wanted
            out[there] = matrix.data[at[there]]
        return out


def all_labels(n: int, n_labels: int) -> Lists:
    """Every label for each of n rows.

    Parameters
    ----------
    n, n_labels : int
    """
    return Lists(np.arange(n + 1, dtype=np.int64) * n_labels, np.tile(np.arange(n_labels, dtype=np.int32), n))


def no_labels(n: int) -> Lists:
    """No label for each of n rows.

    Parameters
    ----------
    n : int
    """
    return Lists(np.zeros(n + 1, np.int64), np.zeros(0, np.int32))


def joined(parts: list[Lists]) -> Lists:
    """The lists of several groups of rows, one after the other.

    Parameters
    ----------
    parts : list of Lists
    """
    ends = np.concatenate([[0], *(np.diff(part.indptr) for part in parts)]).cumsum()
    return Lists(ends.astype(np.int64), np.concatenate([part.ids for part in parts]))


def with_random(lists: Lists, n_labels: int, more: int, rng: np.random.Generator) -> Lists:
    """Lists with random labels besides.

    Parameters
    ----------
    lists : Lists
    n_labels, more : int
        Labels in all, and labels to draw for each row; those that it has, or that are drawn twice, are not added again.
    rng : numpy.random.Generator
    """
    from scipy import sparse

    n = len(lists.indptr) - 1
    drawn = sparse.csr_matrix((np.ones(n * more, np.int8), rng.integers(0, n_labels, n * more, np.int32), np.arange(n + 1) * more),
                              shape=(n, n_labels))
    drawn.sum_duplicates()
    both = lists.matrix(n_labels) + drawn
    both.sort_indices()
    return Lists(both.indptr.astype(np.int64), both.indices.astype(np.int32, copy=False))


def with_more(lists: Lists, which: np.ndarray, ids: np.ndarray, n_labels: int) -> Lists:
    """Lists, some of them with labels besides.

    Parameters
    ----------
    lists : Lists
    which : (n,) bool
        The lists that get more.
    ids : (which.sum(), k) int
        Different ids in each row; -1 for none. Those that a list has are not added again.
    n_labels : int
    """
    there = np.zeros((len(which), ids.shape[1]), bool)
    there[which] = ids >= 0
    more = Lists(np.concatenate([[0], np.cumsum(there.sum(axis=1))]), ids[ids >= 0].astype(np.int32)).matrix(n_labels)
    both = (lists.matrix(n_labels) + more).tocsr()
    both.sort_indices()
    return Lists(both.indptr.astype(np.int64), both.indices.astype(np.int32, copy=False))


def logits_of_lists(h: np.ndarray, weights: Any, bias: np.ndarray, indptr: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Logits of the outputs that are listed for each row.

    Parameters
    ----------
    h : (n, d) float32
    weights : (outputs, d) float32
        Or rows that lists of ids make on the fly: those that are listed are made once.
    bias : (outputs,) float32
    indptr : (n + 1,) int64
    ids : (entries,) int32

    Returns
    -------
    (entries,) float32
    """
    from mongoose_nb.kernels.ranking.lists import listed_logits

    if not isinstance(weights, np.ndarray):
        listed, places = np.unique(ids, return_inverse=True)
        weights, bias, ids = weights[listed], bias[listed], places.reshape(-1).astype(np.int32)
    out = np.empty(len(ids), np.float32)
    listed_logits(h, weights, bias, indptr, ids, out)
    return out


def best_of_lists(scores: np.ndarray, indptr: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The best entries of each list.

    Parameters
    ----------
    scores : (entries,) float32
    indptr : (n + 1,) int64
    k : int

    Returns
    -------
    entries : (n, k) int64
        Best first, of equal ones the first; -1 where the list is shorter.
    scores : (n, k) float32
        -inf where the entry is -1.
    """
    from mongoose_nb.kernels.ranking.lists import best_entries

    n = len(indptr) - 1
    entries, best = np.empty((n, k), np.int64), np.empty((n, k), np.float32)
    best_entries(np.ascontiguousarray(scores, np.float32), np.ascontiguousarray(indptr, np.int64), entries, best)
    return entries, best


def best_of_rows(matrix: sp.csr_matrix, most: int) -> sp.csr_matrix:
    """The highest values of each row of a sparse matrix.

    Parameters
    ----------
    matrix : (n, labels) CSR float32
        With ascending ids.
    most : int
        Values that are kept of a row, of equal ones those with the lower ids.

    Returns
    -------
    (n, labels) CSR float32
        With ascending ids.
    """
    from scipy import sparse

    if np.diff(matrix.indptr).max(initial=0) <= most:
        return matrix
    entries, _ = best_of_lists(matrix.data, matrix.indptr, most)
    kept = np.zeros(matrix.nnz, bool)
    kept[entries[entries >= 0]] = True
    indptr = np.concatenate([[0], np.cumsum(kept)])[matrix.indptr]
    return sparse.csr_matrix((matrix.data[kept], matrix.indices[kept], indptr), shape=matrix.shape)


def union(ids: np.ndarray, votes: sp.csr_matrix, most: int) -> Lists:
    """The labels of a table and those with the most votes.

    Parameters
    ----------
    ids : (n, k) int
        Different ids in each row; -1 for none.
    votes : (n, labels) CSR
    most : int
        Labels to take for their votes, of equal ones those with the lower ids.

    Returns
    -------
    Lists
    """
    from scipy import sparse

    n, n_labels = votes.shape
    ids = np.sort(ids, axis=1)
    there = ids >= 0
    listed = Lists(np.concatenate([[0], np.cumsum(there.sum(axis=1))]).astype(np.int64), ids[there].astype(np.int32)).matrix(n_labels)
    voted = best_of_rows(votes, most)
    voted = sparse.csr_matrix((np.ones(voted.nnz, np.int8), voted.indices, voted.indptr), shape=votes.shape)
    both = listed + voted
    return Lists(both.indptr.astype(np.int64), both.indices.astype(np.int32, copy=False))


class Packed:
    """For sources that keep sparse rows as `ids` and `values` (float32 arrays that half precision holds): how a file has them."""

    indptr: np.ndarray
    ids: np.ndarray
    values: np.ndarray

    def id_limit(self) -> int:
        """One more than the largest id."""
        raise NotImplementedError  # abstract

    @property
    def halves(self) -> np.ndarray:
        """The bits of the values at half precision, uint16."""
        return self.values.astype(np.float16).view(np.uint16)

    @halves.setter
    def halves(self, values: np.ndarray) -> None:
        self.values = values.view(np.float16).astype(np.float32)

    @property
    def packed_ids(self) -> np.ndarray:
        """The bytes of the ids: two each up to 65,536 different ones, three up to 2^24, else four."""
        return self.ids.astype("<i4").view(np.uint8).reshape(-1, 4)[:, :self._id_bytes()].ravel()

    @packed_ids.setter
    def packed_ids(self, packed: np.ndarray) -> None:
        width = self._id_bytes()
        if width == 3 and len(packed) == 4 * int(self.indptr[-1]):
            width = 4  # in files of earlier versions
        if len(packed) % width:
            raise ValueError("the saved ids and rows do not fit each other")
        ids = np.zeros((len(packed) // width, 4), np.uint8)
        ids[:, :width] = packed.reshape(-1, width)
        self.ids = ids.view("<i4").ravel().astype(np.int32, copy=False)

    def _id_bytes(self):
        return 2 if self.id_limit() <= 1 << 16 else 3 if self.id_limit() <= 1 << 24 else 4


def csr_rows(X: sp.csr_matrix) -> SparseRows:
    """The arrays of a CSR matrix as kernels take them.

    Parameters
    ----------
    X : (n, d) CSR
    """
    from mongoose_nb.kernels.ranking.linear import SparseRows

    return SparseRows(X.indptr.astype(np.int64), read_only(X.indices.astype(np.int32, copy=False)),
                      read_only(X.data.astype(np.float32, copy=False)))
