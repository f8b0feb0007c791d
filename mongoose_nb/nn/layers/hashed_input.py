"""A sparse input layer, which is a bag of embeddings, whose rows live in a hashed array."""

from __future__ import annotations

from typing import Any

import numpy as np

from mongoose_nb.compress import make_compression
from mongoose_nb.core.arrays import Parameter, Rows, read_only
from mongoose_nb.core.registry import make, register
from mongoose_nb.core.validation import check_int, check_number
from mongoose_nb.nn.layers.activations import Activation
from mongoose_nb.nn.layers.base import Layer, Run
from mongoose_nb.nn.layers.hashed import Hashed
from mongoose_nb.nn.layers.initial import filled, inverse_root


@register("layer", "hashed input")
class HashedInput(Hashed, Layer):
    """``activation(X @ W + b)`` for sparse X; W (n_inputs, units) is a view of a hashed array.

    Parameters
    ----------
    units : int
    activation : str or Activation, optional
        That of the network by default.
    compress : float, str or compress.Compress
        How small, and by which map; ``Compress("robe", 10)`` by default.
    init_std : float, optional
        Standard deviation of the initial weights; 1 / sqrt(n_inputs) by default.
    """

    sparse_input = True

    def __init__(self, units: int, activation: str | Activation | None = None, *, compress: Any = "robe",
                 init_std: float | None = None) -> None:
        self.units = check_int("units", units, low=1)
        self.activation = None if activation is None else make("activation", activation)
        self.compress = make_compression(compress)
        self.init_std = None if init_std is None else check_number("init_std", init_std, low=0.0, open_low=True)

    def build(self, n_inputs: int, rng: np.random.Generator) -> HashedInput:
        self.n_inputs, self.n_outputs = n_inputs, self.units
        self.view = self.make_view((n_inputs, self.units), self.init_std or inverse_root(n_inputs), rng)
        self.bias = Parameter(filled(self.units, 0.0))
        return self

    def dense_weights(self) -> np.ndarray:
        """See `Hashed.dense_weights`."""
        return self.view[:]

    def forward(self, x: Rows, run: Run) -> tuple:
        """Values (n, units) of sparse rows `x` (`Rows`)."""
        from mongoose_nb.kernels.layers.active import sum_rows

        sample, place = x.places()
        ids, column = np.unique(x.ids[place], return_inverse=True)
        ids = ids.astype(np.int64)
        bases = self.view.map.bases(ids)
        rows = self.view.gather(ids, bases=bases)
        listed = Rows(np.cumsum(x.count) - x.count, x.count, read_only(column.reshape(-1).astype(np.int32)),
                      read_only(np.ascontiguousarray(x.values[place])))
        z = np.empty((len(x), self.units), np.float32)
        sum_rows(listed.start, listed.count, listed.ids, listed.values, rows, self.bias.value, z)
        a = self.activation.forward(z)
        return a, (x, sample, place, listed, ids, bases, rows, z, a)

    def backward(self, g: np.ndarray, cache: Any, need_input: bool = True) -> tuple:
        """See `SparseInput.backward`."""
        from mongoose_nb.kernels.layers.active import dot_rows

        x, sample, place, listed, ids, bases, rows, z, a = cache
        g = np.ascontiguousarray(self.activation.backward(g, z, a))
        g_values = None
        if need_input:
            flat = np.empty(len(listed.ids), np.float32)
            dot_rows(g, rows, listed.start, listed.count, listed.ids, flat)
            g_values = np.zeros(len(x.values), np.float32)
            g_values[place] = flat
        values = listed.values[:, None] * g[sample]
        gradients = self.cell_gradient(self.view, ids[listed.ids], values, bases[listed.ids])
        return g_values, {**gradients, "bias": g.sum(axis=0)}
