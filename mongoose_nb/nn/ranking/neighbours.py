"""Votes of the nearest training rows for their labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mongoose_nb.core.arrays import read_only
from mongoose_nb.core.registry import register
from mongoose_nb.core.scratch import Scratch
from mongoose_nb.core.validation import check_int
from mongoose_nb.nn.labelled import check_labelled
from mongoose_nb.nn.ranking.cooccurrence import log_share
from mongoose_nb.nn.ranking.lists import Lists, Packed, csr_rows
from mongoose_nb.nn.ranking.source import Query, Source, Training, as_it_is

if TYPE_CHECKING:
    import scipy.sparse as sp

# Neighbours that name candidates of a training row, and the parts of all neighbours that also vote alone.
NAMING, PARTS, PARTS_BY_DISTANCE = 20, {"all": 1, "nearest fifth": 5}, {"all": 1, "nearest fifth": 5, "nearest twentieth": 20}
# Columns up to which rows with most entries are compared by distance, and labels up to which these name none for training rows: the
# network brings as many.
NARROW, FEW_LABELS = 256, 100
# Part of the budget that is spent on naming candidates of a training row, of which there are many.
HASTE = 4
# Rows that are scored exactly for each neighbour, where the budget does not allow for all postings.
RERANK = 2


@register("ranking source", "neighbours")
class NeighbourVotes(Packed, Source):
    """Nearest training rows, and their votes.

    Sparse rows are near by their inner product (the cosine, of rows of length one), and are found by an inverted index. Dense rows of at
    most 256 columns are near by their Euclidean distance, and all are compared.

    Values of training rows are rounded to half precision, as they are saved.

    Parameters
    ----------
    neighbours : int
        Rows that vote.
    budget : int
        Most entries of the inverted index to read for a query, those of its strongest features first. A query that takes no more is
        answered exactly.

    Attributes
    ----------
    rows : (n, features) CSR
        Training rows.
    labels : (n, labels) CSR
        Their labels.
    """

    saved_state = ("shape", "indptr", "packed_ids", "halves", "label_indptr", "label_ids", "by_distance")
    optional = ("by_distance",)
    resizable = ("indptr", "packed_ids", "halves", "label_indptr", "label_ids")
    columns = tuple(PARTS)
    forms = {"share": as_it_is, "log share": log_share}

    def __init__(self, neighbours: int = 100, *, budget: int = 20_000) -> None:
        self.neighbours = check_int("neighbours", neighbours, low=1)
        self.budget = check_int("budget", budget, low=1)
        self.indptr, self.ids, self.values = np.zeros(1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32)
        self.label_indptr, self.label_ids = np.zeros(1, np.int64), np.zeros(0, np.int32)
        self.shape = (0, 0)  # features, labels
        self.by_distance = False
        self._held = None
        self._forget()

    def _forget(self):
        """Drop what is made of the rows when they are asked for, and memory of their number."""
        self._index, self._walks, self._sums = None, Scratch(), Scratch()

    def id_limit(self) -> int:
        """As `Packed.id_limit`."""
        return self.shape[0]

    @property
    def rows(self) -> sp.csr_matrix:
        """Training rows, (n, features) CSR."""
        from scipy import sparse

        return sparse.csr_matrix((self.values, self.ids, self.indptr), shape=(len(self.indptr) - 1, self.shape[0]))

    @property
    def labels(self) -> sp.csr_matrix:
        """Labels of the training rows, (n, labels) CSR of ones."""
        from scipy import sparse

        ones = np.ones(len(self.label_ids), np.float32)
        return sparse.csr_matrix((ones, self.label_ids, self.label_indptr), shape=(len(self.indptr) - 1, self.shape[1]))

    @property
    def nbytes(self) -> int:
        """Bytes of the rows and labels as they are saved, without the index that is made of them when it is first needed."""
        return sum(getattr(self, name).nbytes for name in self.resizable)

    def fit(self, X: sp.csr_matrix, Y: sp.csr_matrix) -> NeighbourVotes:
        """Keep rows and their labels.

        Parameters
        ----------
        X : (n, features) CSR float32
        Y : (n, labels) CSR

        Returns
        -------
        NeighbourVotes
            self
        """
        check_labelled(Y)
        return self.keep(X, Y)

    def keep(self, X: sp.csr_matrix, Y: sp.csr_matrix) -> NeighbourVotes:
        """As `fit`; rows may all be without labels."""
        self.shape = (X.shape[1], Y.shape[1])
        self.indptr, self.ids = X.indptr.astype(np.int64), X.indices.astype(np.int32)
        # beyond what half precision holds, the largest: neighbours are meant for rows of length one
        self.values = np.clip(X.data, -65504, 65504).astype(np.float16).astype(np.float32)
        self.label_indptr, self.label_ids = Y.indptr.astype(np.int64), Y.indices.astype(np.int32)
        self.by_distance = X.shape[1] <= NARROW and 2 * X.nnz > X.shape[0] * X.shape[1]
        self.columns = tuple(self._parts())
        self._forget()
        return self

    def updated(self, rows: sp.csr_matrix, Y: sp.csr_matrix) -> NeighbourVotes:
        """As `Source.updated`: the new rows vote, too."""
        out = type(self)(self.neighbours, budget=self.budget).keep(rows, Y)
        for name in ("indptr", "label_indptr"):
            old = getattr(self, name)
            setattr(out, name, np.concatenate([old, old[-1] + getattr(out, name)[1:]]))
        for name in ("ids", "values", "label_ids"):
            setattr(out, name, np.concatenate([getattr(self, name), getattr(out, name)]))
        out.by_distance, out.columns = self.by_distance, self.columns
        return out

    def learn(self, training: Training) -> None:
        """Keep the rows, and let them vote on those that are held out."""
        self.fit(training.rows, training.Y)
        self._held = self.nearest(training.rows[training.held], leave_out=training.held)

    def named_for(self, training: Training, chosen: np.ndarray) -> sp.csr_matrix:
        """As `Source.named_for`; few labels, of dense rows, are not named."""
        if self.by_distance and self.shape[1] <= FEW_LABELS:
            return None
        return self.votes(*self.nearest(training.rows[chosen], min(NAMING, self.neighbours), leave_out=chosen,
                                        budget=max(1, self.budget // HASTE)))

    def held_values(self, training: Training, lists: Lists) -> tuple[np.ndarray, ...]:
        """As `Source.held_values`."""
        found, self._held = self._held, None
        return self._listed(lists, *found)

    def ask(self, query: Query) -> tuple[np.ndarray, np.ndarray]:
        """The neighbours, as `nearest` gives them."""
        return self.nearest(query.rows)

    def _listed(self, lists, ids, products):
        """Votes for what is listed: of all neighbours, and of the nearest parts of them."""
        import numba

        from mongoose_nb.kernels.ranking import neighbours as kernels

        slots = max(1, min(numba.get_num_threads(), len(ids)))
        labels, out = self._indexed()[3], []
        with self._sums.lent(slots, lambda: np.zeros((slots, self.shape[1]), np.float32)) as sums:
            for part in self._parts().values():
                some = slice(None), slice(max(1, self.neighbours // part))
                votes = np.empty(len(lists.ids), np.float32)
                kernels.listed_votes(np.ascontiguousarray(ids[some]), _worth(ids[some], products[some]), labels, sums, lists.indptr,
                                     read_only(lists.ids), votes)
                out.append(votes)
        return tuple(out)

    def _parts(self):
        return PARTS_BY_DISTANCE if self.by_distance else PARTS

    def named(self, answer: Any) -> sp.csr_matrix:
        """As `Source.named`."""
        return self.votes(*answer)

    def values_of(self, query: Query, lists: Lists, answer: Any) -> tuple[np.ndarray, ...]:
        """As `Source.values_of`."""
        return self._listed(lists, *answer)

    def state_restored(self) -> None:
        """Check that the arrays describe rows, and labels of as many."""
        fits = len(self.ids) == len(self.values) and len(self.indptr) == len(self.label_indptr) and np.isfinite(self.values).all()
        for indptr, ids, width in ((self.indptr, self.ids, self.shape[0]), (self.label_indptr, self.label_ids, self.shape[1])):
            fits = fits and indptr[0] == 0 and (np.diff(indptr) >= 0).all() and indptr[-1] == len(ids)
            fits = fits and (not len(ids) or 0 <= ids.min() <= ids.max() < width)
        if not fits:
            raise ValueError("the saved rows of the neighbours do not fit each other")
        self.columns, self._held = tuple(self._parts()), None
        self._forget()

    def _indexed(self):
        """(rows, inverted index, labels, the same for kernels), made when they are first needed; by distance (columns, None, ...)."""
        labels = self.labels if self._index is None else None
        if self._index is None and self.by_distance:
            self._index = read_only(np.ascontiguousarray(self.rows.toarray().T)), None, labels, csr_rows(labels)
        elif self._index is None:
            from mongoose_nb.kernels.ranking.neighbours import Postings

            columns = self.rows.tocsc()
            postings = Postings(columns.indptr.astype(np.int64), read_only(columns.indices.astype(np.int32, copy=False)),
                                read_only(columns.data))
            self._index = csr_rows(self.rows), postings, labels, csr_rows(labels)
        return self._index

    def nearest(self, X: sp.csr_matrix, k: int | None = None, *, leave_out: np.ndarray | None = None,
                budget: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The nearest training rows.

        Parameters
        ----------
        X : (m, features) CSR float32
        k : int, optional
            Rows to find, `neighbours` by default.
        leave_out : (m,) int, optional
            A training row that may not be a neighbour, or -1: the row itself, where training rows are looked up.
        budget : int, optional
            In place of that of the constructor.

        Returns
        -------
        ids : (m, k) int64
            Best first, of equal ones the lower first; -1 where fewer were found.
        products : (m, k) float32
            Inner products, 0 where the id is -1. By distance, what a neighbour's vote is worth: 1 - d^2 / D^2, where D is the distance of
            the farthest of the k, and a thousandth at least.
        """
        if X.shape[1] != self.shape[0]:
            raise ValueError(f"rows have {X.shape[1]} features; the training rows have {self.shape[0]}")
        k = self.neighbours if k is None else check_int("k", k, low=1)
        leave_out = np.full(X.shape[0], -1) if leave_out is None else np.asarray(leave_out, np.int64)
        return self._by_distance(X, k, leave_out) if self.by_distance else self._by_product(X, k, leave_out, budget)

    def _by_distance(self, X, k, leave_out):
        """`nearest` of dense rows."""
        import numba

        from mongoose_nb.kernels.ranking import distances as kernels

        slots = max(1, min(numba.get_num_threads(), X.shape[0]))
        ids, squares = np.empty((X.shape[0], k), np.int64), np.empty((X.shape[0], k), np.float32)
        rows = read_only(X.toarray().astype(np.float32, copy=False))
        kernels.nearest(rows, self._indexed()[0], leave_out, np.empty((slots, kernels.BLOCK), np.float32), ids, squares)
        squares = np.where(ids >= 0, squares, np.float32(0))
        farthest = np.maximum(squares.max(axis=1, keepdims=True), np.float32(1e-30))
        return ids, np.where(ids >= 0, np.maximum(1 - squares / farthest, np.float32(1e-3)), np.float32(0))

    def _by_product(self, X, k, leave_out, budget):
        """`nearest` of sparse rows."""
        import numba

        from mongoose_nb.kernels.ranking import neighbours as kernels

        n = len(self.indptr) - 1
        rows, postings = self._indexed()[:2]
        budget = self.budget if budget is None else check_int("budget", budget, low=1)
        slots = max(1, min(numba.get_num_threads(), X.shape[0]))
        strength = np.empty((slots, max(1, int(np.diff(X.indptr).max(initial=0)))), np.float32)
        short = np.empty((slots, RERANK * k), np.float32), np.empty((slots, RERANK * k), np.int64)
        ids, products = np.empty((X.shape[0], k), np.int64), np.empty((X.shape[0], k), np.float32)

        def memory():
            return (np.empty((slots, n), np.float32), np.zeros((slots, n), bool), np.empty((slots, n), np.int32),
                    np.zeros((slots, X.shape[1]), np.float32))

        with self._walks.lent(slots, memory) as walk:
            kernels.nearest(csr_rows(X), rows, postings, budget, leave_out, kernels.Walk(*walk, strength), short, ids, products)
        return ids, products

    def votes(self, ids: np.ndarray, products: np.ndarray) -> sp.csr_matrix:
        """Share of the votes that each label has; a neighbour's vote is worth its inner product.

        Parameters
        ----------
        ids, products : (m, k)
            From `nearest`, or the first columns of it.

        Returns
        -------
        (m, labels) CSR float32
            With rows that have labels in common, shares add up to more than one.
        """
        from scipy import sparse

        m = len(ids)
        worth = _worth(ids, products)
        there = worth > 0
        indptr = np.concatenate([[0], np.cumsum(there.sum(axis=1))])
        rows = sparse.csr_matrix((worth[there], ids[there], indptr), shape=(m, len(self.indptr) - 1))
        votes = rows @ self._indexed()[2]
        votes.sort_indices()
        return votes


def _worth(ids, products):
    """What the vote of each neighbour is worth: shares of the positive products of a row."""
    worth = np.where((ids >= 0) & (products > 0), products, np.float32(0))
    return worth / np.maximum(worth.sum(axis=1, keepdims=True), np.float32(1e-30))
