"""What estimators share: a prediction sees the attributes of one fit, and a fit that fails changes nothing."""

import numpy as np
import pytest

from mongoose_nb import ClickClassifier, LGDClassifier, LGDRegressor, MongooseClassifier, SetClassifier, SetRegressor, SolarClassifier
from mongoose_nb.sklearn.base import at_once, of_one_fit

ROWS = np.random.default_rng(0).standard_normal((60, 4)).astype(np.float32)
WIDE, FEW = np.arange(60) % 30, np.arange(60) % 2
SETS = ROWS.reshape(60, 2, 2)
CLICKS = np.c_[WIDE, FEW]

# (estimator, rows and targets of the first fit, those of the second, attribute that every prediction reads)
CASES = {
    "solar": (SolarClassifier(chunks=2, epochs=1), (ROWS, WIDE), (ROWS[:, :2], FEW), "codes_"),
    "mongoose": (MongooseClassifier(hidden=(4,), epochs=1, ranking=None), (ROWS, WIDE), (ROWS[:, :2], FEW), "n_features_in_"),
    "click": (ClickClassifier(epochs=1), (CLICKS, FEW), (CLICKS[:20, :1], np.where(FEW, "yes", "no")[:20]), "encoder_"),
    "set": (SetClassifier(epochs=1), (SETS, WIDE), (SETS[:, :, :1], FEW), "n_features_in_"),
    "set-numbers": (SetRegressor(epochs=1), (SETS, ROWS[:, :3]), (SETS[:, :, :1], ROWS[:, 0]), "n_features_in_"),
    "lgd": (LGDClassifier(epochs=1, L=4), (ROWS, WIDE), (ROWS[:, :2], FEW), "coef_"),
    "lgd-numbers": (LGDRegressor(epochs=1, L=4), (ROWS, ROWS[:, 0]), (ROWS[:, :2], ROWS[:, 1]), "coef_"),
}


class _Refitted:
    """An attribute that fits its estimator anew, on other data, when it is read: the worst moment for another thread's fit."""

    def __init__(self, name, owner, data):
        self.name, self.owner, self.data = name, owner, data

    def __get__(self, model, cls=None):
        value = model.__dict__[self.name]
        if self.data is not None:
            data, self.data = self.data, None
            self.owner.fit(*data)
        return value

    def __set__(self, model, value):
        model.__dict__[self.name] = value


@pytest.mark.parametrize("case", CASES)
def test_a_fit_amid_a_prediction(case):
    model, first, second, name = CASES[case]
    model = type(model)(**model.get_params()).fit(*first)
    before = model.predict(first[0])
    model.__class__ = type(type(model).__name__, (type(model),), {name: _Refitted(name, model, second)})
    amid = model.predict(first[0])
    np.testing.assert_array_equal(amid, before)
    assert len(model.predict(second[0])) == len(second[0])  # the fit has taken place


@pytest.mark.parametrize("model", [LGDRegressor(method="sgd", lr=1e6), LGDClassifier(method="sgd", lr=1e300)])
def test_a_fit_that_diverges_changes_nothing(model):
    model.set_params(lr=0.1).fit(ROWS, FEW)
    before = {key: np.copy(value) for key, value in vars(model).items() if key.endswith("_")}
    model.set_params(lr=1e300)
    with pytest.raises(FloatingPointError), np.errstate(all="ignore"):
        model.fit(ROWS[:, :2], FEW)
    model.set_params(lr=0.1)
    assert model.n_features_in_ == 4
    for key, value in before.items():
        np.testing.assert_array_equal(getattr(model, key), value)


def test_a_first_partial_fit_that_fails_leaves_no_model():
    model = ClickClassifier(batch_size=0)
    for y in (FEW[:5], FEW):
        with pytest.raises(ValueError, match="rows|batch_size"):
            model.partial_fit(CLICKS, y)
        assert not hasattr(model, "model_") and not hasattr(model, "classes_")


def test_attributes_of_one_fit():
    class Model:
        @of_one_fit
        def read(self, other):
            other.value = 2
            return self.value

        @at_once
        def fit(self, other, value):
            self.value = value
            assert other.value != value
            if value > 3:
                raise ValueError(f"{value} is above 3")
            return self

    model = Model()
    model.value = 1
    assert model.read(model) == 1 and model.value == 2 and Model.read.__name__ == "read"
    assert model.fit(model, 3) is model and model.value == 3
    with pytest.raises(ValueError, match="above 3"):
        model.fit(model, 4)
    assert model.value == 3
