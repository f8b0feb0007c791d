"""A sampler of one's own: candidates that are drawn by how often they were labels so far."""

import numpy as np

from mongoose_nb import nn
from mongoose_nb.core.registry import register


@register("sampler", "popular")
class Popular(nn.Sampler):
    """Candidates shared by the batch, drawn with a probability that grows with the number of times they were labels.

    Parameters
    ----------
    candidates : int
        Outputs beside the labels.
    power : float
        Exponent of the counts; 0 draws uniformly.
    """

    shape = "batch"
    saved_state = ("frequency",)

    def __init__(self, candidates=100, power=1.0):
        self.candidates, self.power = candidates, power

    def bind_layer(self, weights, bias, seed):
        self.frequency, self._seed = np.ones(len(bias.value)), seed

    def _draw(self, labels, step):
        rng = np.random.Generator(np.random.Philox(key=[self._seed, step]))
        share = self.frequency**self.power
        n = min(self.candidates, len(share))
        return nn.SharedSet.of(labels, uniform=rng.choice(len(share), n, replace=False, p=share / share.sum()))

    def shared(self, h, labels, step, timer):
        """The candidates of a batch with activations `h`."""
        with timer("retrieve"):
            np.add.at(self.frequency, labels.flat()[1], 1.0)
            return self.count(self._draw(labels, step))

    def peek(self, h):
        """What a step would choose, without labels."""
        return self._draw(nn.Rows.empty(len(h)), 0)
