"""Vectorised exp and its kin, against NumPy in float64."""

import numba
import numpy as np
import pytest

from mongoose_nb.kernels.common.fastmath import exp32, sigmoid32, softplus32


@numba.njit
def _apply(which, x, out):
    for i in range(x.size):
        if which == 0:
            out[i] = exp32(x[i])
        elif which == 1:
            out[i] = softplus32(x[i])
        else:
            out[i] = sigmoid32(x[i])


def apply(function, x):
    x = np.asarray(x, np.float32)
    out = np.empty_like(x)
    _apply((exp32, softplus32, sigmoid32).index(function), x, out)
    return out


X = np.concatenate([np.linspace(-87, 88, 200_001), np.linspace(-1, 1, 100_001), np.log(2) * (np.arange(-120, 120) + 0.5)])
X = X.astype(np.float32)


def test_exp():
    np.testing.assert_allclose(apply(exp32, X), np.exp(X.astype(float)), rtol=5e-7)
    assert apply(exp32, [0.0, -0.0]).tolist() == [1, 1]


def test_exp_far_out():
    low, high = apply(exp32, [-87.5, -1e4, -np.inf]), apply(exp32, [88.5, 1e4, np.inf])
    assert (0 <= low).all() and (low < 2e-38).all()
    assert np.isfinite(high).all() and (high > 1e38).all()


def test_exp_does_not_fall():
    values = apply(exp32, np.sort(X))
    # neighbours may swap by a rounding
    assert (np.diff(values) >= -3e-7 * values[1:]).all()


def test_softplus():
    x = np.concatenate([X, np.float32([-1e30, -200, 200, 1e30])])
    np.testing.assert_allclose(apply(softplus32, x), np.logaddexp(0, x.astype(float)), rtol=6e-7, atol=1e-37)


def test_sigmoid():
    x = np.concatenate([X, np.float32([-1e30, -200, 200, 1e30])])
    with np.errstate(over="ignore"):
        want = 1 / (1 + np.exp(-x.astype(float)))
    np.testing.assert_allclose(apply(sigmoid32, x), want, rtol=6e-7, atol=1e-37)


@pytest.mark.parametrize("function", [exp32, softplus32, sigmoid32])
def test_nan_stays_visible(function):
    assert np.isnan(apply(function, [np.nan, 1, -np.nan])).tolist() == [True, False, True]
