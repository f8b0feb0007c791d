"""DWTA: collision frequencies, invariances, and options. The contract of all families is in test_base."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from mongoose_nb.hashing import DWTA
from mongoose_nb.testing import METRICS, check_collisions


def enumerate_agreement(x, y, m, missing):
    """Share of ordered bins of m coordinates in which both rows have the same winner."""
    same = seen = 0
    for bin_ in itertools.permutations(range(len(x)), m):
        winners = []
        for row in (x, y):
            values = [(-np.inf if missing and row[i] == 0 else row[i]) for i in bin_]
            winners.append(None if max(values) == -np.inf else values.index(max(values)))
        if None not in winners:
            seen += 1
            same += winners[0] == winners[1]
    return same / seen if seen else np.nan


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(st.integers(-2, 2), st.integers(-2, 2)), min_size=2, max_size=6), st.sampled_from([2, 4]))
def test_collision_probability_of_two_rows_is_the_enumeration(entries, m):
    x, y = np.array(entries, float).T
    for zeros in ("missing", "value"):
        family = DWTA(len(x), K=1, L=1, bin_size=m, zeros=zeros)
        exact = enumerate_agreement(x, y, family.state()["index"].shape[1], zeros == "missing")
        np.testing.assert_allclose(family.collision_probability_of(x, y), exact, atol=1e-12)


class Only:
    """A family with one of its two probabilities."""

    def __init__(self, probability, *sizes, **options):
        family = DWTA(*sizes, **options)
        self.dim, self.hash = family.dim, family.hash
        setattr(self, probability, getattr(family, probability))


@pytest.mark.parametrize("zeros", ["missing", "value"])
@pytest.mark.parametrize("values", [(-0.5, 0.0, 0.6, 0.95), (0.9,)])
def test_collision_frequency_of_two_rows(zeros, values):
    # One hash per draw: bins of one permutation are not independent.
    def make(value, n, dim, nnz, rng):
        X, Y = METRICS["correlation"].make(value, n, dim, nnz, rng)
        return (np.maximum(X, 0), np.maximum(Y, 0)) if zeros == "value" else (X, Y)  # with ties

    check_collisions(lambda seed: Only("collision_probability_of", 15, 1, 1, seed=seed, zeros=zeros), values=values,
                     metric=replace(METRICS["correlation"], make=make), functions=4000)


@pytest.mark.slow
@pytest.mark.parametrize("dim, bin_size", [(256, 2), (256, 8), (256, 64), (9, 8), (8, 8), (5, 8), (3, 8)])
def test_collision_frequency_of_normal_coordinates(dim, bin_size):
    # Each table looks at a pair of rows of its own, so that bins of one permutation do no harm.
    report = check_collisions(lambda seed: Only("collision_probability", dim, 1, 100, seed=seed, bin_size=bin_size),
                              metric="correlation", over="pairs")
    assert "columns differ" in report


def test_bins_of_two_equal_simhash():
    rho = np.linspace(-1, 1, 21)
    pairs = DWTA(9, 1, 1, bin_size=2).collision_probability(rho)
    np.testing.assert_allclose(pairs, 1 - np.arccos(rho) / np.pi, atol=1e-12)
    np.testing.assert_allclose(DWTA(16, 1, 1, bin_size=8).collision_probability(0.0), 1 / 8)
    np.testing.assert_allclose(DWTA(9, 1, 1, bin_size=8).collision_probability(0.0), 1 / 4)  # bins hold half of the coordinates


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(-5, 5), min_size=20, max_size=20), st.integers(0, 100))
def test_increasing_maps_change_nothing(entries, seed):
    x = np.array(entries, float)
    value = DWTA(20, K=2, L=6, seed=seed, zeros="value")
    np.testing.assert_array_equal(value.hash(x), value.hash(np.exp(x / 3)))
    np.testing.assert_array_equal(value.hash(x), value.hash(7 * x - 3))
    missing = DWTA(20, K=2, L=6, seed=seed)
    np.testing.assert_array_equal(missing.hash(x), missing.hash(x**3))  # keeps zero at zero


def test_missing_zeros_differ_from_zeros_as_values():
    x = np.zeros(64)
    x[5] = -1.0
    missing, value = DWTA(64, K=1, L=8, seed=1), DWTA(64, K=1, L=8, seed=1, zeros="value")
    bin_, position = np.argwhere(missing.state()["index"] == 5)[0]
    np.testing.assert_array_equal(missing.hash(x), position)  # the one candidate wins its bin and fills the others
    expected = np.zeros(8)
    expected[bin_] = 1 if position == 0 else 0  # a zero beats it: the first, or the second where it stands first
    np.testing.assert_array_equal(value.hash(x)[0], expected)


def test_equal_supports_ask_equal_donors():
    # Rows that are empty in the same bins agree wherever the donors agree: a row and its multiple, in every bin.
    x = sp.random_array((50, 400), density=0.01, rng=np.random.default_rng(0), format="csr")
    family = DWTA(400, K=2, L=100, seed=3)
    np.testing.assert_array_equal(family.hash(x), family.hash(x * 4))


def test_donors_are_spread_over_all_bins():
    # One entry per row makes one donor for all; with two entries in two bins each is chosen about half the time.
    family = DWTA(600, K=1, L=75, seed=1)  # 75 bins, one permutation
    index = family.state()["index"]
    row = np.zeros(600)
    row[index[70, 3]], row[index[74, 6]] = 1, 1
    codes = np.concatenate([family.hash(row)[0]])
    assert codes[70] == 3 and codes[74] == 6 and set(codes) == {3, 6}
    low, high = binomtest(int((codes == 3).sum()), 75).proportion_ci(0.999, "exact")
    assert low <= 0.5 <= high


@pytest.mark.parametrize("dim", [1, 5, 8, 13, 130])
def test_bins_are_cut_from_permutations(dim):
    family = DWTA(dim, K=3, L=20)
    index = family.state()["index"]
    width = {1: 1, 5: 2, 8: 4, 13: 6, 130: 8}[dim]
    per_permutation = dim // width
    assert index.shape == (60, width)
    for start in range(0, 60, per_permutation):
        read = index[start : start + per_permutation].ravel()
        assert np.unique(read).size == read.size and read.min() >= 0 and read.max() < dim
    assert family.hash(np.arange(dim)).shape == (1, 20)


def test_permutations_are_uniform():
    # Which coordinate stands first: 6,000 permutations of 10, counts within a joint 99.9 % bound.
    first = DWTA(10, K=1, L=12_000, seed=4).state()["index"][::2, 0]
    for count in np.bincount(first, minlength=10):
        low, high = binomtest(int(count), 6000).proportion_ci(1 - 0.001 / 10, "exact")
        assert low <= 0.1 <= high


def test_wrong_options():
    for bin_size in (1, 6, 0, -8):
        with pytest.raises(ValueError, match="bin_size"):
            DWTA(16, 2, 2, bin_size=bin_size)
    with pytest.raises(TypeError, match="bin_size"):
        DWTA(16, 2, 2, bin_size="8")
    with pytest.raises(ValueError, match="'none'.*'missing' or 'value'"):
        DWTA(16, 2, 2, zeros="none")
    with pytest.raises(ValueError, match="2\\^31"):
        DWTA(16, 1, 1 << 20, bin_size=1 << 12)
    state = DWTA(16, 2, 2).state()
    with pytest.raises(ValueError, match="index"):
        DWTA.from_state({**state, "index": state["index"] + 16})
