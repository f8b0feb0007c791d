"""PStable: an oracle, collision frequencies, folding, and probes. The contract of all families is in test_base."""

import itertools

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.stats import binomtest, kstest

from mongoose_nb.hashing import PStable


def positions(X, family):
    """(n, L, K) float64: projections in widths of a slot, offset and centre included."""
    state = family.state()
    mu = 0 if family.center is None else family.center.astype(np.float64)
    return ((X.astype(np.float64) - mu) @ state["functions"].astype(np.float64) + state["offset"]).reshape(len(X), family.L, family.K)


def pair(dim, distance, p, rng):
    step = rng.standard_normal(dim)
    x = rng.standard_normal(dim)
    return np.stack([x, x + distance * step / np.linalg.norm(step, p)])


@pytest.mark.parametrize("p", [2, 1])
@pytest.mark.parametrize("distance", [0.2, 1.0, 5.0])
def test_collision_frequency(p, distance):
    # One hash per table and 32 bits: 20,000 independent slots.
    X = pair(24, distance, p, np.random.default_rng(3))
    family = PStable(24, K=1, L=20_000, seed=8, width=2.0, p=p)
    codes = family.hash(X)
    low, high = binomtest(int((codes[0] == codes[1]).sum()), 20_000).proportion_ci(0.999, "exact")
    assert low <= family.collision_probability(distance) <= high
    assert family.collision_probability_of(*X) == pytest.approx(family.collision_probability(distance), rel=1e-5)


@pytest.mark.parametrize("p", [2, 1])
def test_collision_probability_is_the_integral(p):
    # over the projected distance u: it has density f and is below the wall with probability 1 - u / width
    from scipy.integrate import quad
    from scipy.stats import cauchy, norm

    family = PStable(3, 1, 1, width=1.7, p=p)
    density = norm.pdf if p == 2 else cauchy.pdf
    for distance in (0.1, 1.0, 30.0):
        expected = quad(lambda u, c=distance: 2 / c * density(u / c) * (1 - u / 1.7), 0, 1.7, limit=200)[0]
        assert family.collision_probability(distance) == pytest.approx(expected, rel=1e-6)
    assert family.collision_probability(0) == 1


def test_folding_adds_its_share():
    # Rows far apart share slots hardly ever, and a code of 4 bits one time in 16.
    X = pair(10, 1000.0, 2, np.random.default_rng(0))
    family = PStable(10, K=3, L=20_000, seed=2, width=1.0, code_bits=4)
    codes = family.hash(X)
    agree = codes[0] == codes[1]
    low, high = binomtest(int(agree.sum()), 20_000).proportion_ci(0.999, "exact")
    one = PStable(10, K=3, L=1, width=1.0, code_bits=4)
    assert low <= one.retrieval_probability(1000.0) <= high
    assert one.retrieval_probability(1000.0) == pytest.approx(1 / 16, abs=1e-4)
    counts = np.bincount(codes.ravel(), minlength=16)
    assert abs(counts - 2500).max() < 5 * np.sqrt(2500)


def test_codes_tell_slots_apart():
    # 32 bits: rows have the same code where they have the same slots, and only there
    family = PStable(6, K=4, L=7, seed=1, width=2.0, center=np.arange(6))
    X = np.random.default_rng(0).standard_normal((300, 6)).astype(np.float32)
    slots = np.floor(positions(X, family)).astype(int)
    codes = family.hash(X)
    for t in range(7):
        numbers = np.unique(slots[:, t], axis=0, return_inverse=True)[1].ravel()
        assert len(set(zip(numbers, codes[:, t]))) == len(set(numbers)) == len(set(codes[:, t]))


@pytest.mark.parametrize("K, probes", [(1, 3), (2, 9), (4, 81), (6, 50), (10, 30)])
def test_probes_are_the_cheapest_moves(K, probes):
    family = PStable(9, K=K, L=3, seed=5, width=3.0)
    X = np.random.default_rng(K).standard_normal((5, 9)).astype(np.float32)
    codes = family.probe_tables(X, probes)
    at = positions(X, family)
    below = at - np.floor(at)
    moves = np.array(list(itertools.product((0, -1, 1), repeat=K)))
    for i, t in np.ndindex(5, 3):
        gap = np.where(moves == -1, below[i, t], np.where(moves == 1, 1 - below[i, t], 0))
        cost = (gap**2).sum(axis=1)
        order = np.argsort(cost, kind="stable")[:probes]
        expected = [fold(np.floor(at[i, t]) + moves[m], t, family) for m in order]
        assert np.diff(cost[order]).min() > 1e-6, "the oracle needs costs that differ"
        np.testing.assert_array_equal(codes[t, i], expected)


_WORD = 2**64 - 1


def mix64(x):
    x = (x + 0x9E3779B97F4A7C15) & _WORD
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _WORD
    return x ^ (x >> 31)


def fold(slots, t, family):
    """Code of the slots of table t."""
    key = int(family.state()["mix_key"])
    total = 0
    for k, slot in enumerate(slots):
        total += mix64(mix64(mix64(key) ^ (t * family.K + k)) ^ (int(slot) & _WORD))
    return mix64(total & _WORD) >> (64 - family.code_bits)


@pytest.mark.parametrize("code_bits", [1, 3, 5])
def test_probes_differ_even_where_few_codes_are_left(code_bits):
    family = PStable(4, K=4, L=3, code_bits=code_bits)
    assert family.max_probes == 2**code_bits
    codes = family.probe_tables(np.random.default_rng(0).standard_normal((20, 4)), family.max_probes)
    np.testing.assert_array_equal(np.sort(codes, axis=2), np.broadcast_to(np.arange(2**code_bits), codes.shape))


def test_functions_are_normal_or_cauchy():
    for p, name in ((2, "norm"), (1, "cauchy")):
        family = PStable(50, K=10, L=20, seed=4, p=p, width=0.5)
        assert kstest(family.state()["functions"].ravel() * 0.5, name).pvalue > 0.001
        assert kstest(family.state()["offset"], "uniform").pvalue > 0.001


def test_huge_rows_have_codes():
    family = PStable(5, K=3, L=4, width=1e-3)
    X = np.full((2, 5), 3e38)
    X[1] *= -1
    codes = family.probe_tables(X, 9)
    assert (np.diff(np.sort(codes, axis=2).astype(np.int64), axis=2) > 0).all()
    np.testing.assert_array_equal(family.hash(sp.csr_array(X)), codes[:, :, 0].T)


def test_wrong_options():
    for options, text in (({"width": 0}, "width is 0"), ({"width": float("nan")}, "width"), ({"p": 3}, "p is 3"),
                          ({"code_bits": 33}, "code_bits is 33")):
        with pytest.raises(ValueError, match=text):
            PStable(4, 2, 2, **options)
    state = PStable(4, 2, 2).state()
    with pytest.raises(ValueError, match="offset"):
        PStable.from_state({**state, "offset": state["offset"][1:]})
