"""Sparse rows times a matrix: the input layer, and the layer above a wide hidden one."""

import numpy as np

from mongoose_nb.core.arrays import Buffers, Parameter, Rows, aligned_zeros
from mongoose_nb.nn.layers.activations import get_activation
from mongoose_nb.nn.layers.row_update import RowUpdate


class SparseInput:
    """``activation(X @ W + b)`` for sparse X.

    W is stored input-major, (n_inputs, n_units): a non-zero feature adds one contiguous row (Daghaghi et al. 2021, section 4.3).

    Parameters
    ----------
    n_inputs, n_units : int
    activation : str
    rng : numpy.random.Generator
        Draws the initial weights.
    init_std : float
        Standard deviation of the initial weights.
    """

    def __init__(self, n_inputs, n_units, activation="relu", *, rng, init_std=0.1):
        self.n_inputs, self.n_units = n_inputs, n_units
        self.activation = get_activation(activation)
        weights = aligned_zeros((n_inputs, n_units))
        fill_normal(weights, rng, init_std)
        self.weights = Parameter(weights)
        self.bias = Parameter(aligned_zeros((1, n_units)))
        self._rows = RowUpdate(self.weights)
        self._buffers = Buffers()

    def parameters(self):
        """Trained arrays by name."""
        return {"weights": self.weights, "bias": self.bias}

    def forward(self, x, train=True):
        """Activations (n, n_units) of sparse rows `x` (`Rows`)."""
        from mongoose_nb.kernels.layers.active import sum_rows

        z = np.empty((len(x), self.n_units), np.float32) if not train else self._buffers.get("z", (len(x), self.n_units))
        sum_rows(x.start, x.count, x.ids, x.values, self.weights.value, self.bias.value[0], z)
        a = self.activation.forward(z)
        if train:
            self._x, self._z, self._a = x, z, a
        return a

    def backward(self, g, need_input=False):
        """Take d loss / d output; returns d loss / d values of the sparse rows, entry by entry, if asked for."""
        from mongoose_nb.kernels.layers.active import dot_rows

        self._g = self.activation.backward(g, self._z, self._a)
        x = self._x
        out = None
        if need_input:
            out = self._buffers.get("dvalues", len(x.values))
            dot_rows(self._g, self.weights.value, x.start, x.count, x.ids, out)
        self._rows.load(x.start, x.count, x.ids, x.values, self._g)
        self._db = self._g.sum(axis=0, keepdims=True)
        return out

    def forget(self):
        """Drop what the last batch left."""
        self._x = self._z = self._a = self._g = None
        self._rows.forget()

    def square_norm(self):
        """Squared norm of the layer's gradient."""
        return self._rows.square_norm() + float(np.square(self._db, dtype=np.float64).sum())

    def update(self, kind, constants, bias_constants):
        """Optimiser step."""
        from mongoose_nb.kernels.layers.rows import apply_dense

        self._rows.apply(kind, constants)
        apply_dense(self._db, kind, bias_constants, self.bias.value, self.bias.m, self.bias.v)


def fill_normal(out, rng, std):
    """Normal numbers of standard deviation `std`, drawn by blocks of rows so that no second copy of `out` exists."""
    flat = out.reshape(-1)
    for lo in range(0, flat.size, 1 << 20):
        part = flat[lo:lo + (1 << 20)]
        rng.standard_normal(out=part, dtype=np.float32)
        part *= np.float32(std)


__all__ = ["Rows", "SparseInput", "fill_normal"]
