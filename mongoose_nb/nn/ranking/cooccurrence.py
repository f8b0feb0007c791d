"""How often labels come with features: counts as a source of the ranking."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mongoose_nb.core.registry import register
from mongoose_nb.core.validation import check_int
from mongoose_nb.nn.ranking.lists import Lists, best_of_rows
from mongoose_nb.nn.ranking.source import Query, Source, Training, as_it_is

if TYPE_CHECKING:
    import scipy.sparse as sp

# Powers of a feature's weight in all rows, and of a label's number of rows, by which counts are divided: those that are tried.
POWERS = ((1.0, 0.0), (1.0, 0.3), (0.5, 0.0), (0.5, 0.3))
# Held-out rows on which powers are chosen, at most.
CHOSEN_ON = 2000
PLACES = 5
# Pairs of a feature and a label, in all rows, that are counted at most: the counts take about 40 bytes for each.
MOST_PAIRS = 1 << 25


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

    def learn(self, training: Training) -> None:
        """Count, choose the powers by the held-out rows, and count again with these."""
        from mongoose_nb import metrics

        rows, Y, held = training.rows, training.Y, training.held
        some = held[:CHOSEN_ON]
        counts = _counts(*_sample(rows, Y, held))
        without = tuple(whole - part for whole, part in zip(counts, _counts(rows[held], Y[held])))
        best = -1.0
        for powers in POWERS:
            table = self._table(without, powers)
            shares = _shares(rows[some], table)
            score = metrics.precision_at_k(Y[some], metrics.ranking.top_k(shares, PLACES, Y.shape[1]), min(PLACES, Y.shape[1])).mean()
            if score > best:
                best, self.powers, self._without = score, powers, table
        table = self._table(counts, self.powers)
        self.shape, self.indptr, self.ids, self.values = table.shape, table.indptr.astype(np.int64), table.indices, table.data

    def _table(self, counts, powers):
        """Counts divided by powers of the totals, the highest values of each feature."""
        from scipy import sparse

        counts, of_feature, of_label = counts
        of_feature, of_label = np.maximum(of_feature, 1e-9), np.maximum(of_label, 1)
        row = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
        values = counts.data / of_feature[row] ** powers[0] / of_label[counts.indices] ** powers[1]
        kept = best_of_rows(sparse.csr_matrix((values.astype(np.float32), counts.indices, counts.indptr), shape=counts.shape), self.labels)
        return sparse.csr_matrix((kept.data, kept.indices.astype(np.int32, copy=False), kept.indptr), shape=counts.shape)

    def named_for(self, training: Training, chosen: np.ndarray) -> sp.csr_matrix:
        """As `Source.named_for`; the rows' own part in the counts is small and stays."""
        return _shares(training.rows[chosen], self._without)

    def held_values(self, training: Training, lists: Lists) -> tuple[np.ndarray, ...]:
        """As `Source.held_values`."""
        shares = _shares(training.rows[training.held], self._without)
        self._without = None
        return (lists.look_up(shares),)

    def ask(self, query: Query) -> sp.csr_matrix:
        """Shares of all labels."""
        return _shares(query.rows, self.table)

    def named(self, answer: sp.csr_matrix) -> sp.csr_matrix:
        """As `Source.named`."""
        return answer

    def values_of(self, query: Query, lists: Lists, answer: Any) -> tuple[np.ndarray, ...]:
        """As `Source.values_of`."""
        return (lists.look_up(answer),)


def _sample(rows, Y, held):
    """All rows, or the held-out ones and so many of the others, drawn at random, that `MOST_PAIRS` of a feature and a label are counted."""
    pairs = np.diff(rows.indptr).astype(np.int64) * np.diff(Y.indptr)
    if pairs.sum() <= MOST_PAIRS:
        return rows, Y
    rest = np.random.default_rng(0).permutation(np.setdiff1d(np.arange(rows.shape[0]), held))
    rest = rest[:np.searchsorted(np.cumsum(pairs[rest]), MOST_PAIRS)]
    chosen = np.sort(np.concatenate([held, rest]))
    return rows[chosen], Y[chosen]


def _counts(rows, Y):
    """(counts, total of each feature, total of each label)."""
    counts = (rows.T.tocsr() @ Y).tocsr()
    counts.sort_indices()
    return counts, np.asarray(abs(rows).sum(axis=0), np.float64).ravel(), np.asarray(Y.sum(axis=0), np.float64).ravel()


def _shares(rows, table):
    """Rows times the table, so that those of a row add up to one."""
    from scipy import sparse

    product = (rows @ table).tocsr()
    product.sort_indices()
    row = np.repeat(np.arange(product.shape[0]), np.diff(product.indptr))
    total = np.maximum(np.bincount(row, np.maximum(product.data, 0), product.shape[0]), 1e-30)
    values = (np.maximum(product.data, 0) / total[row]).astype(np.float32)
    return sparse.csr_matrix((values, product.indices.astype(np.int32), product.indptr), shape=product.shape)
