"""Comparisons of 64 bytes at once, against NumPy."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mongoose_nb.core.jit import serial
from mongoose_nb.kernels.common.lanes import LANES, at_least, lowest_bit


@serial
def ask(array, start, level):
    return at_least(array, start, level)


@serial
def lowest(word):
    return lowest_bit(word)


@given(values=st.lists(st.integers(0, 255), min_size=2 * LANES, max_size=2 * LANES), start=st.integers(0, LANES), level=st.integers(0, 255))
def test_at_least(values, start, level):
    """Every byte has its bit, at any place of an array."""
    array = np.array(values, np.uint8)
    word = int(ask(array, start, np.uint8(level)))
    assert [word >> b & 1 for b in range(LANES)] == [int(v >= level) for v in values[start:start + LANES]]


@given(st.integers(1, 2**64 - 1))
def test_lowest_bit(word):
    """It counts the zeros below."""
    assert lowest(np.uint64(word)) == (word & -word).bit_length() - 1
