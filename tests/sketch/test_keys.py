"""Keys of sketches as words of 64 bits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mongoose_nb.sketch.keys import as_keys


class Name(str):
    """A string of another type."""


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), max_size=8))
def test_a_string_has_one_key_whatever_is_beside_it(keys):
    alone = [int(as_keys(key)[0]) for key in keys]
    assert as_keys(keys).tolist() == as_keys(np.array(keys, object).tolist()).tolist() == alone
    assert as_keys([key.encode() for key in keys]).tolist() == as_keys([Name(key) for key in keys]).tolist() == alone


def test_integers_keep_their_value():
    assert as_keys([1, np.int8(-1), 2**64 - 1]).tolist() == [1, 2**64 - 1, 2**64 - 1]
    assert as_keys(np.array(["a", "b"])).tolist() == as_keys(["a", "b"]).tolist()


@pytest.mark.parametrize("keys, error", [([True], "bool"), ([1, "a"], "int"), ([1.0], "float"), ([None], "NoneType"), ({"a"}, "set"),
                                         (np.zeros(2), "float64"), (np.zeros((2, 2), int), "shape"), ([2**64], "64 bits")])
def test_others_are_refused(keys, error):
    with pytest.raises((TypeError, ValueError), match=error):
        as_keys(keys)
