"""Sparse rows times a matrix: the input layer, and the layer above a wide hidden one."""

from __future__ import annotations

from typing import Any

import numpy as np

from mongoose_nb.core.arrays import Buffers, Parameter, Rows
from mongoose_nb.core.registry import make, register
from mongoose_nb.core.validation import check_int, check_number
from mongoose_nb.nn.layers.activations import Activation
from mongoose_nb.nn.layers.base import Layer, Run
from mongoose_nb.nn.layers.gradients import RowGradient, RowStore
from mongoose_nb.nn.layers.initial import filled, inverse_root, normal


@register("layer", "sparse input")
class SparseInput(Layer):
    """``activation(X @ W + b)`` for sparse X.

    W is stored input-major, (n_inputs, units): a non-zero feature adds one contiguous row (Daghaghi et al. 2021, section 4.3).

    Parameters
    ----------
    units : int
    activation : str or Activation, optional
        That of the network by default.
    init_std : float, optional
        Standard deviation of the initial weights; 1 / sqrt(n_inputs) by default.

    References
    ----------
    Daghaghi et al., "Accelerating SLIDE deep learning on modern CPUs", MLSys 2021.
    """

    sparse_input = True

    def __init__(self, units: int, activation: str | Activation | None = None, *, init_std: float | None = None) -> None:
        self.units = check_int("units", units, low=1)
        self.activation = None if activation is None else make("activation", activation)
        self.init_std = None if init_std is None else check_number("init_std", init_std, low=0.0, open_low=True)

    def build(self, n_inputs: int, rng: np.random.Generator) -> SparseInput:
        self.n_inputs, self.n_outputs = n_inputs, self.units
        self.weights = Parameter(normal(rng, (n_inputs, self.units), self.init_std or inverse_root(n_inputs)))
        self.bias = Parameter(filled(self.units, 0.0))
        self._store = RowStore(self.weights)
        self._buffers = Buffers()
        return self

    def forward(self, x: Rows, run: Run) -> tuple:
        """Values (n, units) of sparse rows `x` (`Rows`)."""
        from mongoose_nb.kernels.layers.active import sum_rows

        z = self._buffers.lend("z", (len(x), self.units)) if run.train else np.empty((len(x), self.units), np.float32)
        sum_rows(x.start, x.count, x.ids, x.values, self.weights.value, self.bias.value, z)
        a = self.activation.forward(z)
        return a, (x, z, a)

    def backward(self, g: np.ndarray, cache: Any, need_input: bool = True) -> tuple:
        """See `Layer.backward`; the first result is that of the values of the sparse rows, entry by entry."""
        from mongoose_nb.kernels.layers.active import dot_rows

        x, z, a = cache
        g = self.activation.backward(g, z, a)
        g_values = None
        if need_input:
            g_values = self._buffers.lend("g values", len(x.values))
            dot_rows(g, self.weights.value, x.start, x.count, x.ids, g_values)
        return g_values, {"weights": RowGradient(self._store, x.start, x.count, x.ids, x.values, g), "bias": g.sum(axis=0)}
