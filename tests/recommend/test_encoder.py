"""Columns as users have them: missing values, mixed types, long ids, booleans, names of several levels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recommend.test_click_classifier import Frame, make

from mongoose_nb import ClickClassifier
from mongoose_nb.recommend.encoder import Encoder

Y = [0, 1, 0, 1]


class NA:
    """As the NA of pandas: no truth value."""

    def __eq__(self, other):
        return self

    __ne__ = __eq__
    __hash__ = None

    def __bool__(self):
        raise TypeError("boolean value of NA is ambiguous")


def column(values, dtype=object):
    out = np.empty((len(values), 1), dtype)
    out[:, 0] = values
    return out


def ids(encoder, values, dtype=object):
    return encoder.transform(column(values, dtype))[0][:, 0]


@pytest.mark.parametrize("hashed", [False, True])
@pytest.mark.parametrize("values, others", [
    ([1, 2, None, 3], [1.0, 2.0, np.nan, 3.0]), (["a", None, "b", "c"], ["a", np.nan, b"b", "c"]), ([1, NA(), 2, 2], ["1", "", "2", "2"]),
    ([True, False, True, False], ["True", "False", "True", "False"]), (["True", "False", "", "x"], [True, False, None, "x"]),
    ([2**63, 5, 2**70, -1], [str(2**63), "5", str(2**70), "-1"]), (["1", "x", "2.5", "7"], [1.0, "x", 2.5, 7]),
    ([1, 0, 1, 0], [True, False, True, False]),
])
def test_equal_values_are_one_category_whatever_their_type(hashed, values, others):
    for first, second in ((values, others), (others, values)):
        one = Encoder(hashed=hashed).fit(column(first))
        found = ids(one, first)
        assert np.array_equal(ids(one, second), found) and len(np.unique(found)) == len({str(value) for value in values})


@pytest.mark.parametrize("values, dtype", [([np.nan, 3, 4, np.nan], float), (["2020-01-02", "NaT", "2020-01-03", "NaT"], "datetime64[D]"),
                                           ([2**63 + 1, 2**63 + 2, 5, 6], np.uint64)])
def test_arrays_of_one_type(values, dtype):
    given = np.array(values, dtype)
    for hashed in (False, True):
        one = Encoder(hashed=hashed).fit(given[:, None])
        found = one.transform(given[:, None])[0][:, 0]
        assert np.array_equal(found, ids(one, given.tolist())) and len(np.unique(found)) == len({str(value) for value in values})


def test_long_ids_take_little_room():
    values = ["x" * 100_000 + str(i) for i in range(3)] + ["y"]
    one = Encoder().fit(column(values))
    assert one.vocabulary[0].itemsize <= 4 * 256 and len(np.unique(ids(one, values))) == 4
    assert np.array_equal(ids(one, np.array(values[::-1])), ids(one, values)[::-1])


@settings(max_examples=25, deadline=None)
@given(values=st.lists(st.one_of(st.none(), st.booleans(), st.integers(-2**66, 2**66), st.floats(-1e6, 1e6), st.text(max_size=4),
                                 st.binary(max_size=3)), min_size=1, max_size=8), hashed=st.booleans())
def test_any_column_of_objects_is_learned_and_met_again(values, hashed):
    """Fractions alone are refused; everything else has ids, which are the same for a row alone."""
    one = Encoder(hashed=hashed)
    try:
        one.fit(column(values))
    except ValueError as error:
        assert "whole numbers or texts" in str(error) or "tell whole numbers apart" in str(error)
        return
    found = ids(one, values)
    if float not in {type(value) for value in values}:  # a row of a fraction alone is refused
        assert [int(ids(one, [value])[0]) for value in values] == found.tolist()
    again = Encoder.of(one.settings(), one.arrays())
    assert np.array_equal(ids(again, values), found)


def test_missing_numbers_are_named():
    X = Frame({"user": np.arange(4), "price": np.array([1.0, np.nan, 2.0, np.inf])})
    for call in (lambda: make(numeric=None).fit(X, Y), lambda: make(numeric=["price"]).fit(X, Y)):
        with pytest.raises(ValueError, match=r"'price' holds 2 NaN or infinity among 4 numbers, the first in row 1: fill these in"):
            call()
    with pytest.raises(ValueError, match="holds 1 NaN"):
        make(numeric=[1]).fit([[1, 2], [2, None], [3, 4], [4, 4]], Y)
    with pytest.raises(ValueError, match="column 1 is one of numbers, and holds 'b' in row 1"):
        make(numeric=[1]).fit([[1, 2], [2, "b"], [3, 4], [4, 4]], Y)


def test_names_and_shapes(tmp_path):
    X = Frame({("user", "id"): np.arange(4), ("item", "id"): np.arange(4), ("item", "price"): np.linspace(0, 1, 4)})
    one = make(numeric=None).fit(X, Y)
    one.save(tmp_path / "m")
    assert np.array_equal(ClickClassifier.load(tmp_path / "m").decision_function(X), one.decision_function(X))
    other = Frame({name: X[name] for name in X.columns[::-1]})
    with pytest.raises(ValueError, match="X has its columns in another order, first .*price.* where .*user"):
        one.predict(other)
    with pytest.raises(ValueError, match="X has columns more 'more'; the model was trained with 3 columns: give these, in this order"):
        one.partial_fit(Frame({**{name: X[name] for name in X.columns}, "more": np.arange(4)}), Y)
    with pytest.raises(ValueError, match="X has 2 columns; the model was trained with 3"):
        one.predict([[1, 2]])
    assert one.predict(Frame({name: X[name][:1] for name in X.columns})).shape == (1,)
    with pytest.raises(ValueError, match=r"for a single row, give \[row\]"):
        one.predict([1, 2, 0.5])
    masked = np.ma.array(np.arange(8).reshape(4, 2), mask=np.eye(4, 2, dtype=bool))
    with pytest.raises(ValueError, match="X is a masked array"):
        make(numeric=None).fit(masked, Y)


def test_numbers_far_from_those_of_training():
    encoder = Encoder(numeric=[1, 2]).fit(np.c_[np.arange(40) % 9, np.linspace(0, 3, 40), np.linspace(0, 1e30, 40)])
    assert np.isfinite(encoder.transform([[1, 5e11, -1e30]])[1]).all()
    for row, name in (([1, 2e19, 0], 1), ([1, -1e30, 1e30], 1)):
        with pytest.raises(ValueError, match=rf"column {name} holds the number .* in row 1, .* standard deviations from the mean"):
            encoder.transform([[1, 1, 1], row])
    tiny = Encoder(numeric=[1]).fit([[1, 0], [1, 1e-30]])
    with pytest.raises(ValueError, match="inf standard deviations"):
        tiny.transform([[1, 1e30]])
