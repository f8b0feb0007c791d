"""A wide hidden layer of which each sample activates few units (SLIDE uses LSH in any layer, not the last alone)."""

import numpy as np

from mongoose_nb.core.arrays import Buffers, Parameter, Rows, read_only
from mongoose_nb.core.registry import register
from mongoose_nb.core.validation import check_int
from mongoose_nb.nn.layers.base import Layer
from mongoose_nb.nn.layers.gradients import RowGradient, RowStore
from mongoose_nb.nn.layers.initial import filled, inverse_root, normal
from mongoose_nb.nn.sampling.make import make_sampler


@register("layer", "wide")
class Wide(Layer):
    """``activation(h @ W.T + b)`` on the units that a sampler picks for each sample; the other units count as zero.

    W is unit-major, (units, n_inputs). The value is a set of sparse rows, so a width has to follow in ``Network(hidden=...)``.

    Parameters
    ----------
    units : int
    sampler : str or Sampler
        Chooses the active units from h, for each sample: ``shape="sample"``.

    References
    ----------
    Chen et al., "SLIDE: In defense of smart algorithms over hardware acceleration for large-scale deep learning systems", MLSys 2020.
    """

    sparse_output = True
    times_itself = True

    def __init__(self, units: int, sampler="lsh"):
        self.units = check_int("units", units, low=1, high=2**31 - 2)
        self.sampler = make_sampler(sampler)

    def build(self, n_inputs, rng):
        """See `Layer.build`."""
        self.n_inputs, self.n_outputs = n_inputs, self.units
        self.weights = Parameter(normal(rng, (self.units, n_inputs), inverse_root(n_inputs)))
        self.bias = Parameter(filled(self.units, 0.0))
        self._store = RowStore(self.weights, self.bias)
        self._buffers = Buffers()
        return self

    def bind_sampler(self, seed: int):
        """Tie the sampler to the weights; called once after `build`."""
        sampler = self.sampler
        if sampler.shape != "sample":
            raise ValueError(f"a Wide layer needs a sampler with shape='sample'; got {sampler!r}")
        self.sampler = sampler.bind(self.weights, self.bias, seed)

    def parameters(self):
        """W and b."""
        return {"weights": self.weights, "bias": self.bias}

    def forward(self, x, run):
        """Sparse values (`Rows`) of the units chosen for each row of `x` (n, n_inputs)."""
        from mongoose_nb.kernels.layers.active import logits_active

        sets = self.sampler.per_sample(x, Rows.empty(len(x)), run.step, run.timer, run.train)
        with run.timer("forward"):
            z = self._buffers.lend("z", len(sets.ids)) if run.train else np.zeros(len(sets.ids), np.float32)
            logits_active(x, self.weights.value, self.bias.value, sets.start, sets.count, sets.ids, z)
            a = self.activation.forward(z)
        return Rows(sets.start, sets.count, sets.ids, a), (x, sets, z, a)

    def backward(self, g, cache, need_input=True):
        """See `Layer.backward`."""
        from mongoose_nb.kernels.layers.active import sum_rows

        x, sets, z, a = cache
        delta = np.ascontiguousarray(self.activation.backward(g, z, a), np.float32)
        rows = RowGradient(self._store, sets.start, sets.count, sets.ids, delta, x)
        dx = None
        if need_input:
            dx = self._buffers.lend("dx", x.shape)
            sum_rows(sets.start, sets.count, read_only(sets.ids), read_only(delta), self.weights.value, np.zeros(self.n_inputs, np.float32),
                     dx)
        return dx, {"weights": rows, "bias": rows.bias}

    def after_update(self, run, gradients):
        """Keep the sampler's tables up to date."""
        self.sampler.after_update(run.step, run.timer, gradients["weights"].touched)
