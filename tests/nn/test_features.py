"""Feature steps: what they compute, what they refuse, and that they are saved."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.feature_extraction.text import TfidfTransformer

from mongoose_nb import MongooseClassifier
from mongoose_nb.core.arrays import Rows
from mongoose_nb.core.registry import describe, make, registered
from mongoose_nb.core.saving import join, restore, split, state_of
from mongoose_nb.nn import Features
from mongoose_nb.nn.features import StandardColumns, TfIdf, has_dense_columns, make_features, transform_batch

rng = np.random.default_rng(0)
X = sparse.random(40, 25, 0.2, format="csr", dtype=np.float32, random_state=1)
X.data[:] = rng.integers(1, 6, X.nnz)
X = sparse.csr_matrix(X.toarray() * (np.arange(40) != 3)[:, None])  # an empty row
NEW = X[20:]


def lengths(rows):
    return np.sqrt(np.asarray(rows.multiply(rows).sum(1)).ravel())


@pytest.mark.parametrize("name", registered("features", "mongoose_nb."))
def test_all_of_them(name):
    step = make_features(name).fit(X)
    before = NEW.copy()
    rows = step.transform(NEW)
    assert rows.format == "csr" and rows.dtype == np.float32 and rows.shape == NEW.shape
    assert (NEW != before).nnz == 0
    np.testing.assert_allclose(step.transform(NEW.toarray()), rows.toarray(), rtol=1e-6)
    if name not in ("none", "standard"):
        np.testing.assert_allclose(lengths(step.transform(X))[np.arange(40) != 3], 1, rtol=1e-6)
        assert lengths(step.transform(X))[3] == 0
    again = make("features", describe(step))
    restore(again, join(*split(state_of(step))))
    assert (again.transform(NEW) != rows).nnz == 0


@pytest.mark.parametrize("sublinear", [False, True])
def test_tf_idf_is_that_of_scikit_learn(sublinear):
    counts = X.copy()
    if sublinear:  # there it is 1 + log(count); here log(1 + count)
        counts.data = np.log1p(counts.data)
    np.testing.assert_allclose(TfIdf(sublinear).fit(X).transform(NEW).toarray(),
                               TfidfTransformer().fit(X).transform(counts[20:]).toarray() if not sublinear
                               else _unit(counts[20:].toarray() * TfidfTransformer().fit(X).idf_), rtol=1e-5)


def _unit(rows):
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-30)


def test_logarithms():
    np.testing.assert_allclose(make_features("log").fit(X).transform(X).toarray(), _unit(np.log1p(X.toarray())), rtol=1e-5)


def test_a_step_of_the_users_own():
    class Signs(Features):
        def apply(self, X):
            out = X.copy()
            out.data = np.sign(out.data)
            return out

    step = make_features(Signs())
    assert set(step.fit(X).transform(X).data) == {1.0}
    assert describe(step)["name"].endswith("Signs")


@pytest.mark.parametrize("call, error, message", [
    (lambda: make_features("tfidf").transform(X), ValueError, "not fitted"),
    (lambda: make_features("tfidf").fit(X).transform(X[:, :5]), ValueError, "5 features|25"),
    (lambda: make_features("log").fit(-X).transform(-X), ValueError, "negative values; use features='unit'"),
    (lambda: make_features("bm26"), ValueError, "features 'bm26' is unknown"),
    (lambda: make_features(3), TypeError, "must be one of")])
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_damaged_state_is_refused():
    step = TfIdf().fit(X)
    with pytest.raises(ValueError, match="the saved idf has shape"):
        restore(TfIdf(), {**state_of(step), "idf": step.idf[:-1]})


def mixed():
    """Columns in units of their own, a constant one, one of few rows, an indicator, and one without values."""
    some = np.random.default_rng(5)
    dense = some.standard_normal((200, 3)) * [1000, 1e-3, 1] + [5000, 0, -7]
    few = some.random(200) < 0.2
    return np.column_stack([dense, np.full(200, 3.0), np.where(few, some.normal(0, 50, 200), 0), few, np.zeros(200)]).astype(np.float32)


def test_columns_of_one_scale_beside_scikit_learn():
    from sklearn.preprocessing import StandardScaler

    table = mixed()
    step = StandardColumns().fit(table)
    out = step.transform(table)
    np.testing.assert_allclose(out[:, :3], StandardScaler().fit_transform(table[:, :3].astype(np.float64)), rtol=1e-4, atol=1e-4)
    assert (out[:, 3] == 0).all() and (out[:, 6] == 0).all()
    np.testing.assert_array_equal(out[:, 5], table[:, 5])
    has = table[:, 4] != 0
    np.testing.assert_allclose((out[has, 4] ** 2).mean(), 1, rtol=1e-5)
    assert (out[~has, 4:6] == 0).all()
    rows = step.transform(sparse.csr_matrix(table))
    assert rows.has_canonical_format and rows.nnz == 200 * 4 + np.count_nonzero(table[:, 4:])
    np.testing.assert_allclose(rows.toarray(), out, rtol=1e-6)


def test_a_batch_is_transformed_as_the_matrix():
    table = sparse.csr_matrix(mixed())
    step, rows = StandardColumns().fit(table), np.array([3, 150, 7])
    batch = transform_batch(step, Rows.of(table, rows))
    want = step.transform(table[rows])
    np.testing.assert_array_equal(batch.ids, want.indices)
    np.testing.assert_array_equal(batch.values, want.data)
    np.testing.assert_array_equal(batch.count, np.diff(want.indptr))


def test_which_rows_have_dense_columns():
    assert has_dense_columns(sparse.csr_matrix(mixed()))
    text = sparse.random(300, 500, 0.05, format="lil", random_state=0)
    text[:, 0] = 1  # a word that all texts have
    assert not has_dense_columns(text.tocsr()) and not has_dense_columns(sparse.csr_matrix((5, 5)))


def test_a_large_offset_keeps_its_digits():
    """Years: the difference of two large numbers, taken in double precision."""
    years = np.random.default_rng(1).integers(2000, 2020, (100, 1)).astype(np.float32)
    out = StandardColumns().fit(years).transform(years)
    np.testing.assert_allclose(out, (years - years.mean()) / years.astype(np.float64).std(), atol=1e-5)


def _table(scale, shift, n=1500):
    """Six groups of categories beside four numbers, and the class that a linear score of both prefers."""
    rng = np.random.default_rng(0)
    sizes = (5, 8, 12, 20, 3, 30)
    codes, numbers = [rng.integers(g, size=n) for g in sizes], rng.standard_normal((n, 4))
    scores = sum(rng.standard_normal((g, 6))[c] for g, c in zip(sizes, codes)) + 1.5 * numbers @ rng.standard_normal((4, 6))
    X = np.hstack([*(np.eye(g)[c] for g, c in zip(sizes, codes)), numbers * scale + shift]).astype(np.float32)
    return X, scores.argmax(axis=1)


@pytest.mark.parametrize("scale, shift", [((1, 1000, 1e5, 0.01), (0.1, 5e3, 1e6, 0.1)), ((1, 3, 10, 0.3), (0, 5, 40, 1))])
def test_numbers_beside_categories_are_standardised(scale, shift):
    """Categories are most of the entries of a row; numbers of other units would drown them."""
    X, y = _table(np.array(scale), np.array(shift))
    assert has_dense_columns(sparse.csr_matrix(X))
    fitted = MongooseClassifier(random_state=0).fit(X[:1000], y[:1000])
    assert fitted.score(X[1000:], y[1000:]) > 0.7  # without the step 0.27; logistic regression of standard columns 0.83


def test_texts_have_no_dense_columns():
    """A word that all texts have is a count, or light, or in rows that somebody has weighted."""
    rng = np.random.default_rng(0)
    counts = sparse.random(200, 500, 0.05, "csr", np.float32, rng, lambda k: rng.integers(1, 4, k)).tolil()
    counts[:, 0] = rng.integers(1, 60, (200, 1))
    counts = sparse.csr_matrix(counts, dtype=np.float32)
    assert not has_dense_columns(counts)
    for step in ("tfidf", "unit", "log"):
        assert not has_dense_columns(make_features(step).fit(counts).transform(counts)), step
