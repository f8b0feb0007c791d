"""A sampler by the number of outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mongoose_nb.core.registry import register
from mongoose_nb.nn.sampling.adaptive import Adaptive
from mongoose_nb.nn.sampling.base import Sampler
from mongoose_nb.nn.sampling.full import Full

if TYPE_CHECKING:
    from mongoose_nb.core.arrays import Parameter


@register("sampler", "auto")
class Auto(Sampler):
    """Full softmax up to 8,192 outputs; beyond that, 1,000 candidates shared by the batch, chosen by `Adaptive`.

    A bound sampler is the one that was chosen: ``network.output.sampler``.

    Notes
    -----
    With few outputs a product with all of them costs about as much as choosing some. Where the limit lies between 4,271 and 40,981
    outputs was not measured.
    """

    #: outputs up to which all are computed
    ALL_UP_TO = 8192

    def choose(self, n_outputs: int) -> Sampler:
        """The sampler for so many outputs."""
        return Full() if n_outputs <= self.ALL_UP_TO else Adaptive(1000)

    def bind(self, weights: Parameter, bias: Parameter, seed: int) -> Sampler:
        """As `Sampler.bind`, of the sampler that is chosen."""
        return self.choose(len(bias.value)).bind(weights, bias, seed)
