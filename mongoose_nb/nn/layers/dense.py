"""A linear map of the last axis, and an activation."""

from __future__ import annotations

import math

import numpy as np

from mongoose_nb.core.arrays import Parameter
from mongoose_nb.core.registry import register
from mongoose_nb.nn.layers.activations import Identity
from mongoose_nb.nn.layers.initial import normal, uniform
from mongoose_nb.nn.layers.linear_map import LinearMap


@register("layer", "dense")
class Dense(LinearMap):
    """``activation(X @ W + b)``; W (n_inputs, units).

    Parameters
    ----------
    units : int
    activation : str or Activation, optional
        That of the network by default.
    use_bias : bool
        Whether there is a b.
    init : {"he", "glorot"}
        Initial weights: normal with variance 2 / n_inputs (He et al., 2015), or uniform with variance 2 / (n_inputs + units)
        (Glorot and Bengio, 2010).
    dtype : {"float32", "float64"}
        Of the parameters; training needs float32.
    """

    def _build_map(self, rng, gain):
        shape = self.n_inputs, self.units
        self.weights = Parameter(normal(rng, shape, math.sqrt(gain / self.n_inputs)).astype(self.dtype, copy=False) if self.init == "he"
                                 else uniform(rng, shape, math.sqrt(6.0 / sum(shape)), self.dtype))

    def dense_weights(self) -> np.ndarray:
        return self.weights.value

    def scale_weights(self, factor: float) -> None:
        self.weights.value *= self.weights.value.dtype.type(factor)

    def _take(self, weights):
        self.weights.value[...] = weights

    def _multiply(self, rows, run):
        from mongoose_nb.kernels.layers.dense import matmul

        z = np.empty((len(rows), self.units), self.dtype)
        matmul(rows, self.weights.value, z)
        if self.use_bias:
            z += self.bias.value
        return z, None

    def by_rows(self, x: np.ndarray) -> np.ndarray:
        from mongoose_nb.kernels.common.row_products import ROWS, multiply_few, multiply_rows

        z = np.empty((len(x), self.units), self.dtype)
        (multiply_few if len(x) <= ROWS else multiply_rows)(x, self.weights.value, z)
        if self.use_bias:
            z += self.bias.value
        return z if isinstance(self.activation, Identity) else self.activation.forward(z)

    def _multiply_backward(self, g, rows, cache, need_input):
        from mongoose_nb.kernels.layers.dense import count_parts, matmul, matmul_tn

        w = self.weights.value
        dw, parts = np.empty(w.shape, w.dtype), count_parts(len(rows))
        if parts > 1:
            matmul_tn(rows, g, np.empty((parts, *w.shape), w.dtype), dw)
        else:  # shared among threads by rows of W
            matmul(np.ascontiguousarray(rows.T), g, dw)
        if not need_input:
            return None, {"weights": dw}
        dx = np.empty_like(rows)
        matmul(g, w.T, dx)
        return dx, {"weights": dw}
