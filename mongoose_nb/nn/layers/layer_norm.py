"""Layer normalisation."""

from __future__ import annotations

from typing import Any

import numpy as np

from mongoose_nb.core.arrays import Parameter
from mongoose_nb.core.registry import register
from mongoose_nb.core.validation import check_choice
from mongoose_nb.nn.layers.base import Layer, Run
from mongoose_nb.nn.layers.initial import filled

EPS = 1e-5


@register("layer", "layer norm")
class LayerNorm(Layer):
    """Rows to mean 0 and variance 1, then a gain and a bias for every column.

    Parameters
    ----------
    dtype : {"float32", "float64"}
        Of the parameters; training needs float32.

    References
    ----------
    Ba, Kiros and Hinton, "Layer normalization", arXiv 1607.06450, 2016.
    """

    def __init__(self, dtype: str = "float32") -> None:
        self.dtype = check_choice("dtype", dtype, ("float32", "float64"))

    def build(self, n_inputs: int, rng: np.random.Generator) -> LayerNorm:
        self.n_outputs = n_inputs
        self.gain = Parameter(filled(n_inputs, 1.0, self.dtype))
        self.bias = Parameter(filled(n_inputs, 0.0, self.dtype))
        return self

    def forward(self, x: np.ndarray, run: Run) -> tuple:
        """(..., width)."""
        from mongoose_nb.kernels.layers.layer_norm import layer_norm

        rows = x.reshape(-1, x.shape[-1])
        normal, out, inverse = np.empty_like(rows), np.empty_like(rows), np.empty(len(rows), x.dtype)
        layer_norm(rows, self.gain.value, self.bias.value, x.dtype.type(EPS), x.dtype.type(1), normal, inverse, out)
        return out.reshape(x.shape), (normal, inverse)

    def backward(self, g: np.ndarray, cache: Any, need_input: bool = True) -> tuple:
        """From the normalised rows."""
        from mongoose_nb.kernels.layers.layer_norm import count_blocks, layer_norm_backward

        normal, inverse = cache
        rows, dx = np.ascontiguousarray(g).reshape(normal.shape), np.empty_like(normal)
        parts = np.empty((count_blocks(len(rows)), 2, rows.shape[1]), rows.dtype)
        layer_norm_backward(rows, self.gain.value, normal, inverse, rows.dtype.type(1), parts, dx)
        gain, bias = parts.sum(axis=0)
        return dx.reshape(g.shape), {"gain": gain, "bias": bias}
