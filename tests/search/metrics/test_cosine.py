"""Cosine distances of rows that are nearly parallel, which ``1 - q . x`` of float32 rounds away."""

import numpy as np
import pytest
import scipy.sparse as sp

from mongoose_nb.search import LSHIndex
from mongoose_nb.search.metrics import Cosine

N, DIM = 2200, 24
FORMS = {"dense": lambda X: X, "sparse": sp.csr_matrix,
         "wide": lambda X: sp.csr_matrix((sp.csr_matrix(X).data, 90_000 * np.tile(np.arange(DIM), len(X)), np.arange(0, X.size + 1, DIM)),
                                         shape=(len(X), 90_000 * DIM))}


def nearly_parallel(seed=0):
    """Rows at cosine distances of about 1e-9 to 1e-5 from each other."""
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(DIM) + 10 ** rng.uniform(-4.5, -2.5, (N, 1)) * rng.standard_normal((N, DIM))).astype(np.float32)


def oracle(Q, X):
    Q, X = (np.asarray(part, np.float64) / np.linalg.norm(np.asarray(part, np.float64), axis=1, keepdims=True) for part in (Q, X))
    return 0.5 * np.square(Q[:, None] - X[None]).sum(axis=2)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("n", [2, 40])  # one by one, and proposed by a product of matrices
def test_nearly_parallel_rows_have_digits_and_an_order(form, n):
    X = nearly_parallel()
    index = LSHIndex("cosine", DIM if form != "wide" else 90_000 * DIM, train_size=10**9)
    index.add(FORMS[form](X))
    ids, distances = index.query(FORMS[form](X[:n]), 5, exact=True)
    want = np.sort(oracle(X[:n], X), axis=1)[:, :5]
    assert want[:, 1:].max() < 1e-5 and (ids[:, 0] == np.arange(n)).all()
    assert (distances[:, 0] == 0).all()
    np.testing.assert_allclose(distances[:, 1:], want[:, 1:], rtol=0.02)


@pytest.mark.parametrize("form", ["dense", "sparse"])
def test_hash_tables_find_them_too(form):
    X = nearly_parallel(1)
    index = LSHIndex("cosine", DIM)
    index.add(FORMS[form](X))
    distances = index.query(FORMS[form](X[:40]), 5)[1]
    want = np.sort(oracle(X[:40], X), axis=1)[:, :5]
    assert (distances <= 1.02 * want[:, -1:]).mean() > 0.7 and (distances[:, 0] == 0).all()
    indptr, ids, near = index.radius(FORMS[form](X[:3]), 1e-7, exact=True)
    for i in range(3):
        within = oracle(X[i:i + 1], X)[0]
        assert abs(indptr[i + 1] - indptr[i] - (within <= 1e-7).sum()) <= (np.abs(within / 1e-7 - 1) < 0.02).sum()


@pytest.mark.parametrize("storage", ["float16", "int8"])
@pytest.mark.filterwarnings("ignore:.*rounds numbers")
def test_a_kept_row_finds_itself_at_zero(storage):
    """Its length is one up to rounding alone, which was its distance."""
    X = np.random.default_rng(2).standard_normal((2200, DIM)).astype(np.float32)
    index = LSHIndex("cosine", DIM, storage=storage)
    index.add(X)
    for n in (2, 40):
        assert (index.query(X[:n], 1, exact=True)[1] < 1e-12).all()


@pytest.mark.parametrize("storage", [None, "float16", "int8"])
@pytest.mark.parametrize("n", [2, 40])
def test_distances_and_order_are_those_of_what_is_kept(storage, n):
    """On both sides of the distance below which rows are compared by differences."""
    rng = np.random.default_rng(3)
    X = (rng.standard_normal(DIM) + 10 ** rng.uniform(-1.5, 0, (N, 1)) * rng.standard_normal((N, DIM))).astype(np.float32)
    index = LSHIndex("cosine", DIM, storage=storage, train_size=10**9)
    index.add(X)
    kept = index.get(index.ids)
    ids, distances = index.query(kept[:n], 300, exact=True)
    want = oracle(kept[:n], kept)
    assert want.min() < 2.0**-7 and np.sort(want, axis=1)[:, 299].max() > 2.0**-5
    np.testing.assert_allclose(distances, np.take_along_axis(want, ids, axis=1), rtol=2e-5, atol=1e-12)
    np.testing.assert_allclose(distances, np.sort(want, axis=1)[:, :300], rtol=2e-5, atol=1e-12)


def test_rows_of_zeros_are_at_one_from_all():
    X = np.array([[0, 0], [3, 4], [3, 4]], np.float32)
    for form in ("dense", "sparse"):
        index = LSHIndex("cosine", 2)
        index.add(FORMS[form](X))
        np.testing.assert_array_equal(index.query(FORMS[form](X[:2]), 3, exact=True)[1], [[1, 1, 1], [0, 0, 1]])
    np.testing.assert_array_equal([Cosine().exact(q, X) for q in X[:2]], [[1, 1, 1], [1, 0, 0]])


def test_sets_that_differ_in_one_of_many_have_digits():
    """The same of Jaccard's distance: ``1 - shared / union`` had none below 6e-8."""
    n = 100_000
    X = sp.csr_matrix((np.ones(2 * n + 1, bool), np.r_[np.arange(n + 1), np.arange(n)], [0, n + 1, 2 * n + 1]))
    index = LSHIndex("jaccard", n + 1)
    index.add(X)
    np.testing.assert_allclose(index.query(X[0], 2)[1], [[0, 1 / (n + 1)]], rtol=1e-6)
