"""A sampler by the number of outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mongoose_nb.core.registry import register
from mongoose_nb.core.validation import check_int
from mongoose_nb.nn.sampling.adaptive import Adaptive
from mongoose_nb.nn.sampling.base import Sampler
from mongoose_nb.nn.sampling.full import Full

if TYPE_CHECKING:
    from mongoose_nb.core.arrays import Parameter


@register("sampler", "auto")
class Auto(Sampler):
    """All outputs up to 8,192 of them; beyond that, candidates shared by the batch, chosen by `Adaptive`.

    Parameters
    ----------
    candidates : int
        Outputs beside the labels of the batch, where not all are computed.

    A bound sampler is the one that was chosen: ``network.output.sampler``.

    Notes
    -----
    With few outputs a product with all of them costs about as much as choosing some. Where the limit lies between 4,271 and 40,981
    outputs was not measured.
    """

    #: outputs up to which all are computed
    ALL_UP_TO = 8192

    def __init__(self, candidates: int = 1000) -> None:
        self.candidates = check_int("candidates", candidates, low=1)

    def choose(self, n_outputs: int) -> Sampler:
        """The sampler for so many outputs."""
        return Full() if n_outputs <= self.ALL_UP_TO else Adaptive(self.candidates)

    def bind(self, weights: Parameter, bias: Parameter, seed: int) -> Sampler:
        """As `Sampler.bind`, of the sampler that is chosen."""
        return self.choose(len(bias.value)).bind(weights, bias, seed)
