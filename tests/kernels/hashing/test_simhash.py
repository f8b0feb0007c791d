"""The hashing kernels against naive oracles."""

import numpy as np
import pytest
import scipy.sparse as sp

from mongoose_nb.hashing import DWTA, SimHash
from mongoose_nb.kernels.hashing import drawing
from mongoose_nb.kernels.hashing import simhash as kernels
from mongoose_nb.kernels.hashing.densify import ATTEMPTS

# --- SimHash ----------------------------------------------------------------------------------------------------------


def naive_simhash(X, family):
    """Signs of float64 sums taken coordinate by coordinate."""
    functions = family.functions.astype(np.float64)
    total = np.zeros((len(X), functions.shape[1]))
    offset = np.zeros(functions.shape[1])
    for i in range(family.dim):
        total += X[:, i, None].astype(np.float64) * functions[i]
        if family.center is not None:
            offset += np.float64(family.center[i]) * functions[i]
    bits = (total > offset).reshape(len(X), family.L, family.K).astype(np.int64)
    return bits @ (1 << np.arange(family.K)[::-1])


def nearly_orthogonal_rows(family, n, rng):
    """Float32 rows whose projection on one function is zero but for rounding."""
    X = rng.standard_normal((n, family.dim))
    for i, row in enumerate(X):
        p = family.functions[:, i % family.functions.shape[1]].astype(np.float64)
        row -= (row @ p) / (p @ p) * p
    if family.center is not None:
        X += family.center
    return X.astype(np.float32)


@pytest.mark.parametrize("dim", [1, 7, 64, 300])
@pytest.mark.parametrize("projection", ["gaussian", "sparse"])
@pytest.mark.parametrize("centred", [False, True])
def test_signs_near_zero_are_those_of_the_float64_sum(dim, projection, centred):
    rng = np.random.default_rng(dim)
    family = SimHash(dim, K=7, L=11, seed=dim, projection=projection)
    if centred:
        family.set_center(10 * rng.standard_normal(dim))
    X = np.concatenate([
        nearly_orthogonal_rows(family, 50, rng),
        rng.integers(-2, 3, (50, dim)).astype(np.float32),  # exact zeros, with sparse functions
        np.float32(1e-42) * rng.integers(-900, 900, (20, dim)).astype(np.float32),  # subnormal
        np.float32(1e38) * rng.uniform(-3, 3, (20, dim)).astype(np.float32),  # sums overflow
        np.zeros((2, dim), np.float32),
    ])
    expected = naive_simhash(X, family)
    np.testing.assert_array_equal(family.hash(X), expected)
    np.testing.assert_array_equal(family.hash(X[:5]), expected[:5])
    np.testing.assert_array_equal(family.hash(sp.csr_array(X)), expected)


def test_large_batches():
    X = np.random.default_rng(0).standard_normal((2500, 33)).astype(np.float32)
    family = SimHash(33, K=10, L=7, seed=1)
    np.testing.assert_array_equal(family.hash(X), naive_simhash(X, family))


# --- DWTA -------------------------------------------------------------------------------------------------------------

_WORD = 2**64 - 1


def mix64(x):
    x = (x + 0x9E3779B97F4A7C15) & _WORD
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _WORD
    return x ^ (x >> 31)


def key2(a, b):
    return mix64(mix64(a) ^ b)


def naive_donor(key, b, has_code):
    bins = len(has_code)
    below = [((key2(key2(key, b), c) >> 32) * bins) >> 32 for c in range(ATTEMPTS + 1)]
    scan = [(below[-1] + step) % bins for step in range(bins)]
    return next((donor for donor in below[:-1] + scan if has_code[donor]), None)


def naive_dwta(x, index, center, missing, bits, K, key):
    """Codes of one dense row, bin by bin."""
    bins = []
    for coordinates in index:
        best = None
        for position, i in enumerate(coordinates):
            if missing and x[i] == 0:
                continue
            value = x[i] - center[i]
            if best is None or value > best[0]:
                best = (value, position)
        bins.append(None if best is None else best[1])
    has_code = [code is not None for code in bins]
    full = []
    for b, code in enumerate(bins):
        if code is None:
            donor = naive_donor(key, b, has_code)
            code = 0 if donor is None else bins[donor]
        full.append(code)
    codes = []
    for start in range(0, len(full), K):
        code = 0
        for digit in full[start : start + K]:
            code = code * 2**bits + digit
        codes.append(code)
    return codes


@pytest.mark.parametrize("dim, bin_size, K, L", [
    (128, 8, 6, 20), (50, 8, 3, 9), (5, 8, 2, 6), (600, 16, 2, 12), (33, 2, 5, 7), (1, 2, 3, 2), (2000, 8, 1, 200),
])
@pytest.mark.parametrize("zeros", ["missing", "value"])
@pytest.mark.parametrize("centred", [False, True])
def test_dwta_against_the_oracle(dim, bin_size, K, L, zeros, centred):
    rng = np.random.default_rng(dim)
    center = np.round(rng.standard_normal(dim), 1).astype(np.float32) if centred else np.zeros(dim, np.float32)
    family = DWTA(dim, K, L, seed=dim, bin_size=bin_size, zeros=zeros, center=center if centred else None)
    X = rng.integers(-3, 4, (70, dim)) * 1.0 * (rng.random((70, dim)) < rng.random((70, 1)) ** 3)
    X[10:20] += rng.standard_normal((10, dim))
    X[0] = 0
    X[1] = -1
    X = X.astype(np.float32)
    few = np.r_[0:25, 65:70]  # the last rows lie in a block that is not full
    expected = [naive_dwta(X[i], family.state()["index"], center, zeros == "missing", family.bits_per_hash, K,
                           int(family._donor_key)) for i in few]
    dense, sparse = family.hash(X), family.hash(sp.csr_array(X))
    np.testing.assert_array_equal(dense[few], expected)
    np.testing.assert_array_equal(sparse, dense)


def test_a_scan_finds_the_only_donor():
    # With one candidate among 2,000 bins the hashed attempts nearly always fail.
    family = DWTA(16_000, K=1, L=2000, seed=1)
    x = np.zeros(16_000)
    coordinate = family.state()["index"][1234, 5]
    x[coordinate] = -2.0
    np.testing.assert_array_equal(family.hash(x), 5)
    np.testing.assert_array_equal(family.hash(sp.csr_array(x[None])), 5)


# --- drawing ----------------------------------------------------------------------------------------------------------


def test_choices_are_different_integers_and_depend_on_the_key():
    out, again, other = (np.empty((40, 9), np.int32) for _ in range(3))
    drawing.draw_choices(np.uint64(3), 30, out)
    drawing.draw_choices(np.uint64(3), 30, again)
    drawing.draw_choices(np.uint64(4), 30, other)
    np.testing.assert_array_equal(out, again)
    assert (out != other).mean() > 0.9
    for row in out:
        assert np.unique(row).size == 9 and row.min() >= 0 and row.max() < 30


def test_gaussian_draws_depend_on_key_and_place():
    out, other = np.empty((3, 5), np.float32), np.empty(15, np.float32)
    drawing.draw_gaussian(np.uint64(3), out)
    drawing.draw_gaussian(np.uint64(3), other)
    np.testing.assert_array_equal(out.ravel(), other)
    assert np.isfinite(out).all() and np.unique(out).size == 15


def test_exact_projection():
    rng = np.random.default_rng(0)
    x, P, out = rng.standard_normal(20).astype(np.float32), rng.standard_normal((20, 6)).astype(np.float32), np.empty(6)
    kernels.project_exact(x, P, out)
    np.testing.assert_allclose(out, x.astype(np.float64) @ P.astype(np.float64), rtol=1e-12)
