"""A linear map of the last axis, and an activation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mongoose_nb.core.arrays import Parameter
from mongoose_nb.core.registry import register
from mongoose_nb.nn.layers.activations import Activation, Identity
from mongoose_nb.nn.layers.base import Run
from mongoose_nb.nn.layers.initial import filled, normal, uniform
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

    def __init__(self, units: int, activation: str | Activation | None = None, *, use_bias: bool = True, init: str = "he",
                 dtype: str = "float32") -> None:
        super().__init__(units, activation, use_bias, init, dtype)

    def build(self, n_inputs: int, rng: np.random.Generator) -> Dense:
        self.n_inputs, self.n_outputs = n_inputs, self.units
        shape = n_inputs, self.units
        weights = (normal(rng, shape, math.sqrt(2.0 / n_inputs)).astype(self.dtype, copy=False) if self.init == "he"
                   else uniform(rng, shape, math.sqrt(6.0 / sum(shape)), self.dtype))
        self.weights = Parameter(weights)
        self.bias = Parameter(filled(self.units, 0.0, self.dtype)) if self.use_bias else None
        return self

    def dense_weights(self) -> np.ndarray:
        return self.weights.value

    def scale_weights(self, factor: float) -> None:
        self.weights.value *= self.weights.value.dtype.type(factor)

    def _take(self, weights):
        self.weights.value[...] = weights

    def forward(self, x: np.ndarray, run: Run) -> tuple:
        """(..., n_inputs) -> (..., units)."""
        from mongoose_nb.core.threads import one_blas_thread
        from mongoose_nb.kernels.layers.dense import matmul

        rows = x.reshape(-1, x.shape[-1])
        z = np.empty((len(rows), self.units), x.dtype)
        with one_blas_thread():  # answers through tables need none else, and setting it takes as long as the rest of a layer
            matmul(rows, self.weights.value, z)
        if self.use_bias:
            z += self.bias.value
        z = z.reshape(*x.shape[:-1], self.units)
        if isinstance(self.activation, Identity):
            return z, (x, None, None)
        a = self.activation.forward(z)
        return a, (x, z, a)

    def backward(self, g: np.ndarray, cache: Any, need_input: bool = True) -> tuple:
        from mongoose_nb.kernels.layers.dense import count_parts, matmul, matmul_tn

        x, z, a = cache
        rows, w = x.reshape(-1, x.shape[-1]), self.weights.value
        if z is not None:
            g = self.activation.backward(g, z, a)
        g = np.ascontiguousarray(g).reshape(-1, self.units)
        dw, parts = np.empty(w.shape, w.dtype), count_parts(len(rows))
        if parts > 1:
            matmul_tn(rows, g, np.empty((parts, *w.shape), w.dtype), dw)
        else:  # shared among threads by rows of W
            matmul(np.ascontiguousarray(rows.T), g, dw)
        gradients = {"weights": dw}
        if self.use_bias:
            gradients["bias"] = g.sum(axis=0)
        if not need_input:
            return None, gradients
        dx = np.empty_like(rows)
        matmul(g, w.T, dx)
        return dx.reshape(x.shape), gradients
