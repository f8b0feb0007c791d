"""LSHNeighbors: scikit-learn's own checks, and its exact transformer as the oracle."""

import naive_search as naive
import numpy as np
import pytest

pytest.importorskip("sklearn")
from sklearn.cluster import DBSCAN
from sklearn.neighbors import KNeighborsTransformer
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from mongoose_nb.sklearn.neighbors import LSHNeighbors


@parametrize_with_checks([LSHNeighbors(n_neighbors=2)], expected_failed_checks=lambda estimator: {})
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("mode", ["distance", "connectivity"])
def test_a_small_graph_is_exact(metric, mode):
    X, Q = naive.data("l2", 200, 12), naive.data("l2", 20, 12, seed=1)
    ours = LSHNeighbors(6, metric=metric, mode=mode).fit(X)
    theirs = KNeighborsTransformer(n_neighbors=6, metric=metric, mode=mode, algorithm="brute").fit(X)
    for rows in (X, Q):
        a, b = ours.transform(rows), theirs.transform(rows)
        assert a.shape == b.shape and (a.indptr == b.indptr).all() and (a.indices == b.indices).all()
        np.testing.assert_allclose(a.data, b.data, atol=2e-3)  # ours are computed in float32
    for arguments in ((), (None, 3)):
        (a, i), (b, j) = ours.kneighbors(*arguments), theirs.kneighbors(*arguments)
        assert (i == j).all()
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    assert (ours.kneighbors(Q, return_distance=False) == theirs.kneighbors(Q, return_distance=False)).all()


def test_in_a_pipeline():
    X = np.concatenate([np.random.default_rng(i).normal(10 * i, 0.3, (50, 5)) for i in range(4)])
    ours, theirs = (make_pipeline(graph, DBSCAN(eps=2, min_samples=5, metric="precomputed")).fit_predict(X)
                    for graph in (LSHNeighbors(8), KNeighborsTransformer(n_neighbors=8)))
    assert (ours == theirs).all() and len(set(ours)) >= 4


def test_equal_rows_keep_their_number_of_neighbours():
    X = np.zeros((30, 3))
    distances, indices = LSHNeighbors(4).fit(X).kneighbors()
    assert indices.shape == (30, 4) and not distances.any()


def test_hamming_is_a_share():
    X = naive.data("hamming", 60, 10)
    distances, indices = LSHNeighbors(3, metric="hamming").fit(X).kneighbors(X)
    assert (indices[:, 0] >= 0).all() and distances[:, 0].max() == 0 and distances.max() <= 1


@pytest.mark.parametrize("codes", [np.arange(5), [-1, 1], [0, 2], [16777216, 16777217, 7], [0.25, 0.5, 3.0]])
@pytest.mark.parametrize("train_size", ["exact", "tables"])
def test_hamming_compares_codes(codes, train_size):
    """Also of rows that hold codes which the rows of `fit` did not."""
    rng = np.random.default_rng(0)
    n = 150 if train_size == "exact" else 1500
    X, Q = rng.choice(codes, (n, 6)), rng.choice([*codes, 99], (20, 6))
    ours = LSHNeighbors(3, metric="hamming", L=100).fit(X)
    theirs = KNeighborsTransformer(n_neighbors=3, metric="hamming", algorithm="brute").fit(X)
    distances, indices = ours.kneighbors(Q)
    np.testing.assert_allclose(distances, (X[indices] != Q[:, None]).mean(axis=2), rtol=1e-6)
    if n == 150:
        np.testing.assert_allclose(distances, theirs.kneighbors(Q)[0], rtol=1e-6)
        np.testing.assert_allclose(ours.kneighbors()[0], theirs.kneighbors()[0], rtol=1e-6)


def test_hamming_refuses_measurements():
    with pytest.raises(ValueError, match="rows of codes"):
        LSHNeighbors(3, metric="hamming").fit(np.random.default_rng(0).random((300_000, 1)))
    ones = LSHNeighbors(1, metric="hamming").fit(naive.data("hamming", 60, 10))
    with pytest.raises(ValueError, match="zeros and ones"):
        ones.kneighbors(np.full((1, 10), 2))


def test_squared_distances():
    X = naive.data("l2", 200, 12)
    theirs = KNeighborsTransformer(n_neighbors=5, metric="sqeuclidean", algorithm="brute").fit(X)
    np.testing.assert_allclose(LSHNeighbors(5, metric="sqeuclidean").fit(X).kneighbors()[0], theirs.kneighbors()[0], rtol=1e-4)


def test_recall_is_tuned_for():
    X = naive.data("l2", 1500, 16)
    model = LSHNeighbors(5, recall=0.9).fit(X)
    assert model.tuned_.recall > 0.85 and model.index_.L == model.tuned_.L


def test_errors():
    X = naive.data("l2", 50, 4)
    for arguments, name in (({"metric": "no metric"}, "metric"), ({"n_neighbors": 0}, "n_neighbors"), ({"mode": "graph"}, "mode")):
        with pytest.raises(ValueError, match=name):
            LSHNeighbors(**arguments).fit(X)
    with pytest.raises(ValueError, match="n_neighbors"):
        LSHNeighbors(50).fit(X).kneighbors()
