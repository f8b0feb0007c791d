"""A dense hidden layer."""

import math

import numpy as np

from mongoose_nb.core.arrays import Buffers, Parameter, aligned_zeros
from mongoose_nb.nn.layers.activations import get_activation
from mongoose_nb.nn.layers.sparse_input import fill_normal


class Dense:
    """``activation(X @ W + b)`` for dense X; W (n_inputs, n_units).

    Parameters
    ----------
    n_inputs, n_units : int
    activation : str
    rng : numpy.random.Generator
        Draws the initial weights, with standard deviation sqrt(2 / n_inputs) (He et al. 2015).
    """

    def __init__(self, n_inputs, n_units, activation="relu", *, rng):
        self.n_inputs, self.n_units = n_inputs, n_units
        self.activation = get_activation(activation)
        weights = aligned_zeros((n_inputs, n_units))
        fill_normal(weights, rng, math.sqrt(2.0 / n_inputs))
        self.weights = Parameter(weights)
        self.bias = Parameter(aligned_zeros((1, n_units)))
        self._buffers = Buffers()

    def parameters(self):
        """Trained arrays by name."""
        return {"weights": self.weights, "bias": self.bias}

    def forward(self, x, train=True):
        """Activations (n, n_units) of `x` (n, n_inputs)."""
        from mongoose_nb.core.threads import one_blas_thread
        from mongoose_nb.kernels.layers.dense import matmul

        z = np.empty((len(x), self.n_units), np.float32) if not train else self._buffers.get("z", (len(x), self.n_units))
        with one_blas_thread():  # answers through tables need none else, and setting it takes as long as the rest of a layer
            matmul(x, self.weights.value, z)
        z += self.bias.value
        a = self.activation.forward(z)
        if train:
            self._x, self._z, self._a = x, z, a
        return a

    def backward(self, g, need_input=True):
        """Take d loss / d output, return d loss / d input (None where nothing below needs it)."""
        from mongoose_nb.kernels.layers.dense import matmul

        g = np.ascontiguousarray(self.activation.backward(g, self._z, self._a))
        self._dw = self._buffers.get("dw", self.weights.value.shape)
        matmul(np.ascontiguousarray(self._x.T), g, self._dw)
        self._db = g.sum(axis=0, keepdims=True)
        if not need_input:
            return None
        out = self._buffers.get("dx", self._x.shape)
        matmul(g, self.weights.value.T, out)
        return out

    def forget(self):
        """Drop what the last batch left."""
        self._x = self._z = self._a = None

    def square_norm(self):
        """Squared norm of the layer's gradient."""
        return float(np.square(self._dw, dtype=np.float64).sum() + np.square(self._db, dtype=np.float64).sum())

    def update(self, kind, constants, bias_constants):
        """Optimiser step."""
        from mongoose_nb.kernels.layers.rows import apply_dense

        apply_dense(self._dw, kind, constants, self.weights.value, self.weights.m, self.weights.v)
        apply_dense(self._db, kind, bias_constants, self.bias.value, self.bias.m, self.bias.v)
