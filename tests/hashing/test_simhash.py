"""SimHash: collision frequencies, functions, and options. The contract of all families is in test_base."""

import numpy as np
import pytest
from scipy.stats import binomtest

from mongoose_nb.hashing import SimHash


def pair(dim, cosine, rng):
    """Two rows of this cosine, of different norms."""
    q, _ = np.linalg.qr(rng.standard_normal((dim, 2)))
    return 3 * q[:, 0], 0.5 * (cosine * q[:, 0] + np.sqrt(1 - cosine**2) * q[:, 1])


@pytest.mark.parametrize("projection", ["gaussian", "sparse"])
@pytest.mark.parametrize("cosine", [-0.8, 0.0, 0.5, 0.9, 0.99])
def test_collision_frequency_is_one_minus_angle_over_pi(projection, cosine):
    # One bit per table: 20,000 independent functions. Rows without structure, so sums of 100 signs are nearly normal.
    x, y = pair(300, cosine, np.random.default_rng(7))
    family = SimHash(300, K=1, L=20_000, seed=11, projection=projection)
    codes = family.hash(np.stack([x, y]))
    agree = binomtest(int((codes[0] == codes[1]).sum()), 20_000)
    low, high = agree.proportion_ci(0.999, "exact")
    assert low <= family.collision_probability(cosine) <= high
    assert family.collision_probability_of(x, y) == pytest.approx(1 - np.arccos(cosine) / np.pi, abs=1e-6)


def test_retrieval_frequency():
    # 2,500 independent sets of 8 tables
    family = SimHash(24, K=4, L=20_000, seed=2)
    codes = family.hash(np.stack(pair(24, 0.6, np.random.default_rng(3))))
    hits = (codes[0] == codes[1]).reshape(-1, 8).any(axis=1)
    low, high = binomtest(int(hits.sum()), hits.size).proportion_ci(0.999, "exact")
    assert low <= SimHash(24, K=4, L=8).retrieval_probability(0.6) <= high


def test_first_hash_is_the_most_significant_bit():
    family = SimHash(6, K=3, L=5, seed=4)
    X = np.random.default_rng(0).standard_normal((20, 6))
    bits = (X @ family.functions.astype(np.float64) > 0).reshape(20, 5, 3)
    np.testing.assert_array_equal(family.hash(X), bits @ np.array([4, 2, 1]))


@pytest.mark.parametrize("density, count", [(1 / 3, 17), (0.01, 1), (1.0, 50)])
def test_sparse_functions(density, count):
    functions = SimHash(50, K=4, L=30, seed=3, projection="sparse", density=density).functions
    assert set(np.unique(functions)) <= {-1, 0, 1}
    np.testing.assert_array_equal((functions != 0).sum(axis=0), count)
    if count > 1:
        plus = binomtest(int((functions > 0).sum()), 120 * count).proportion_ci(0.999, "exact")
        assert plus.low <= 0.5 <= plus.high
    if count == 17:
        used = (functions != 0).sum(axis=1)  # binomial per coordinate: 120 functions, 17 of 50 each
        assert abs(used - 120 * 17 / 50).max() < 5 * np.sqrt(120 * 17 / 50 * 33 / 50)


def test_gaussian_functions_are_standard_normal():
    from scipy.stats import kstest

    functions = SimHash(101, K=9, L=11, seed=3).functions.ravel()  # an odd number of entries
    assert kstest(functions, "norm").pvalue > 0.001
    neighbours = np.corrcoef(functions[:-1], functions[1:])[0, 1]
    assert abs(neighbours) < 3.3 / np.sqrt(functions.size)


def test_a_row_at_the_centre_has_code_zero():
    rng = np.random.default_rng(0)
    mu = rng.standard_normal(40).astype(np.float32)
    family = SimHash(40, K=8, L=10, center=mu)
    np.testing.assert_array_equal(family.hash(np.stack([mu] * 20)), 0)
    np.testing.assert_array_equal(SimHash(40, K=8, L=10).hash(np.zeros((20, 40))), 0)
    X = rng.standard_normal((50, 40))
    shifted = SimHash(40, K=8, L=10).hash(X - mu)
    assert (family.hash(X) == shifted).mean() > 0.99  # the same but for the rounding of X - mu


def test_learned_functions():
    family = SimHash(10, K=2, L=3)
    learned = np.random.default_rng(1).standard_normal((10, 6))
    family.set_functions(learned)
    assert family.version == 1
    np.testing.assert_array_equal(family.functions, learned.astype(np.float32))
    x = np.random.default_rng(2).standard_normal(10)
    np.testing.assert_array_equal(family.hash(x)[0], (x @ learned > 0).reshape(3, 2) @ [2, 1])
    with pytest.raises(ValueError):
        family.functions[0, 0] = 1
    with pytest.raises(ValueError, match=r"\(10, 6\)"):
        family.set_functions(learned.T)
    with pytest.raises(ValueError, match="NaN"):
        family.set_functions(learned * np.nan)
    assert family.version == 1


def test_collision_probability_of_zero_and_close_rows():
    family = SimHash(3, K=1, L=1)
    zero, x = np.zeros(3), np.array([1.0, 2, 3])
    assert family.collision_probability_of(zero, zero) == 1
    assert family.collision_probability_of(zero, x) == 0.5
    assert family.collision_probability_of(x, -x) == 0
    family.set_center([1, 2, 2])
    assert family.collision_probability_of(x, [1, 3, 2]) == pytest.approx(0.5)


def test_wrong_options():
    with pytest.raises(ValueError, match="'dense'.*'gaussian' or 'sparse'"):
        SimHash(8, 2, 2, projection="dense")
    for density in (0, 1.1, float("nan")):
        with pytest.raises(ValueError, match="density"):
            SimHash(8, 2, 2, projection="sparse", density=density)
