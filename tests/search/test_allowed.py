"""Filtered search: answers are the nearest of the rows that are allowed, for every metric and kind of filter."""

import numpy as np
import pytest
import scipy.sparse as sp

from mongoose_nb.search import LSHIndex
from mongoose_nb.testing import METRICS
from mongoose_nb.testing.pairs import rows_of

DIM, N = 32, 3000
CASES = ["l2", "ip", "cosine", "jaccard", "hamming", "cosine-csr", "ip-csr"]


@pytest.fixture(scope="module", params=CASES)
def case(request):
    metric, _, form = request.param.partition("-")
    X = rows_of(METRICS[metric], N, DIM, np.random.default_rng(0)).astype(np.float32)
    X = sp.csr_matrix(X) if form else X
    index = LSHIndex(metric, DIM, train_size=100)
    index.add(X, np.arange(N) * 3)
    index.remove([0, 3])
    return index, X[:20]


@pytest.mark.parametrize("share", [0.0, 0.0005, 0.01, 0.5, 1.0])
def test_the_nearest_of_the_allowed_rows(case, share):
    index, Q = case
    ids, rng = index.ids, np.random.default_rng(1)
    mask = rng.permutation(len(ids)) < share * len(ids)
    allowed = ids[mask]
    found, far = index.query(Q, 5, allowed=allowed)
    assert np.isin(found[found != -1], allowed).all()
    assert ((found != -1).sum(axis=1) == min(5, len(allowed))).all()  # as many as there are
    for same in (mask, lambda given: np.isin(given, allowed), np.concatenate([allowed, [10**9]]), allowed.tolist()):
        np.testing.assert_array_equal(index.query(Q, 5, allowed=same)[0], found)
    everything, distances = index.query(Q, len(ids), exact=True)
    exact = index.query(Q, 5, allowed=allowed, exact=True)
    for i in range(len(everything)):
        best = distances[i][np.isin(everything[i], allowed)][:5]
        np.testing.assert_allclose(exact[1][i][:len(best)], best, rtol=1e-5, atol=1e-6)
    if share < 0.1:  # so few are all compared
        np.testing.assert_array_equal(found, exact[0])


def test_a_filter_for_each_query(case):
    index, Q = case
    ids, n = index.ids, Q.shape[0]
    parts = [ids[i::n] for i in range(n)]
    found, far = index.query(Q, 3, allowed=parts)
    for i, part in enumerate(parts):
        one = index.query(Q[i:i + 1], 3, allowed=part)
        np.testing.assert_array_equal(found[i], one[0][0])
        np.testing.assert_array_equal(far[i], one[1][0])
        assert np.isin(found[i], part).all()
    masks = np.array([np.isin(ids, part) for part in parts])
    np.testing.assert_array_equal(index.query(Q, 3, allowed=masks)[0], found)
    np.testing.assert_array_equal(index.query(Q, 3, allowed=[lambda given, part=part: np.isin(given, part) for part in parts])[0], found)
    np.testing.assert_array_equal(index.query(Q, 3, allowed=[None] * n)[0], index.query(Q, 3)[0])


def test_filters_that_are_none(case):
    index, Q = case
    for bad in (np.ones(5, bool), lambda given: given, [0.5], np.ones((3, len(index)), bool), [[1, 2]], "three"):
        with pytest.raises((TypeError, ValueError), match="allowed"):
            index.query(Q, 3, allowed=bad)


def test_a_bound_on_candidates_counts_allowed_rows_alone():
    """As good as an index that holds the allowed rows and no others."""
    X = np.random.default_rng(0).standard_normal((20000, 16)).astype(np.float32)
    allowed, found = np.arange(0, 20000, 2), []
    for rows, chosen in ((X, allowed), (X[::2], None)):
        index = LSHIndex("l2", 16, K=12, max_candidates=200, rerank=None)
        index.add(rows)
        best = index.query(X[:200], 10, allowed=chosen, exact=True)[1]
        found.append((index.query(X[:200], 10, allowed=chosen)[1] <= best[:, -1:] + 1e-5).mean())
    assert found[0] > found[1] - 0.05
