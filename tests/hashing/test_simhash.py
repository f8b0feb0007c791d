"""SimHash: collision frequencies, functions, and options. The contract of all families is in test_base."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from mongoose_nb.core.registry import registered
from mongoose_nb.hashing import MinHash, SimHash
from mongoose_nb.hashing.flips import flip_order
from mongoose_nb.testing import check_collisions, check_sensitivity
from mongoose_nb.testing.strategies import pairs


@pytest.mark.parametrize("options, values, nnz", [
    ({"dim": 300, "K": 1, "L": 1000}, (-0.8, 0.0, 0.5, 0.9, 0.99, 1.0), None),
    ({"dim": 300, "K": 1, "L": 1000}, (0.0, 0.9), 2),
    ({"dim": 24, "K": 4, "L": 500}, (0.3, 0.6, 0.9), None),
    # Rows without structure, so sums of 100 signs are nearly normal.
    ({"dim": 300, "K": 1, "L": 1000, "projection": "sparse"}, (-0.8, 0.0, 0.5, 0.9, 0.99), None),
])
def test_collision_frequency_is_one_minus_angle_over_pi(options, values, nnz):
    check_collisions(lambda seed: SimHash(**options, seed=seed), values=values, nnz=nnz)


def test_sensitivity():
    near, far = SimHash(2, 1, 1).collision_probability([0.8, 0.4])
    check_sensitivity(lambda seed: SimHash(20, K=3, L=500, seed=seed), 0.8, 0.5, near**3, far**3)


@settings(deadline=None, max_examples=40)
@given(pairs("cosine", dim=st.integers(2, 60)))
def test_collision_probability_of_two_rows_is_that_of_their_angle(pair):
    x, y, cosine = pair
    family = SimHash(len(x), K=1, L=1)
    assert family.collision_probability_of(x, 8 * y) == pytest.approx(family.collision_probability(cosine), abs=1e-7)


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


def by_rank(margins, K, probes):
    """The oracle of multi-probe: signs, and those of the least certain ranks flipped; margins (n, L * K) -> codes (L, n, probes)."""
    n = len(margins)
    out = np.zeros((margins.shape[1] // K, n, probes), np.int64)
    for t, i in np.ndindex(out.shape[:2]):
        own = margins[i, t * K:t * K + K]
        place = np.argsort(np.abs(own), kind="stable")
        for p, flips in enumerate(flip_order(K, probes).tolist()):
            signs = own > 0
            for r in range(K):
                if flips >> r & 1:
                    signs[place[r]] = ~signs[place[r]]
            out[t, i, p] = int("".join("01"[s] for s in signs.astype(int)), 2)
    return out


@pytest.mark.parametrize("K, probes", [(1, 2), (5, 12), (12, 40)])
@pytest.mark.parametrize("centred", [False, True])
def test_probes_flip_the_least_certain_signs(K, probes, centred):
    X = np.random.default_rng(0).standard_normal((40, 20)).astype(np.float32)
    family = SimHash(20, K, 3, seed=1, center=X.mean(axis=0) if centred else None)
    center = family.center if centred else np.zeros(20)
    want = by_rank((X - np.float64(center)) @ family.functions.astype(np.float64), K, probes)
    np.testing.assert_array_equal(family.probe_tables(X, probes), want)
    if centred:
        assert family.sign_functions is None
    else:
        wide = np.column_stack([X, np.full((40, 2), 7, np.float32)])  # coordinates that are not hashed
        np.testing.assert_array_equal(family.probe_signs(wide, probes).transpose(1, 0, 2), want)
        np.testing.assert_array_equal(family.sign_functions, family.functions)


def test_a_subclass_that_hashes_otherwise_has_no_sign_functions():
    class Other(SimHash):
        def _hash_dense(self, X, out):
            out[:] = 0

    class Same(SimHash):
        pass

    assert Other(4, 2, 2).sign_functions is None and Same(4, 2, 2).sign_functions is not None
    with pytest.raises(NotImplementedError, match="MinHash has no sign_functions"):
        MinHash(4, 2, 2).probe_signs(np.zeros((1, 4), np.float32), 1)


def test_functions_of_an_index_are_orthogonal_in_groups():
    family = SimHash.for_index(6, 4, 5, seed=2)
    for lo in range(0, 20, 6):
        group = family.functions[:, lo:lo + 6].astype(np.float64)
        np.testing.assert_allclose(group.T @ group, np.eye(group.shape[1]), atol=1e-6)
    sparse = SimHash.for_index(6, 4, 5, seed=2, projection="sparse")
    np.testing.assert_array_equal(sparse.functions, SimHash(6, 4, 5, seed=2, projection="sparse").functions)


@pytest.mark.parametrize("name", registered("hash family", "mongoose_nb."))
def test_hashes_for_an_index(name):
    """More for more rows; within what a code can hold, and about four rows in a bucket where a hash is one bit."""
    cls = registered("hash family", "mongoose_nb.")[name]
    some = [cls.hashes_for(n, 32) for n in (2, 1000, 10**5, 10**7)]
    assert some == sorted(some) and some[0] >= 1
    assert cls.for_index(32, some[-1], 2, seed=1).code_bits <= 32
    if cls.bits_per_hash == 1:
        assert 1000 / 2 ** cls.hashes_for(1000, 32) == pytest.approx(4, rel=0.5)
