"""Products by rows: near those in float64, and the bits of a row alone, for any number of rows, shape and kernel."""

import numpy as np
import pytest

from mongoose_nb.kernels.common.row_products import dot_rows, multiply_few, multiply_rows


@pytest.mark.parametrize("inputs, outputs", [(1, 1), (7, 5), (8, 256), (64, 257), (33, 600)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_row_has_the_same_bits_in_any_company(inputs, outputs, dtype):
    rng = np.random.default_rng(inputs)
    x, w, bias = (rng.standard_normal(shape).astype(dtype) for shape in ((50, inputs), (inputs, outputs), outputs))
    turned = np.ascontiguousarray(w.T)
    out, dots = np.empty((2, 50, outputs), dtype)
    multiply_rows(x, w, out)
    dot_rows(x, turned, bias, dots)
    exact = x.astype(float) @ w.astype(float)
    tolerance = (1e-5 if dtype == "float32" else 1e-13) * np.sqrt(inputs)
    np.testing.assert_allclose(out, exact, atol=tolerance)
    np.testing.assert_allclose(dots, exact + bias, atol=tolerance)
    for lo, hi in ((0, 1), (3, 4), (5, 22), (0, 0), (49, 50), (10, 50)):
        for kernel in (multiply_few, multiply_rows):
            some = np.empty((hi - lo, outputs), dtype)
            kernel(x[lo:hi], w, some)
            assert some.tobytes() == out[lo:hi].tobytes()
        some = np.empty((hi - lo, outputs), dtype)
        dot_rows(x[lo:hi], turned, bias, some)
        assert some.tobytes() == dots[lo:hi].tobytes()


def test_nan_stays_visible_in_its_row():
    x, w, out = np.zeros((3, 9), np.float32), np.ones((9, 4), np.float32), np.empty((3, 4), np.float32)
    x[1, 8] = np.nan
    multiply_rows(x, w, out)
    assert np.isnan(out[1]).all() and not np.isnan(out[[0, 2]]).any()
