"""CrossPolytope: a naive rotation, collision frequencies, widths of codes, feature hashing, and probes. Contract: test_base."""

import itertools
import math

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse as sp
from scipy.stats import binomtest

from mongoose_nb.hashing import CrossPolytope
from mongoose_nb.kernels.hashing.hadamard import LANES


def naive_rotations(X, family):
    """(n, K * L, m) float64: every function's rotation of every row, by dense matrices."""
    state, m = family.state(), family.polytope_dim
    X = X.astype(np.float64)
    mu = np.zeros(family.dim) if family.center is None else family.center.astype(np.float64)
    if family.feature_dim:
        sketch = np.zeros((family.dim, m))
        sketch[np.arange(family.dim), state["slot"]] = state["sign"]
        X, mu = X @ sketch, mu @ sketch
    rows = np.zeros((len(X), m))
    rows[:, : X.shape[1]] = X - mu
    H = scipy.linalg.hadamard(m)
    flips = state["flips"].reshape(-1, 3, m, LANES)
    out = []
    for f in range(family.K * family.L):
        y = rows
        for r in range(3):
            y = (y * flips[f // LANES, r, :, f % LANES]) @ H
        out.append(y)
    return np.stack(out, axis=1)


def naive_codes(rotated, family, probes):
    """All codes of every table sorted by cost, (n, L, probes), and their costs."""
    n, m = len(rotated), family.polytope_dim
    codes, costs = np.empty((n, family.L, probes), np.int64), np.empty((n, family.L, probes))
    for row in range(n):
        for t in range(family.L):
            choices = []
            for k in range(family.K):
                size = family.last_dim if k == family.K - 1 else m
                y = rotated[row, t * family.K + k, :size]
                signed = np.concatenate([y, -y])
                choices.append([((abs(y).max() - v) ** 2, digit, 2 * size) for digit, v in enumerate(signed)])
            found = []
            for combination in itertools.product(*choices):
                code = 0
                for _, digit, size in combination:
                    code = code * size + digit
                found.append((sum(cost for cost, _, _ in combination), code))
            found.sort()
            costs[row, t], codes[row, t] = zip(*found[:probes])
    return codes, costs


@pytest.mark.parametrize("options", [
    {"dim": 16, "K": 2}, {"dim": 11, "K": 2, "last_dim": 1}, {"dim": 3, "K": 3, "last_dim": 2}, {"dim": 70, "K": 1, "last_dim": 32},
    {"dim": 40, "K": 2, "feature_dim": 8, "center": np.linspace(-1, 1, 40)}, {"dim": 5, "K": 1}, {"dim": 64, "K": 1},
])
def test_codes_and_probes_are_those_of_dense_rotations(options):
    family = CrossPolytope(L=9, seed=3, **options)
    X = np.random.default_rng(0).standard_normal((6, family.dim)).astype(np.float32)
    rotated = naive_rotations(X, family)
    probes = min(60, family.max_probes)
    codes, costs = naive_codes(rotated, family, probes)
    scale = np.linalg.norm(rotated, axis=2).mean() ** 2
    ours = family.probe_tables(X, probes)
    clear = costs[:, :, 1] > 1e-5 * scale  # coordinates of small polytopes can be equal but for rounding
    assert clear.mean() > 0.8
    np.testing.assert_array_equal(family.hash(X)[clear], codes[clear, 0])
    np.testing.assert_array_equal(family.hash(X), ours[:, :, 0].T)
    np.testing.assert_allclose(cost_of(ours.transpose(1, 0, 2), rotated, family) / scale, costs / scale, atol=1e-5)
    if probes == family.max_probes:
        np.testing.assert_array_equal(np.sort(ours, axis=2), np.broadcast_to(np.arange(probes), ours.shape))


def cost_of(codes, rotated, family):
    """Cost of every code (n, L, probes), from its digits."""
    costs = np.zeros(codes.shape)
    for row, t in np.ndindex(codes.shape[:2]):
        rest = codes[row, t].astype(np.int64)
        for k in reversed(range(family.K)):
            size = family.last_dim if k == family.K - 1 else family.polytope_dim
            y = rotated[row, t * family.K + k, :size]
            rest, digit = np.divmod(rest, 2 * size)
            costs[row, t] += (abs(y).max() - np.concatenate([y, -y])[digit]) ** 2
    return costs


def test_many_probes_of_a_large_polytope():
    # more values than are sorted by plain insertion, and more than half of them
    family = CrossPolytope(512, K=2, L=2, seed=1, last_dim=8)
    X = np.random.default_rng(0).standard_normal((2, 512)).astype(np.float32)
    rotated = naive_rotations(X, family)
    _, costs = naive_codes(rotated, family, 700)
    scale = np.linalg.norm(rotated, axis=2).mean() ** 2
    np.testing.assert_allclose(cost_of(family.probe_tables(X, 700).transpose(1, 0, 2), rotated, family) / scale, costs / scale, atol=1e-5)


def pair(dim, theta, rng):
    """Two rows at this angle, of different norms."""
    q, _ = np.linalg.qr(rng.standard_normal((dim, 2)))
    return 3 * q[:, 0], 0.5 * (math.cos(theta) * q[:, 0] + math.sin(theta) * q[:, 1])


@pytest.mark.parametrize("dim, theta", [(128, 0.3), (128, 1.0), (100, 0.6), (32, 0.8), (16, 0.5)])
def test_collision_frequency(dim, theta):
    # One hash per table: 20,000 independent functions. The stated errors: of the formula 2 %, of the rotation 5 % at m = 16.
    error = 1.02 if dim > 16 else 1.07
    x, y = pair(dim, theta, np.random.default_rng(7))
    family = CrossPolytope(dim, K=1, L=20_000, seed=11)
    codes = family.hash(np.stack([x, y]))
    low, high = binomtest(int((codes[0] == codes[1]).sum()), 20_000).proportion_ci(0.999, "exact")
    assert low / error <= family.collision_probability(math.cos(theta)) <= high * error
    assert family.collision_probability_of(x, y) == pytest.approx(family.collision_probability(math.cos(theta)), rel=1e-5)


def test_collision_frequency_of_sparse_rows():
    # One coordinate, and the same with another beside it: the hard case for few rounds of signs. The stated error is 12 %.
    x = np.zeros(128)
    x[0] = 1
    y = 0.8 * x
    y[5] = 0.6
    family = CrossPolytope(128, K=1, L=20_000, seed=2)
    codes = family.hash(sp.csr_array(np.stack([x, y])))
    low, high = binomtest(int((codes[0] == codes[1]).sum()), 20_000).proportion_ci(0.999, "exact")
    assert low / 1.12 <= family.collision_probability(0.8) <= high * 1.12


def test_normal_agreement_in_closed_form():
    from mongoose_nb.hashing.crosspolytope import _normal_agreement

    for m in (1, 4, 64, 1024):
        assert _normal_agreement(math.pi / 2, m) == pytest.approx(1 / (2 * m), rel=1e-3)
    for theta in (0.1, 0.5, 2.0, 3.0):
        assert _normal_agreement(theta, 1) == pytest.approx(1 - theta / math.pi, abs=1e-6)  # one coordinate: a hyperplane


def test_retrieval_heeds_the_last_dim():
    x, y = pair(64, 0.7, np.random.default_rng(1))
    family = CrossPolytope(64, K=2, L=20_000, seed=5, last_dim=4)
    codes = family.hash(np.stack([x, y]))
    hits = (codes[0] == codes[1]).reshape(-1, 4).any(axis=1)
    low, high = binomtest(int(hits.sum()), hits.size).proportion_ci(0.999, "exact")
    assert low / 1.04 <= CrossPolytope(64, K=2, L=4, last_dim=4).retrieval_probability(math.cos(0.7)) <= high * 1.04


@pytest.mark.parametrize("dim, feature_dim", [(100, None), (3, None), (5000, 64)])
def test_every_width_of_a_code(dim, feature_dim):
    for bits in range(1, 33):
        family = CrossPolytope.with_bits(dim, bits, 1, feature_dim=feature_dim)
        assert family.code_bits == bits
    assert CrossPolytope.with_bits(128, 16, 3).K == 2 and CrossPolytope.with_bits(128, 17, 3).last_dim == 1
    with pytest.raises(ValueError, match="33"):
        CrossPolytope.with_bits(dim, 33, 1)


def test_opposite_and_special_rows():
    family = CrossPolytope(30, K=1, L=40, seed=1)
    x = np.random.default_rng(0).standard_normal(30)
    np.testing.assert_array_equal(family.hash(-x), family.hash(x) ^ 32)  # the sign is the highest bit
    np.testing.assert_array_equal(family.hash(np.zeros(30)), 0)
    family.set_center(x)
    np.testing.assert_array_equal(family.hash(np.float32(x)), 0)
    zero = np.zeros(30)
    family.set_center(None)
    assert family.collision_probability_of(zero, zero) == 1
    assert family.collision_probability_of(zero, x) == 1 / 64
    assert family.collision_probability_of(x, -x) == 0


def test_wrong_options():
    for name, value in (("last_dim", 3), ("feature_dim", 12), ("feature_dim", 2)):
        with pytest.raises(ValueError, match=f"{name} is {value}.*power of two"):
            CrossPolytope(16, 1, 1, **{name: value})
    with pytest.raises(ValueError, match="last_dim is 0"):
        CrossPolytope(16, 1, 1, last_dim=0)
    with pytest.raises(ValueError, match="last_dim is 32; there are 16"):
        CrossPolytope(16, 1, 1, last_dim=32)
    state = CrossPolytope(16, 1, 4, feature_dim=8).state()
    with pytest.raises(ValueError, match="flips"):
        CrossPolytope.from_state({**state, "flips": state["flips"][:, :2]})
    with pytest.raises(ValueError, match="slot"):
        CrossPolytope.from_state({**state, "slot": state["slot"] + 8})
