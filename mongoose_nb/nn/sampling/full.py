"""All outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mongoose_nb.core.registry import register
from mongoose_nb.nn.sampling.base import Sampler
from mongoose_nb.nn.sampling.candidate_sets import NO_SHIFTS, SharedSet

if TYPE_CHECKING:
    import numpy as np

    from mongoose_nb.core.arrays import Parameter, Rows
    from mongoose_nb.nn.training.timing import PhaseTimer


@register("sampler", "full")
class Full(Sampler):
    """Every output of every sample: the exact twin of all other samplers."""

    def bind_layer(self, weights: Parameter, bias: Parameter, seed: int) -> None:
        """Note the number of outputs; see `Sampler`."""
        self._n_rows = len(bias.value)
        self._counts = {"labels": 0.0, "retrieved": float(self._n_rows), "uniform": 0.0}

    def of_shard(self, i: int, n: int) -> None:
        """As `Sampler.of_shard`: every shard computes all of its outputs."""

    def shared(self, h: np.ndarray, labels: Rows, step: int, timer: PhaseTimer) -> SharedSet:
        """All outputs."""
        return self.peek(h)

    def peek(self, h: np.ndarray) -> SharedSet:
        """All outputs."""
        return SharedSet(None, 0, self._n_rows, NO_SHIFTS, None)
