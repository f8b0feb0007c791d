"""The form in which neighbours find each other best."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mongoose_nb.nn.features import MOST_COUNTED, Features, has_dense_columns, make_features
from mongoose_nb.nn.ranking.neighbours import NeighbourVotes

if TYPE_CHECKING:
    import scipy.sparse as sp

# What is tried, the first of equal ones wins; held-out rows on which it is tried.
TRIED = ("tfidf", {"name": "tfidf", "sublinear": True}, "unit")
ROWS = 1000
PLACES = 5


def choose_features(X: sp.csr_matrix, Y: sp.csr_matrix, held: np.ndarray) -> Features:
    """The features by which the vote of the nearest rows has the highest mean of P@1 to P@5; rows of length one stay as they are.

    Parameters
    ----------
    X : (n, features) CSR float32
    Y : (n, labels) CSR
    held : (m,) int64
        Rows that are looked up among all others.

    Returns
    -------
    Features
        Not fitted: tf-idf of counts or of their logarithms, or rows of length one; where columns are dense, columns of one scale. Whoever
        gave rows of length one has weighted them already. Dense rows of numbers never get tf-idf.
    """
    from mongoose_nb import metrics

    tried = TRIED
    if X.nnz and (X.data.min() < 0 or _weighted(X[held])):
        tried = ("unit",)
    if has_dense_columns(X):
        tried = ("standard", *tried) if _counts(X) else ("standard", "unit")  # tf-idf of a table wins by chance alone
    if len(tried) == 1:
        return make_features(tried[0])
    some = held[np.unique(np.linspace(0, len(held) - 1, ROWS).astype(np.int64))]  # from everywhere: rows may be in the order of time

    def precision(features):
        rows = make_features(features).fit(X).transform(X)
        voters = NeighbourVotes().fit(rows, Y)
        votes = voters.votes(*voters.nearest(rows[some], leave_out=some))
        return metrics.precision_at_k(Y[some], metrics.ranking.top_k(votes, PLACES, Y.shape[1]), min(PLACES, Y.shape[1])).mean()

    return make_features(max(tried, key=precision))


def _counts(X):
    """Whether rows hold counts of which most are zero, so that it says something which are not."""
    return bool(2 * X.count_nonzero() <= X.shape[0] * X.shape[1] and ((X.data == np.floor(X.data)) & (X.data <= MOST_COUNTED)).all())


def _weighted(X):
    """Whether rows have length one, and are no single counts."""
    squares = np.asarray(X.multiply(X).sum(axis=1)).ravel()
    squares = squares[squares > 0]
    return len(squares) > 0 and np.median(np.abs(squares - 1)) < 0.01 and bool((X.data != 1).any())
