"""Numbers in texts: what they look like, and nothing else that Python would take."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mongoose_nb.core.text_numbers import are_plain, to_float, to_int


@given(st.integers())
def test_integers_come_back(n):
    assert to_int(str(n)) == n and to_int(f"{n:+d}") == n


@given(st.floats(allow_nan=False))
def test_numbers_come_back(x):
    assert to_float(repr(x)) == x == to_float(f" {x!r}\t")


@pytest.mark.parametrize("text", ["1_0", " 1", "1 ", "1\n", "", "1.0", "1e3", "0x1", "١", "nan", "one"])
def test_what_is_no_integer_is_refused(text):
    with pytest.raises(ValueError, match="is no whole number"):
        to_int(text)


@pytest.mark.parametrize("text", ["1_0", "1_0.5", "١", "", "one", "1,5", "0x1"])
def test_what_is_no_number_is_refused(text):
    with pytest.raises(ValueError, match="is no number"):
        to_float(text)


@given(st.text(alphabet="0123456789_.e+-١ naif", max_size=6))
def test_nothing_is_taken_that_python_would_not_take(text):
    for own, python in ((to_int, int), (to_float, float)):
        try:
            value = own(text)
        except ValueError:
            continue
        other = python(text)
        assert value == other or value != value and other != other
    try:
        float(text)
    except ValueError:
        return
    assert are_plain([text]) == ("_" not in text and text.isascii())
