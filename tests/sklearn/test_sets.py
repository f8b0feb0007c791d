"""Estimators on sets: what does not matter, what is missing, files, and what is refused."""

import numpy as np
import pytest

from mongoose_nb import SetClassifier, SetRegressor
from mongoose_nb.hashing import PStable
from mongoose_nb.sklearn.base import NotFittedError
from mongoose_nb.sklearn.ragged import as_sets, take


def data(n=240, seed=0):
    """Clouds of two widths, and the mean square of their points."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    X = [rng.normal(scale=1 + label, size=(rng.integers(20, 40), 2)).astype(np.float32) for label in y]
    return X, np.array(["narrow", "wide"])[y], np.array([np.square(x).mean() for x in X])


SETTINGS = [{}, {"pool": "max", "phi": (16,)}, {"bins": PStable(2, K=1, L=1, width=2.0, seed=1), "n_bins": 4, "rho": ()}]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
class TestBoth:
    def test_it_learns_and_order_does_not_matter(self, settings, tmp_path):
        X, y, z = data()
        rng = np.random.default_rng(1)
        mixed = [x[rng.permutation(len(x))] for x in X]
        for model, target in ((SetClassifier(epochs=12, random_state=3, **settings), y), (SetRegressor(epochs=12, **settings), z)):
            model.fit(X, target)
            assert model.score(X, target) > (0.8 if target is y else 0.3) and model.history_[-1] < model.history_[0]
            out = model._outputs(X)
            np.testing.assert_allclose(model._outputs(mixed), out, atol=1e-4)
            np.testing.assert_allclose(model._outputs(X[5:9]), out[5:9], atol=1e-5)
            again = type(model)(**model.get_params()).fit(as_sets(X), target)
            assert again._outputs(X).tobytes() == out.tobytes()
            model.save(tmp_path / "m")  # also with an object as an argument
            loaded = type(model).load(tmp_path / "m")
            np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
            assert loaded.predict(X).dtype == model.predict(X).dtype

    def test_missing_records_are_as_if_left_out(self, settings):
        X, y, _ = data(60)
        padded = np.full((60, 40, 2), np.nan, np.float32)
        for i, x in enumerate(X):
            padded[i, 40 - len(x):] = x
        a, b = (SetClassifier(epochs=2, **settings).fit(some, y) for some in (X, padded))
        assert a._outputs(X).tobytes() == b._outputs(padded).tobytes()


def test_vectors_empty_sets_and_no_sets():
    X, _, z = data(60)
    model = SetRegressor(epochs=2).fit(X, np.stack([z, -z, z], axis=1))
    assert model.predict(X).shape == (60, 3) and model.predict([]).shape == (0, 3)
    assert np.isfinite(model.predict([np.empty((0, 2)), X[0]])).all()
    c = SetClassifier(epochs=1).fit(X, np.arange(60) % 3)
    assert c.predict_proba([]).shape == (0, 3) and c.predict([]).shape == (0,) and c.decision_function(X).shape == (60, 3)
    np.testing.assert_allclose(c.predict_proba(X).sum(axis=1), 1)


def test_taking_sets():
    records, start = as_sets([np.full((n, 1), n) for n in (2, 0, 3, 1)])
    some, places = take(records, start, np.array([2, 1, 0]))
    assert some[:, 0].tolist() == [3, 3, 3, 2, 2] and places.tolist() == [0, 3, 3, 5]


X, Y, Z = data(20)


@pytest.mark.parametrize("sets, y, error, words", [
    (X, Y[:5], ValueError, "20 sets and y 5"), (X, np.zeros(20), ValueError, "two classes"), ([*X[:-1], X[0][0]], Y, ValueError, "set 19"),
    ([*X[:-1], np.ones((3, 3))], Y, ValueError, r"\[2, 3\]"), ("text", Y, TypeError, "sequence of arrays"),
    ([x * np.inf for x in X], Y, ValueError, "infinity"), ([x.astype(str) for x in X], Y, TypeError, "numbers"),
    ((X[0], np.array([0, 5, 9])), Y[:2], ValueError, "start must"), ([x[:0] for x in X], Y, ValueError, "no records")],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "")
def test_refused_fits_change_nothing(sets, y, error, words):
    model = SetClassifier(epochs=1).fit(X, Y)
    before = model._outputs(X).tobytes()
    with pytest.raises(error, match=words):
        model.fit(sets, y)
    assert model._outputs(X).tobytes() == before


def test_refused_predictions():
    with pytest.raises(Exception, match="call fit first"):
        SetRegressor().predict(X)
    model = SetRegressor(epochs=1).fit(X, Z)
    with pytest.raises(ValueError, match="2 columns"):
        model.predict([np.ones((3, 5))])
    with pytest.raises(ValueError, match="finite"):
        model.fit(X, Z * np.nan)
    with pytest.raises(ValueError, match="squares are beyond float64"):
        model.fit(X, Z.astype(np.float64) * 1e200)
    for name, value in (("epochs", 0), ("batch_size", 0), ("lr", 0.0), ("pool", "median"), ("phi", ())):
        with pytest.raises(ValueError, match=name):
            SetRegressor(**{name: value}).fit(X, Z)


@pytest.mark.parametrize("given, message", [(dict(phi=8), "phi must be a list of widths"), (dict(rho=8), "rho must be a list of widths"),
                                            (dict(bins="pstable", n_bins=4), "bins must be a hash family, .*; got 'pstable'")])
def test_settings_of_another_type(given, message):
    with pytest.raises(TypeError, match=message):
        SetClassifier(**given).fit(X, Y)


def test_targets_of_a_regression_are_no_classes():
    for y, message in ((np.arange(20) + 0.5, "continuous"),
                       (np.where(np.arange(20) > 3, np.nan, 1.0), "NaN"), (np.eye(20), "several labels")):
        with pytest.raises(ValueError, match=message):
            SetClassifier(epochs=1).fit(X, y)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function"])
def test_not_fitted(method):
    with pytest.raises(NotFittedError, match="call fit first"):
        getattr(SetClassifier(), method)([np.zeros((1, 2))])
