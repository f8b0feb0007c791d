"""Checks of single arguments."""

import numpy as np
import pytest

from mongoose_nb import LGDClassifier, LGDRegressor, LSHIndex, MongooseClassifier, Network, SetClassifier, find_duplicates
from mongoose_nb.core.validation import check_choice, check_int, check_list, check_number, check_pair, check_squares, unmasked
from mongoose_nb.sketch import DensitySketch


class TestNumber:
    @pytest.mark.parametrize("value", [1, 2.5, np.float32(2), np.int64(3)])
    def test_numbers_become_float(self, value):
        got = check_number("x", value, low=1, high=3)
        assert type(got) is float and got == value

    @pytest.mark.parametrize("value", [True, np.True_, "1", None, [1.0], 1j, np.ones(1)], ids=repr)
    def test_other_types(self, value):
        with pytest.raises(TypeError, match="rate must be a number; got"):
            check_number("rate", value)

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), np.float32("nan")])
    def test_not_finite(self, value):
        with pytest.raises(ValueError, match="rate must be a finite number"):
            check_number("rate", value)

    def test_bounds(self):
        assert check_number("x", 0, low=0) == 0 and check_number("x", 1, high=1) == 1
        for value, bounds, text in [(-0.1, {"low": 0}, "of at least 0;"), (0, {"low": 0, "open_low": True}, "above 0;"),
                                    (1.1, {"high": 1}, "of at most 1;"),
                                    (1, {"low": 0, "high": 1, "open_high": True}, "of at least 0 and below 1;")]:
            with pytest.raises(ValueError, match=text) as error:
                check_number("x", value, **bounds)
            assert f"got {float(value)!r}" in str(error.value)


class TestInt:
    @pytest.mark.parametrize("value", [3, np.int32(3), np.uint8(3)])
    def test_integers_become_int(self, value):
        got = check_int("x", value, low=3, high=3)
        assert type(got) is int and got == 3

    @pytest.mark.parametrize("value", [True, 3.0, "3", None, np.float64(3)], ids=repr)
    def test_other_types(self, value):
        with pytest.raises(TypeError, match="k must be an integer; got"):
            check_int("k", value)

    def test_bounds(self):
        for value, bounds, text in [(0, {"low": 1}, "from 1 upwards; got 0"), (5, {"high": 4}, "of at most 4; got 5"),
                                    (9, {"low": 1, "high": 8}, "from 1 to 8; got 9")]:
            with pytest.raises(ValueError, match=f"k must be an integer {text}"):
                check_int("k", value, **bounds)


def test_choice():
    assert check_choice("mode", "a", ("a", "b")) == "a"
    with pytest.raises(ValueError, match="mode must be one of 'a', 'b'; got 'c'"):
        check_choice("mode", "c", ("a", "b"))


MASKED = np.ma.masked_array(np.eye(4), np.eye(4) > 0)


@pytest.mark.parametrize("call", [
    lambda: MongooseClassifier(epochs=1).fit(MASKED, [0, 1, 0, 1]), lambda: LGDRegressor().fit(MASKED, np.arange(4)),
    lambda: Network(4, 2).predict(MASKED), lambda: Network(4, 4).fit(np.eye(4), MASKED), lambda: LSHIndex("l2", 4).add(MASKED),
    lambda: LSHIndex("jaccard", 4).add(MASKED), lambda: LSHIndex("hamming", 4).add(MASKED), lambda: find_duplicates(MASKED),
    lambda: DensitySketch().fit(MASKED), lambda: SetClassifier().fit([MASKED] * 4, [0, 1, 0, 1]),
    lambda: MongooseClassifier().fit(np.eye(4), MASKED[0]), lambda: LGDClassifier().fit(np.eye(4), MASKED[0]),
], ids=["classifier", "linear", "predict", "labels", "l2", "jaccard", "hamming", "duplicates", "density", "sets", "classes", "linear y"])
def test_masked_values_are_not_taken_for_what_is_behind_the_mask(call):
    with pytest.raises(ValueError, match="masked array in which .* masked; fill them"):
        call()


def test_masked_arrays_without_masked_values():
    given = np.ma.masked_array(np.eye(4), False)
    assert type(unmasked(given, "X")) is np.ndarray and LSHIndex("l2", 4).add(given).tolist() == [0, 1, 2, 3]


def test_pairs():
    assert check_pair("validation", [1, 2]) == (1, 2)
    for value, given in ((np.zeros((2, 3)), "ndarray"), ((1, 2, 3), "tuple of 3"), ("ab", "str"), (None, "NoneType")):
        with pytest.raises(TypeError, match=rf"validation must be a pair \(X, Y\); got {given}$"):
            check_pair("validation", value)


def test_squares():
    for values in (np.array([-1e150, 1.0]), np.zeros(0)):
        assert check_squares("y", values) is values
    with pytest.raises(ValueError, match=r"y holds values of up to 1e\+200, .* scale y"):
        check_squares("y", np.array([1.0, -1e200]))


def test_lists():
    for value in ((1, 2), [1, 2], np.array([1, 2]), {1: 0, 2: 0}):
        assert check_list("phi", value, "widths") == [1, 2]
    for value in (8, "price", b"ab", None):
        with pytest.raises(TypeError, match=f"phi must be a list of widths; got {value!r}"):
            check_list("phi", value, "widths")
