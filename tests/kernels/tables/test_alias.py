"""Alias tables give every row its probability."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mongoose_nb.kernels.tables.alias import build_alias


def build(p):
    p = np.asarray(p, float)
    cells = np.empty((len(p), 2), np.uint32)
    build_alias(p, cells)
    return cells


def implied(cells):
    """The probabilities of a table's draws: every cell has the same, and shares it between two rows."""
    keep = cells[:, 0] / 2.0**32
    return (keep + np.bincount(cells[:, 1], 1 - keep, len(keep))) / len(keep)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.floats(0, 1e6, allow_subnormal=False), min_size=1, max_size=60).filter(lambda p: sum(p) > 0))
def test_any_probabilities(weights):
    p = np.array(weights) / np.sum(weights)
    cells = build(p)
    assert (cells[:, 1] < len(p)).all()
    np.testing.assert_allclose(implied(cells), p, atol=1e-9)


@pytest.mark.parametrize("n", [1, 2, 4, 1000])
def test_equal_ones(n):
    np.testing.assert_allclose(implied(build(np.full(n, 1 / n))), 1 / n, rtol=1e-9)


def test_rows_without_probability_are_never_drawn():
    cells = build([0.0, 0.75, 0.0, 0.25])
    assert cells[0, 0] == cells[2, 0] == 0 and set(cells[:, 1].tolist()) == {1, 3}


def test_a_long_tail():
    p = 1.0 / np.arange(1, 100_001)
    p /= p.sum()
    np.testing.assert_allclose(implied(build(p)), p, atol=1e-12)
