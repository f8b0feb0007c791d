"""Linear models on drawn rows, beside closed forms and scikit-learn."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.utils.estimator_checks import parametrize_with_checks

from mongoose_nb import LGDClassifier, LGDRegressor

rng = np.random.default_rng(0)
X = rng.standard_normal((3000, 5)) * [1, 10, 0.1, 1, 1] + [0, 5, 0, 0, 100]
W = np.array([1.0, 0.2, -3.0, 0.0, 2.0])
Y = X @ W + 7 + 0.3 * rng.standard_t(3, 3000)
CLASS = np.where((X - X.mean(0)) @ W + 0.5 * rng.standard_normal(3000) > 0, "up", "down")


@pytest.mark.slow
@parametrize_with_checks([LGDClassifier(), LGDRegressor()])
def test_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.parametrize("batches", ["auto", "lgd", "uniform"])
@pytest.mark.parametrize("method, lr", [("adagrad", 0.1), ("sgd", 0.02), ("adam", 0.005)])
def test_least_squares(batches, method, lr):
    model = LGDRegressor(batches=batches, method=method, lr=lr, random_state=0).fit(X, Y)
    exact = np.linalg.lstsq(np.column_stack([X, np.ones(3000)]), Y, rcond=None)[0]
    best = np.mean((np.column_stack([X, np.ones(3000)]) @ exact - Y) ** 2)
    assert np.mean((model.predict(X) - Y) ** 2) < 1.03 * best and model.score(X, Y) > 0.9
    assert [entry["epoch"] for entry in model.history_] == list(range(1, 11))
    chosen = {entry["batches"] for entry in model.history_}
    assert chosen == {batches} if batches != "auto" else chosen <= {"lgd", "uniform"}
    assert np.isnan([entry["variance_ratio"] for entry in model.history_]).all() == (batches == "uniform")


@pytest.mark.parametrize("batches", ["lgd", "uniform"])
def test_two_classes(batches):
    model = LGDClassifier(batches=batches, random_state=0).fit(X, CLASS)
    assert model.classes_.tolist() == ["down", "up"] and model.coef_.shape == (1, 5)
    assert model.score(X, CLASS) > 0.9
    proba = model.predict_proba(X)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    np.testing.assert_array_equal(model.classes_[proba.argmax(axis=1)], model.predict(X))


def test_more_classes():
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    y = (Z @ rng.standard_normal((5, 4))).argmax(axis=1)
    model = LGDClassifier(random_state=0).fit(X, y)
    assert model.decision_function(X).shape == (3000, 4) and len(model.history_) == 4
    assert model.score(X, y) > 0.9
    np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1)


def test_same_seed_same_model():
    a, b = (LGDRegressor(batches="lgd", epochs=2, random_state=5).fit(X, Y) for _ in range(2))
    np.testing.assert_array_equal(a.coef_, b.coef_)
    assert (a.coef_ != LGDRegressor(batches="lgd", epochs=2, random_state=6).fit(X, Y).coef_).any()


def test_scikit_learn_accepts_it():
    base = pytest.importorskip("sklearn.base")
    model = base.clone(LGDRegressor(epochs=2, lr=0.05))
    assert model.get_params()["lr"] == 0.05
    assert base.is_regressor(model) and base.is_classifier(LGDClassifier())


def test_constant_columns_and_targets():
    flat = np.column_stack([X, np.full(3000, 3.0)])
    assert np.isfinite(LGDRegressor(epochs=2).fit(flat, Y).coef_).all()
    np.testing.assert_allclose(LGDRegressor(epochs=2, batches="lgd").fit(X[:50], np.full(50, 4.0)).predict(X[:3]), 4.0, atol=1e-6)
    assert LGDRegressor().fit(X[:1], Y[:1]).predict(X[:1]) == pytest.approx(Y[0])


@pytest.mark.parametrize("change, message", [
    (dict(X=X[:, 0]), "Expected 2D array"), (dict(X=np.where(X > 9, np.nan, X)), "NaN"),
    (dict(y=Y[:5]), "3000"), (dict(X=X * 1e200), "scale"),
    (dict(y=np.full(3000, np.inf)), "finite"), (dict(y=Y * 1e200), "y holds values of up to .*scale y")])
def test_bad_data(change, message):
    with pytest.raises(ValueError, match=message):
        LGDRegressor().fit(**{"X": X, "y": Y, **change})


def test_bad_calls():
    for odd, message in ((Y, "continuous"), (np.where(CLASS == "up", 1.0, np.nan), "NaN"), (np.eye(3000, 3), "several labels")):
        with pytest.raises(ValueError, match=message):
            LGDClassifier().fit(X, odd)
    with pytest.raises(TypeError, match="numbers"):
        LGDRegressor().fit(X.astype(str), Y)
    with pytest.raises(TypeError, match="toarray"):
        LGDRegressor().fit(sparse.csr_matrix(X), Y)
    with pytest.raises(Exception, match="fit first"):
        LGDRegressor().predict(X)
    with pytest.raises(ValueError, match="one class"):
        LGDClassifier().fit(X, np.zeros(3000))
    with pytest.raises(ValueError, match="batches"):
        LGDRegressor(batches="some").fit(X, Y)
    with pytest.raises(FloatingPointError, match="lower lr"):
        LGDRegressor(method="sgd", lr=1e6).fit(X, Y)
    model = LGDRegressor(epochs=1).fit(X, Y)
    with pytest.raises(ValueError, match="5"):
        model.predict(X[:, :3])
