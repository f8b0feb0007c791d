"""A wide hidden layer of which each sample activates few units (SLIDE uses LSH in any layer, not the last alone)."""

from __future__ import annotations

from typing import Any

import numpy as np

from mongoose_nb.core.arrays import Rows, read_only
from mongoose_nb.core.registry import make, register
from mongoose_nb.core.validation import check_int
from mongoose_nb.nn.layers.base import Run
from mongoose_nb.nn.layers.sampled import Sampled
from mongoose_nb.nn.sampling.base import Sampler
from mongoose_nb.nn.sampling.candidate_sets import check_sets


@register("layer", "wide")
class Wide(Sampled):
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

    def __init__(self, units: int, sampler: str | dict | Sampler = "lsh") -> None:
        self.units = check_int("units", units, low=1, high=2**31 - 2)
        self.sampler = make("sampler", sampler)

    def bind_sampler(self, seed: int) -> None:
        """As `Sampled.bind_sampler`."""
        if self.sampler.shape != "sample":
            raise ValueError(f"a Wide layer needs a sampler with shape='sample'; got {self.sampler!r}")
        super().bind_sampler(seed)

    def forward(self, x: np.ndarray, run: Run) -> tuple:
        """Sparse values (`Rows`) of the units chosen for each row of `x` (n, n_inputs)."""
        from mongoose_nb.kernels.layers.active import logits_active

        sets = self.sampler.per_sample(x, Rows.empty(len(x)), run.step, run.timer, run.train)
        sets = check_sets(self.sampler, sets, self.units)
        with run.timer("forward"):
            z = self._buffers.lend("z", len(sets.ids)) if run.train else np.zeros(len(sets.ids), np.float32)
            logits_active(x, self.weights.value, self.bias.value, sets.start, sets.count, sets.ids, z)
            a = self.activation.forward(z)
        return Rows(sets.start, sets.count, sets.ids, a), (x, sets, z, a)

    def backward(self, g: np.ndarray, cache: Any, need_input: bool = True) -> tuple:
        from mongoose_nb.kernels.layers.active import sum_rows

        x, sets, z, a = cache
        delta = np.ascontiguousarray(self.activation.backward(g, z, a), np.float32)
        rows = self._row_gradient(sets, delta, x)
        dx = None
        if need_input:
            dx = self._buffers.lend("dx", x.shape)
            sum_rows(sets.start, sets.count, read_only(sets.ids), read_only(delta), self.weights.value, np.zeros(self.n_inputs, np.float32),
                     dx)
        return dx, {"weights": rows, "bias": rows.bias}
