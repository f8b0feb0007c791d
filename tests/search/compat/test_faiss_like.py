"""The face of faiss: its order, its signs, its padding."""

import naive_search as naive
import numpy as np

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
