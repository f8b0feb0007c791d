"""Layer normalisation against its formula."""

import numpy as np
import pytest

from mongoose_nb.kernels.layers.layer_norm import count_blocks, layer_norm, layer_norm_backward


@pytest.mark.parametrize("dtype, tolerance", [("float32", 2e-5), ("float64", 1e-12)])
@pytest.mark.parametrize("n, d", [(0, 5), (1, 1), (3, 7), (300, 33)])
def test_value_and_gradient(n, d, dtype, tolerance):
    rng = np.random.default_rng(0)
    x = (50 + rng.standard_normal((n, d))).astype(dtype)  # a mean far from 0
    g, gain, bias = (rng.standard_normal(shape).astype(dtype) for shape in ((n, d), d, d))
    one = np.dtype(dtype).type(1)
    normal, out, dx, inverse = np.empty_like(x), np.empty_like(x), np.empty_like(x), np.empty(n, dtype)
    parts = np.empty((count_blocks(n), 2, d), dtype)
    layer_norm(x, gain, bias, one / 1000, one, normal, inverse, out)
    layer_norm_backward(g, gain, normal, inverse, one, parts, dx)
    x, g, gain = (a.astype(float) for a in (x, g, gain))
    scale = 1 / np.sqrt(x.var(axis=1, keepdims=True) + 1e-3)
    want = (x - x.mean(axis=1, keepdims=True)) * scale
    v = g * gain
    dv = scale * (v - v.mean(axis=1, keepdims=True) - want * (v * want).mean(axis=1, keepdims=True))
    np.testing.assert_allclose(normal, want, atol=10 * tolerance)
    np.testing.assert_allclose(out, want * gain + bias, atol=30 * tolerance)
    np.testing.assert_allclose(dx, dv, atol=30 * tolerance * max(1, np.abs(scale).max(initial=0)))
    np.testing.assert_allclose(parts.sum(axis=0), [(g * want).sum(axis=0), g.sum(axis=0)], atol=30 * tolerance * max(1, n) ** 0.5)
