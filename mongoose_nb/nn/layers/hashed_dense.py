"""A dense layer whose weights live in a hashed array."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mongoose_nb.compress import make_compression
from mongoose_nb.core.arrays import Parameter
from mongoose_nb.core.registry import make, register
from mongoose_nb.core.validation import check_int
from mongoose_nb.nn.layers.activations import Activation
from mongoose_nb.nn.layers.base import Layer, Run
from mongoose_nb.nn.layers.hashed import Hashed
from mongoose_nb.nn.layers.initial import filled


@register("layer", "hashed dense")
class HashedDense(Hashed, Layer):
    """``activation(X @ W.T + b)``; W (units, n_inputs) is a view of a hashed array, b an array of its own.

    Parameters
    ----------
    units : int
    activation : str or Activation, optional
        That of the network by default.
    compress : float, str or compress.Compress
        How small, and by which map; ``Compress("roast", 10)`` by default.
    """

    def __init__(self, units: int, activation: str | Activation | None = None, *, compress: Any = None) -> None:
        self.units = check_int("units", units, low=1)
        self.activation = None if activation is None else make("activation", activation)
        self.compress = make_compression({"name": "hashed", "map": "roast"} if compress is None else compress)

    def build(self, n_inputs: int, rng: np.random.Generator) -> HashedDense:
        self.n_inputs, self.n_outputs = n_inputs, self.units
        self.view = self.make_view((self.units, n_inputs), math.sqrt(2.0 / n_inputs), rng)
        self.bias = Parameter(filled(self.units, 0.0))
        return self

    def dense_weights(self) -> np.ndarray:
        """See `Hashed.dense_weights`."""
        return self.view[:].T

    def forward(self, x: np.ndarray, run: Run) -> tuple:
        """(n, n_inputs) -> (n, units)."""
        z = self.view.product(x, bases=self.all_bases(self.view))
        z += self.bias.value
        a = self.activation.forward(z)
        return a, (x, z, a)

    def backward(self, g: np.ndarray, cache: Any, need_input: bool = True) -> tuple:
        """See `Layer.backward`."""
        from mongoose_nb.core.threads import one_blas_thread
        from mongoose_nb.kernels.layers.dense import matmul

        x, z, a = cache
        g = np.ascontiguousarray(self.activation.backward(g, z, a))
        dw, bases = np.empty((self.units, x.shape[1]), np.float32), self.all_bases(self.view)
        rows = np.arange(self.units)
        with one_blas_thread():
            matmul(np.ascontiguousarray(g.T), np.ascontiguousarray(x), dw)
            gradients = {**self.cell_gradient(self.view, rows, dw, bases), "bias": g.sum(axis=0)}
            if not need_input:
                return None, gradients
            dx = np.empty_like(x)
            matmul(g, self.view.gather(rows, bases=bases), dx)
        return dx, gradients
