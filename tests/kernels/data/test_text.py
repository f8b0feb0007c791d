"""Numbers in, numbers out: the parser against Python's float, the writer against NumPy's shortest digits."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mongoose_nb.kernels.data import text


def parse(string):
    buf = np.frombuffer(string.encode() + b"\n", np.uint8)
    return text.parse_number(buf, 0, len(string))


def ulps(a, b):
    """Distance of two float32 of the same sign in steps."""
    a, b = np.float32(a), np.float32(b)
    return abs(int(np.abs(a).view(np.int32)) - int(np.abs(b).view(np.int32)))


NUMBERS = st.from_regex(r"[+-]?([0-9]{1,25}(\.[0-9]{0,25})?|\.[0-9]{1,25})([eE][+-]?[0-9]{1,3})?", fullmatch=True)


@pytest.mark.slow
@settings(deadline=None, max_examples=400)
@given(NUMBERS)
def test_parse_is_within_one_ulp_of_python(string):
    end, value = parse(string)
    assert end == len(string)
    with np.errstate(over="ignore"):
        ours, right = np.float32(value), np.float32(float(string))
    assert ulps(ours, right) <= 1
    assert np.signbit(ours) == np.signbit(right)


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 2**53), st.integers(-22, 22))
def test_parse_is_exact_where_one_rounding_is_enough(digits, power):
    string = f"{digits}e{power}"
    assert parse(string)[1] == float(string)


@pytest.mark.parametrize("string", ["", "+", "-", ".", "e5", "1e", "1e+", "-.e1", "nan", "inf", "x"])
def test_no_number(string):
    assert parse(string)[0] == -1


@pytest.mark.parametrize(("string", "value"), [
    ("0", 0.0), ("-0", -0.0), ("007", 7.0), ("1.", 1.0), (".5", 0.5), ("1e400", np.inf), ("1e-400", 0.0),
    ("0e99999999999999999999", 0.0), ("1e99999999999999999999", np.inf), ("1" + "0" * 400 + "e-400", 1.0),
    ("0." + "0" * 400 + "1e401", 1.0),
])
def test_corners(string, value):
    end, parsed = parse(string)
    assert (end, parsed) == (len(string), value)


def put(value):
    out = np.zeros(40, np.uint8)
    end = text.put_number(out, 0, value)
    assert not out[end:].any()
    return out[:end].tobytes().decode()


def some_floats():
    rng = np.random.default_rng(5)
    values = rng.integers(0, 2**32, 3000, dtype=np.uint32).view(np.float32)
    corners = np.array([0, -0.0, 1, -1, 0.1, 1e-5, 123456789, 1e9, 1e10, 16777216, 3.4028235e38, 1e-45, 1.1754944e-38,
                        0.001,
                        9.9999994e-1, 999999.94, 8.5e-3], np.float32)
    steps = np.float32(10.0) ** np.arange(-44, 39, dtype=np.float32)
    near = np.concatenate([steps, np.nextafter(steps, np.float32(0)), np.nextafter(steps, np.float32(np.inf))])
    values = np.concatenate([values, corners, near, np.arange(-300, 300, dtype=np.float32) / 8])
    return values[np.isfinite(values)]


def test_put_round_trips_and_is_short():
    for value in some_floats():
        string = put(value)
        assert len(string) <= 16
        back = np.float32(float(string))
        assert back == value and np.signbit(back) == np.signbit(value), string
        assert np.float32(parse(string)[1]) == value
        digits = re.sub(r"e.*|\D", "", string).strip("0")
        shortest = np.format_float_scientific(value, unique=True)
        assert len(digits) <= len(re.sub(r"e.*|\D", "", shortest).strip("0")), (string, shortest)


@pytest.mark.parametrize(("value", "string"), [
    (1.0, "1"), (-2.5, "-2.5"), (0.1581, "0.1581"), (0.00025, "0.00025"), (0.000025, "2.5e-5"), (120.0, "120"),
    (1e9, "1e9"),
    (123456784.0, "123456780"), (3e-10, "3e-10"), (0.0, "0"),
])
def test_put_looks_like_a_human_wrote_it(value, string):
    assert put(np.float32(value)) == string
