"""How often labels come with features: counts as a source of the ranking."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mongoose_nb.core.arrays import read_only
from mongoose_nb.core.registry import register
from mongoose_nb.core.scratch import Scratch
from mongoose_nb.core.validation import check_int
from mongoose_nb.nn.ranking.lists import Lists, csr_rows
from mongoose_nb.nn.ranking.source import Query, Source, Training, as_it_is

if TYPE_CHECKING:
    import scipy.sparse as sp

    from mongoose_nb.kernels.ranking.linear import SparseRows

# Powers of a feature's weight in all rows, and of a label's number of rows, by which counts are divided: those that are tried.
POWERS = ((1.0, 0.0), (1.0, 0.3), (0.5, 0.0), (0.5, 0.3))
# Held-out rows on which powers are chosen, at most.
CHOSEN_ON = 2000
PLACES = 5
# Labels that a row names, at most.
NAMED = 200


def log_share(shares: np.ndarray) -> np.ndarray:
    """The logarithm of a share, of zero a low one.

    Parameters
    ----------
    shares : float32 array
    """
    return np.log(shares + np.float32(1e-3))


@register("ranking source", "co-occurrence")
class Cooccurrence(Source):
    """Labels by the features they come with in training rows: a table of (feature, label) counts, applied to a row.

    The count of a pair is the sum of the feature's values in the rows of the label, divided by powers of the totals of both, chosen on
    held-out rows. Items of sessions and baskets are predicted well by it.

    Parameters
    ----------
    labels : int
        Labels that are kept for a feature: those with the highest values.

    Attributes
    ----------
    table : (features, labels) CSR
    """

    saved_state = ("shape", "indptr", "ids", "values", "powers")
    resizable = ("indptr", "ids", "values")
    forms = {"share": as_it_is, "log share": log_share}

    def __init__(self, labels: int = 100) -> None:
        self.labels = check_int("labels", labels, low=1)
        self.shape, self.powers = (0, 0), POWERS[0]
        self.indptr, self.ids, self.values = np.zeros(1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32)
        self._without = None  # the table of the rows that are not held out, while training
        self._asked = None  # the table as kernels take it, once it was asked for

    @property
    def table(self) -> sp.csr_matrix:
        """Values, (features, labels) CSR."""
        from scipy import sparse

        return sparse.csr_matrix((self.values, self.ids, self.indptr), shape=self.shape)

    def state_restored(self) -> None:
        """Check that the arrays describe a table."""
        n, width = self.shape
        if (self.indptr.shape != (n + 1,) or self.indptr[0] != 0 or (np.diff(self.indptr) < 0).any() or self.indptr[-1] != len(self.ids)
                or len(self.ids) != len(self.values) or (len(self.ids) and not 0 <= self.ids.min() <= self.ids.max() < width)):
            raise ValueError("the saved table of co-occurrences does not fit together")
        self._asked = None

    def learn(self, training: Training) -> None:
        """Count, choose the powers by the held-out rows, and count again with these."""
        from mongoose_nb import metrics

        rows, Y, held = training.rows, training.Y, training.held
        some = held[:CHOSEN_ON]
        chosen_on, rest = rows[some], training.rest
        there = np.zeros(rows.shape[1], bool)
        there[chosen_on.indices] = True
        others, of_others = rows[rest], Y[rest]
        best = -1.0
        for powers in POWERS:
            shares = _shares(chosen_on, Asked.of(_table(others, of_others, powers, self.labels, there)), NAMED)
            score = metrics.precision_at_k(Y[some], metrics.ranking.top_k(shares, PLACES, Y.shape[1]), min(PLACES, Y.shape[1])).mean()
            if score > best:
                best, self.powers = score, powers
        self._without = _table(others, of_others, self.powers, self.labels)
        table = _table(rows, Y, self.powers, self.labels)
        self.shape, self.indptr, self.ids, self.values = table.shape, table.indptr.astype(np.int64), table.indices, table.data
        self._asked = None

    def named_for(self, training: Training, chosen: np.ndarray) -> sp.csr_matrix:
        """As `Source.named_for`; the rows' own part in the counts is small and stays."""
        return _shares(training.rows[chosen], Asked.of(self._without), NAMED)

    def held_values(self, training: Training, lists: Lists) -> tuple[np.ndarray, ...]:
        """As `Source.held_values`."""
        shares, self._without = _listed_shares(training.rows[training.held], Asked.of(self._without), lists), None
        return (shares,)

    def ask(self, query: Query) -> sp.csr_matrix:
        """The highest shares of each row."""
        self._asked = self._asked or Asked.of(self.table)
        return _shares(query.rows, self._asked, NAMED)

    def named(self, answer: sp.csr_matrix) -> sp.csr_matrix:
        """As `Source.named`."""
        return answer

    def values_of(self, query: Query, lists: Lists, answer: Any) -> tuple[np.ndarray, ...]:
        """As `Source.values_of`."""
        self._asked = self._asked or Asked.of(self.table)
        return (_listed_shares(query.rows, self._asked, lists),)


class Asked(NamedTuple):
    """A table as kernels take it, and memory for the sums of a row."""

    rows: SparseRows
    n_labels: int
    scratch: Scratch

    @classmethod
    def of(cls, table: sp.csr_matrix) -> Asked:
        """The table (features, labels) CSR."""
        return cls(csr_rows(table), table.shape[1], Scratch())


def _slots(n_rows):
    """Threads that work on so many rows."""
    import numba

    return max(1, min(numba.get_num_threads(), n_rows))


def _sums(slots, n_labels):
    """What kernels sum into."""
    from mongoose_nb.kernels.ranking.cooccurrence import Sums

    return Sums(np.empty((slots, n_labels), np.float32), np.zeros((slots, n_labels), bool), np.empty((slots, n_labels), np.int32))


def _short(slots, most):
    """Where kernels keep the best."""
    return np.empty((slots, most), np.float32), np.empty((slots, most), np.int32)


def _table(rows, Y, powers, most, there=None):
    """The highest counts of each feature, or of those that are there, divided by powers of the totals of both."""
    from scipy import sparse

    from mongoose_nb.kernels.ranking.cooccurrence import best_labels

    (_, n_features), n_labels = rows.shape, Y.shape[1]
    of_feature = np.maximum(np.asarray(abs(rows).sum(axis=0), np.float64).ravel(), 1e-9) ** powers[0]
    of_label = np.maximum(np.asarray(Y.sum(axis=0), np.float64).ravel(), 1) ** powers[1]
    if there is not None:
        rows = rows.multiply(there).tocsr()
    columns = rows.T.tocsr()
    pairs = np.diff(np.concatenate([[0], np.cumsum(np.diff(Y.indptr)[columns.indices], dtype=np.int64)])[columns.indptr])
    start = np.concatenate([[0], np.cumsum(np.minimum(pairs, most))])
    slots = _slots(n_features)
    ids, values, count = np.empty(start[-1], np.int32), np.empty(start[-1], np.float32), np.zeros(n_features, np.int64)
    best_labels(csr_rows(columns), csr_rows(Y), of_feature.astype(np.float32), of_label.astype(np.float32),
                _sums(slots, n_labels), _short(slots, most), start, ids, values, count)
    if (count != np.diff(start)).any():
        kept = np.arange(start[-1]) - np.repeat(start[:-1], np.diff(start)) < np.repeat(count, np.diff(start))
        ids, values = ids[kept], values[kept]
    table = sparse.csr_matrix((values, ids, np.concatenate([[0], np.cumsum(count)])), shape=(n_features, n_labels))
    table.sort_indices()
    return table


def _shares(rows, asked, most):
    """The highest entries of rows times the table; all of a row, also those that are left out, add up to one."""
    from scipy import sparse

    from mongoose_nb.kernels.ranking.cooccurrence import best_shares

    n, slots = rows.shape[0], _slots(rows.shape[0])
    table, n_labels, scratch = asked
    ids, values, count = np.empty((n, most), np.int32), np.empty((n, most), np.float32), np.zeros(n, np.int64)
    with scratch.lent(slots, lambda: _sums(slots, n_labels)) as memory:
        best_shares(csr_rows(rows), table, memory, _short(slots, most), ids, values, count)
    there = np.arange(most) < count[:, None]
    shares = sparse.csr_matrix((values[there], ids[there], np.concatenate([[0], np.cumsum(count)])), shape=(n, n_labels))
    shares.sort_indices()
    return shares


def _listed_shares(rows, asked, lists):
    """The shares of what is listed for each row."""
    from mongoose_nb.kernels.ranking.cooccurrence import listed_shares

    out, slots = np.empty(len(lists.ids), np.float32), _slots(rows.shape[0])
    table, n_labels, scratch = asked
    with scratch.lent(slots, lambda: _sums(slots, n_labels)) as memory:
        listed_shares(csr_rows(rows), table, memory, lists.indptr, read_only(lists.ids), out)
    return out
