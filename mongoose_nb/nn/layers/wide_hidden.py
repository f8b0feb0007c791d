"""A wide hidden layer of which each sample activates few units (SLIDE uses LSH in any layer, not the last alone)."""

import dataclasses

import numpy as np

from mongoose_nb.core.arrays import Buffers, Parameter, Rows, aligned_zeros
from mongoose_nb.core.views import read_only
from mongoose_nb.nn.layers.activations import get_activation
from mongoose_nb.nn.layers.row_update import RowUpdate
from mongoose_nb.nn.layers.sparse_input import fill_normal


@dataclasses.dataclass(frozen=True)
class Wide:
    """A hidden layer of many units, of which `sampler` picks a few for each sample."""

    units: int
    sampler: object = "lsh"


class WideHidden:
    """``activation(h @ W.T + b)`` on the units that the sampler picks for each sample; the other units count as zero.

    W is unit-major, (n_units, n_inputs). The output is a set of sparse rows, so a `SparseInput` layer has to follow.

    Parameters
    ----------
    n_inputs, n_units : int
    sampler : samplers.Sampler
        Chooses the active units from h; bound to this layer's weights.
    activation : str
    rng : numpy.random.Generator
    init_std : float
    """

    def __init__(self, n_inputs, n_units, sampler, activation="relu", *, rng, init_std):
        self.n_inputs, self.n_units = n_inputs, n_units
        self.activation = get_activation(activation)
        weights = aligned_zeros((n_units, n_inputs))
        fill_normal(weights, rng, init_std)
        self.weights = Parameter(weights)
        self.bias = Parameter(aligned_zeros(n_units))
        self.sampler = sampler
        self._rows = RowUpdate(self.weights, self.bias)
        self._buffers = Buffers()

    def parameters(self):
        """Trained arrays by name."""
        return {"weights": self.weights, "bias": self.bias}

    def forward(self, x, train=True, step=0, timer=None):
        """Sparse activations (`Rows`) of the units chosen for each row of `x` (n, n_inputs)."""
        from mongoose_nb.kernels.layers.active import logits_active

        sets = self.sampler.per_sample(x, Rows.empty(len(x)), step, timer, train)
        z = self._buffers.get("z", len(sets.ids)) if train else np.zeros(len(sets.ids), np.float32)
        logits_active(x, self.weights.value, self.bias.value, sets.start, sets.count, sets.ids, z)
        a = self.activation.forward(z)
        if train:
            self._x, self._sets, self._z, self._a = x, sets, z, a
        return Rows(sets.start, sets.count, sets.ids, a)

    def backward(self, g, need_input=True):
        """Take d loss / d values of the active units, return d loss / d input."""
        from mongoose_nb.kernels.layers.active import sum_rows

        sets = self._sets
        delta = np.ascontiguousarray(self.activation.backward(g, self._z, self._a), np.float32)
        self._rows.load(sets.start, sets.count, sets.ids, delta, self._x)
        out = self._buffers.get("dx", self._x.shape)
        none = np.zeros(self.n_inputs, np.float32)
        sum_rows(sets.start, sets.count, read_only(sets.ids), read_only(delta), self.weights.value, none, out)
        return out

    def touched(self):
        """Ids of the units that the last step changed (int32, unsorted)."""
        return self._rows.touched()

    def forget(self):
        """Drop what the last batch left."""
        self._x = self._sets = self._z = self._a = None
        self._rows.forget()

    def square_norm(self):
        """Squared norm of the layer's gradient."""
        return self._rows.square_norm()

    def update(self, kind, constants, bias_constants):
        """Optimiser step on the touched units."""
        self._rows.apply(kind, constants, bias_constants)
