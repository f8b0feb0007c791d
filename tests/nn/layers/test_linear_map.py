"""What every registered linear map has to do where a model reads row by row."""

import numpy as np
import pytest

from mongoose_nb.nn.layers.base import Run
from mongoose_nb.nn.layers.linear_map import linear_maps, make_linear

OPTIONS = {"monarch": {"blocks": 3}, "pixelfly": {"block": 4, "density": 0.9}}


@pytest.mark.parametrize("kind", linear_maps())
@pytest.mark.parametrize("activation, use_bias, dtype", [("relu", True, "float32"), ("gelu", False, "float32"), ("tanh", True, "float64")])
def test_a_row_has_the_same_bits_in_any_company(kind, activation, use_bias, dtype):
    """By `by_rows`: those of the row alone, near those of `forward`."""
    rng = np.random.default_rng(0)
    layer = make_linear({"name": kind, **OPTIONS.get(kind, {})}, 21, activation, use_bias=use_bias, dtype=dtype).build(13, rng)
    for parameter in layer.parameters().values():
        parameter.value += (0.1 * rng.standard_normal(parameter.value.shape)).astype(dtype)
    x = rng.standard_normal((40, 13)).astype(dtype)
    whole = layer.by_rows(x)
    assert whole.shape == (40, 21) and whole.dtype == dtype
    np.testing.assert_allclose(whole, layer.forward(x, Run(train=False))[0], atol=1e-5 if dtype == "float32" else 1e-12)
    for lo, hi in ((0, 1), (0, 0), (3, 20), (39, 40), (1, 40)):
        assert layer.by_rows(x[lo:hi]).tobytes() == whole[lo:hi].tobytes()
