"""All outputs."""

from mongoose_nb.core.registry import register
from mongoose_nb.nn.sampling.base import Sampler
from mongoose_nb.nn.sampling.candidate_sets import NO_SHIFTS, SharedSet


@register("sampler", "full")
class Full(Sampler):
    """Every output of every sample: the exact twin of all other samplers."""

    def bind_layer(self, weights, bias, seed):
        """Note the number of outputs; see `Sampler`."""
        self._n_rows = len(bias.value)
        self._counts = {"labels": 0.0, "retrieved": float(self._n_rows), "uniform": 0.0}

    def shared(self, h, labels, step, timer):
        """All outputs."""
        return self.peek(h)

    def peek(self, h):
        """All outputs."""
        return SharedSet(None, 0, self._n_rows, NO_SHIFTS, None)
