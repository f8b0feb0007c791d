"""Labels and random outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mongoose_nb.core.arrays import Rows
from mongoose_nb.core.registry import fresh, register
from mongoose_nb.core.validation import check_choice, check_int
from mongoose_nb.nn.sampling.base import SHAPES, Sampler
from mongoose_nb.nn.sampling.candidate_sets import ActiveSetBuilder
from mongoose_nb.nn.sampling.corrections import make_correction
from mongoose_nb.nn.sampling.proposals import make_proposal
from mongoose_nb.nn.sampling.shards import part_of_sampler

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from mongoose_nb.core.arrays import Parameter
    from mongoose_nb.nn.sampling.candidate_sets import ActiveSets, SharedSet
    from mongoose_nb.nn.sampling.corrections import Correction
    from mongoose_nb.nn.sampling.proposals import Proposal
    from mongoose_nb.nn.training.timing import PhaseTimer


@register("sampler", "uniform")
class Uniform(Sampler):
    """Labels and random outputs: drawn uniformly without replacement, or from another proposal.

    Parameters
    ----------
    candidates : int
        Outputs beside the labels.
    shape : {"sample", "batch"}
        Candidates for each sample, or shared by the batch. In the second case the labels of the other samples are candidates too.
    correction : str or Correction, optional
        ``"tail"``, ``"none"``, or, for candidates shared by the batch, ``"logq"``; see `corrections`. By default ``"tail"`` for
        candidates per sample. For candidates shared by the batch it is ``"none"``: labels of other samples are hard negatives, which a
        re-weighted tail would drown.
    proposal : str or Proposal
        What random candidates of a sample are drawn from: ``"uniform"``, ``"frequency"`` (of labels) or ``"mixture"`` (of both), or an
        object; see `proposals`.
    """

    def __init__(self, candidates: int = 1000, *, shape: str = "batch", correction: None | str | dict | Correction = None,
                 proposal: str | dict | Proposal = "uniform") -> None:
        self.candidates = check_int("candidates", candidates, low=1, high=2**31 - 2)
        self.shape = check_choice("shape", shape, SHAPES)
        self.correction = make_correction(correction, shape)
        self.proposal = make_proposal(proposal, shape, self.correction)

    def bind_layer(self, weights: Parameter, bias: Parameter, seed: int) -> None:
        """Prepare the draw of one layer; see `Sampler`."""
        self._builder = ActiveSetBuilder(len(bias.value), seed=seed)
        self._corrector, self._proposal = fresh(self.correction), fresh(self.proposal)
        self._corrector.bind_layer(weights, bias)
        self._proposal.bind_layer(len(bias.value))
        self.saved_state = tuple(name for name in ("_corrector", "_proposal") if getattr(self, name).saved_state)

    def per_sample(self, h: np.ndarray, labels: Rows, step: int, timer: PhaseTimer, train: bool = True) -> ActiveSets:
        """`ActiveSets` of every sample."""
        with timer("retrieve"):
            if train:
                self._proposal.observe(labels)
            sets = self._builder.per_sample(labels, self.candidates, step=step if train else 0, alike=not train,
                                            alias=self._proposal.alias)
            sets = self._corrector.per_sample(h, sets)
        return self.count(sets) if train else sets

    def shared(self, h: np.ndarray, labels: Rows, step: int, timer: PhaseTimer) -> SharedSet:
        """`SharedSet` of the batch."""
        with timer("retrieve"):
            shared = self._builder.shared(labels, self.candidates, step=step)
            shared = self._corrector.shared(labels, shared)
        return self.count(shared)

    def of_shard(self, i: int, n: int) -> dict | None:
        """As `Sampler.of_shard`: one draw for all shards, where candidates are shared by the batch; else each draws from its own rows."""
        if self.shape == "batch":
            return None
        return part_of_sampler(self, i, n, self._builder.n_rows, self._builder.seed)

    def watch(self, h: np.ndarray, labels: Rows, step: int, timer: PhaseTimer, best: Callable[[np.ndarray], np.ndarray]) -> bool:
        """As `Sampler.watch`: the labels that a proposal counts."""
        self._proposal.observe(labels)
        return True

    def peek(self, h: np.ndarray) -> ActiveSets:
        """As `Sampler.peek`; one draw for all samples where candidates are shared by the batch."""
        return self._builder.per_sample(Rows.empty(len(h)), self.candidates, step=0, alike=self.shape == "batch",
                                        alias=self._proposal.alias)
