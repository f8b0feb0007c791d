"""The face of faiss: its order, its signs, its padding."""

import naive_search as naive
import numpy as np
import pytest

from mongoose_nb.search.compat.faiss_like import FaissLike

X, Q = naive.data("l2", 300, 16), naive.data("l2", 10, 16, seed=1)
SQUARE = naive.distances("l2", Q, X) ** 2
PRODUCT = Q.astype(np.float64) @ X.T.astype(np.float64)


def test_faiss_l2():
    index = FaissLike(16)
    assert index.is_trained and index.ntotal == 0
    index.train(X)
    index.add(X)
    D, ids = index.search(Q, 5)
    assert index.ntotal == 300 and ids.dtype == np.int64 and D.dtype == np.float32
    np.testing.assert_allclose(D, np.sort(SQUARE, axis=1)[:, :5], rtol=1e-4)
    lims, D, ids = index.range_search(Q, 12.0)
    assert (np.diff(lims) == (SQUARE < 12).sum(axis=1)).all() and (D <= 12).all()
    assert index.remove_ids([0, 1, 1, 999]) == 2 and index.ntotal == 298
    np.testing.assert_array_equal(index.reconstruct(7), X[7])
    index.reset()
    D, ids = index.search(Q, 2)
    assert (ids == -1).all() and (D == np.inf).all()


def test_faiss_inner_product():
    index = FaissLike(16, "ip", train_size=100)
    index.add_with_ids(X, np.arange(300) + 1000)
    D, ids = index.search(Q, 5)
    for i in range(10):
        there = ids[i] >= 0
        np.testing.assert_allclose(D[i][there], PRODUCT[i, ids[i][there] - 1000], rtol=1e-4)
        assert (np.diff(D[i][there]) <= 0).all() and (D[i][~there] == -np.inf).all()
    lims, D, _ = FaissLikeExact().range_search(Q, float(np.quantile(PRODUCT, 0.9)))
    assert (D >= np.quantile(PRODUCT, 0.9)).all() and lims[-1] == 300


class FaissLikeExact(FaissLike):
    """Few enough rows to be searched exactly."""

    def __init__(self):
        super().__init__(16, "ip")
        self.add(X)


def grid(metric):
    """Rows whose distances to the query, or products with it, are whole numbers in float32: 0 to 80."""
    X = np.zeros((81, 16), np.float32)
    X[:, 0] = np.arange(81) if metric == "ip" else 0
    if metric == "l2":  # a sum of four squares, as every number is
        for n in range(81):
            X[n, :4] = next((a, b, c, d) for a in range(9) for b in range(9) for c in range(9) for d in range(9)
                            if a * a + b * b + c * c + d * d == n)
    return X, np.eye(1, 16, dtype=np.float32) if metric == "ip" else np.zeros((1, 16), np.float32)


@pytest.mark.parametrize("kind", [int, float, np.float32, np.float64, np.int64])
@pytest.mark.parametrize("metric", ["l2", "ip"])
@pytest.mark.parametrize("train_size", [20, 1000])
def test_the_bound_of_a_range_is_excluded_at_every_place(metric, train_size, kind):
    X, q = grid(metric)
    index = FaissLike(16, metric, train_size=train_size, L=8, K=1, probes=2)
    index.add(X)
    for bound in (-1, 0, *range(1, 81), 100):
        lims, D, ids = index.range_search(q, kind(bound))
        want = range(bound) if metric == "l2" else range(80, max(bound, -1), -1)
        assert ids.tolist() == [i for i in want if i < 81] and lims.tolist() == [0, len(ids)], bound
        np.testing.assert_array_equal(D, ids)  # exact: not squares of rounded roots
        assert D.dtype == np.float32
    if metric == "l2":
        assert len(index.range_search(q, float("inf"))[2]) == 81
        ids, D = index.search(q, 81)[::-1]
        np.testing.assert_array_equal(D[ids >= 0], ids[ids >= 0])


def test_ids_may_be_negative():
    for metric, best, worst in (("l2", 0.0, np.inf), ("ip", float((X[0].astype(float) ** 2).sum()), -np.inf)):
        index = FaissLike(16, metric)
        index.add_with_ids(X[:3] * np.float32([[1], [1e-3], [1e-3]]), [-1, -5, 7])
        D, ids = index.search(X[:1], 4)
        assert ids[0, 0] == -1 and set(ids[0]) == {-1, -5, 7} and D[0, 3] == worst
        np.testing.assert_allclose(D[0, 0], best, rtol=1e-6, atol=1e-6)
        assert np.isfinite(D[0, :3]).all()
        assert -5 in index.range_search(X[:1], 1e6 if metric == "l2" else -1e6)[2]
        np.testing.assert_array_equal(index.reconstruct(-1), X[0])
        assert index.remove_ids([-1, -2]) == 1 and index.ntotal == 2


def test_errors_change_nothing():
    index = FaissLike(16)
    index.add_with_ids(X[:5], [1, 2, 3, 4, -5])
    for call in (lambda: index.add_with_ids(X[:2], [7, 7]), lambda: index.add_with_ids(X[:2], [7, 1]),
                 lambda: index.add_with_ids(X[:2], [7]), lambda: index.add(np.full((1, 16), np.nan)), lambda: index.add(X[:2, :3]),
                 lambda: index.remove_ids([1.5]),
                 lambda: index.range_search(Q, float("nan")), lambda: index.range_search(Q, [1.0, 2.0]),
                 lambda: index.range_search(Q, "1"), lambda: index.range_search(Q[:, :3], 0.0), lambda: index.search(Q, 0)):
        with pytest.raises((ValueError, TypeError)):
            call()
        assert index.index.ids.tolist() == [-5, 1, 2, 3, 4] and (index.reconstruct(1) == X[0]).all()
