"""What the random candidates of a sample are drawn from.

    uniform      without replacement
    frequency    by how often outputs were labels
    mixture      half uniform, half by frequency

The random candidates stand for all outputs that are neither labels nor retrieved. Where few outputs make up most of the labels, they have
most of the probability too, and uniform candidates miss them. m draws from probabilities p, repeated ones left out, hold an output with
probability ``q = 1 - (1 - p)^m``; weighed by 1 / q the sum of their exponentials is unbiased (Horvitz and Thompson 1952). By frequency
alone, outputs that are never labels have large weights, and where labels are spread evenly the estimate is poor. In a mixture no weight is
more than about twice that of uniform candidates.

A draw takes constant time, by an alias table (`kernels.tables.alias`). The table is built again when the number of samples seen has grown
by half, so that a step costs what its labels cost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mongoose_nb.core.registry import Registered, make, register
from mongoose_nb.core.saving import Stateful
from mongoose_nb.core.validation import check_number
from mongoose_nb.kernels.tables.bundles import Alias
from mongoose_nb.nn.sampling.corrections import LabelFrequency

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from mongoose_nb.core.arrays import Rows
    from mongoose_nb.nn.sampling.corrections import Correction

# Growth of the number of samples from one alias table to the next.
GROWTH = 1.5


class Proposal(Registered, Stateful, kind="proposal"):
    """Base of the proposals: what random candidates are drawn from.

    A proposal of your own overrides `probabilities`, and sets ``_alias = None`` when these have changed. It stores its constructor
    arguments under their names, and names in `saved_state` what changes while training.
    """

    #: whether candidates are uniform, without replacement
    uniform = False
    #: outputs of the layer, once bound
    n_rows = None

    _alias: Alias | None = None

    def bind_layer(self, n_rows: int) -> None:
        """Prepare this copy for a layer of so many outputs."""
        self.n_rows = n_rows

    def of_range(self, lo: int, hi: int) -> Proposal:
        """The proposal of a layer that has outputs `lo` to `hi` of one alone."""
        return self

    def observe(self, labels: Rows) -> None:
        """Called with the labels of every training batch, before its candidates are drawn."""

    def probabilities(self) -> np.ndarray:
        """The probability of every output to be drawn, (n_rows,) float64, all above zero."""
        raise NotImplementedError  # abstract

    @property
    def alias(self) -> Alias | None:
        """The alias table for `ActiveSetBuilder`; None for uniform candidates."""
        if self.uniform:
            return None
        if self._alias is None:
            from mongoose_nb.kernels.tables.alias import build_alias

            p = self.probabilities()
            with np.errstate(divide="ignore"):  # an output that is drawn for certain
                self._alias = Alias(np.empty((len(p), 2), np.uint32), np.log1p(-p))
            build_alias(p, self._alias.cells)
        return self._alias


@register("proposal", "uniform")
class UniformProposal(Proposal):
    """All outputs alike, without replacement."""

    uniform = True


@register("proposal", "frequency")
class Frequency(Proposal):
    """By how often outputs were labels.

    Parameters
    ----------
    power : float
        Probabilities go by frequency to this power; 0.75 flattens them.
    uniform_share : float
        Share of the draws that are uniform instead. With none, every output counts as a label once more than it was, since the estimate
        would be biased if some output were never drawn.
    counts : array of float, optional
        How often each output is a label. By default labels are counted as training goes.
    """

    def __init__(self, power: float = 1.0, *, uniform_share: float = 0.0, counts: ArrayLike | None = None) -> None:
        self.power = check_number("power", power, low=0.0)
        self.uniform_share = check_number("uniform_share", uniform_share, low=0.0, high=1.0)
        self.counts = counts if counts is None else np.asarray(counts, np.float64)
        if self.counts is not None and not (self.counts.ndim == 1 and np.isfinite(self.counts).all() and (self.counts >= 0).all()):
            raise ValueError("counts must be one finite number from 0 on for every output")

    def bind_layer(self, n_rows: int) -> None:
        """As `Proposal.bind_layer`."""
        super().bind_layer(n_rows)
        if self.counts is None:
            self._frequency, self._counted, self._samples = LabelFrequency(n_rows), np.zeros(n_rows, np.int64), 0
            self.saved_state = ("_frequency", "_counted", "_samples")
        elif len(self.counts) != n_rows:
            raise ValueError(f"counts has {len(self.counts)} numbers; the layer has {n_rows} outputs")

    def of_range(self, lo: int, hi: int) -> Frequency:
        """As `Proposal.of_range`."""
        return self if self.counts is None else type(self)(self.power, uniform_share=self.uniform_share, counts=self.counts[lo:hi])

    def observe(self, labels: Rows) -> None:
        """As `Proposal.observe`: counts the labels."""
        if self.counts is None:
            self._frequency.observe(labels)
            if self._frequency.samples >= GROWTH * self._samples:
                self._counted, self._samples, self._alias = self._frequency.counts.copy(), self._frequency.samples, None

    def probabilities(self) -> np.ndarray:
        """As `Proposal.probabilities`."""
        share = ((self._counted if self.counts is None else self.counts) + (self.uniform_share == 0.0)) ** self.power
        if not share.any():  # no label was seen yet
            share = np.ones(self.n_rows)
        return (1.0 - self.uniform_share) * share / share.sum() + self.uniform_share / self.n_rows

    def state_restored(self) -> None:
        """Refuse counts that cannot be; the table is built from those that it was built from before."""
        if self.counts is None and (self._samples < 0 or (self._counted < 0).any()):
            raise ValueError("the saved counts of labels must not be below zero")
        self._alias = None


@register("proposal", "mixture")
class Mixture(Frequency):
    """Half uniform, half by frequency: no weight is more than about twice that of uniform candidates.

    Parameters
    ----------
    power, uniform_share, counts
        As in `Frequency`.
    """

    def __init__(self, power: float = 1.0, *, uniform_share: float = 0.5, counts: ArrayLike | None = None) -> None:
        super().__init__(power, uniform_share=uniform_share, counts=counts)


def make_proposal(proposal: str | dict | Proposal, shape: str, correction: Correction, fill: bool = True) -> Proposal:
    """Make the proposal of a sampler, and check that it goes with the rest.

    Parameters
    ----------
    proposal : str, dict or Proposal
    shape : {"sample", "batch"}
        Of the candidates.
    correction : Correction
    fill : bool
        Whether there are random candidates.

    Returns
    -------
    Proposal

    Raises
    ------
    ValueError
        If the proposal does not go with the rest.
    """
    made = make("proposal", proposal)
    if not made.uniform and not (shape == "sample" and fill and correction.any_proposal):
        raise ValueError(f"proposal={made!r} needs shape='sample', random candidates (fill=True), and a correction that goes with any "
                         f"proposal, such as 'tail'; got shape={shape!r}, fill={fill}, correction={correction!r}")
    return made
