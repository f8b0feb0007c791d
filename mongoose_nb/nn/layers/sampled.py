"""What layers have in common that compute only the units that a sampler chooses."""

from __future__ import annotations

from typing import Any

import numpy as np

from mongoose_nb.core.arrays import Buffers, Parameter
from mongoose_nb.nn.layers.base import Layer, Run
from mongoose_nb.nn.layers.gradients import RowGradient, RowStore
from mongoose_nb.nn.layers.initial import filled, inverse_root, normal


class Sampled(Layer):
    """Base of layers with a sampler. W is unit-major, (units, n_inputs)."""

    units: int
    sampler: Any
    init_std: float | None = None

    def build(self, n_inputs: int, rng: np.random.Generator) -> Sampled:
        """As `Layer.build`."""
        self.n_inputs, self.n_outputs = n_inputs, self.units
        self.weights = Parameter(normal(rng, (self.units, n_inputs), self.init_std or inverse_root(n_inputs)))
        self.bias = Parameter(filled(self.units, 0.0))
        self._store = None
        self._buffers = Buffers()
        return self

    def bind_sampler(self, seed: int) -> None:
        """Tie the sampler to the weights; called once after `build`."""
        self.sampler = self.sampler.bind(self.weights, self.bias, seed)

    def after_update(self, run: Run, gradients: dict[str, Any]) -> None:
        """Keep the sampler's tables up to date."""
        self.sampler.after_update(run.step, run.timer, gradients["weights"].touched)

    def _row_gradient(self, sets, coef, V):
        """The gradient of the rows of candidates per sample."""
        if self._store is None:
            self._store = RowStore(self.weights, self.bias)
        return RowGradient(self._store, sets.start, sets.count, sets.ids, coef, V)
