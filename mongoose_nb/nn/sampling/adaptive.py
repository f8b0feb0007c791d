"""Candidates shared by the batch; hard negatives from hash tables once P@1 reaches a threshold. `nn.Auto` uses it for many outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mongoose_nb.core.arrays import Rows
from mongoose_nb.core.registry import register
from mongoose_nb.core.validation import check_int, check_number
from mongoose_nb.nn.retrieval.exact import best_outputs
from mongoose_nb.nn.sampling.lsh import LSH

if TYPE_CHECKING:
    from collections.abc import Callable

    from mongoose_nb.core.arrays import Parameter
    from mongoose_nb.nn.sampling.candidate_sets import ActiveSets, SharedSet
    from mongoose_nb.nn.training.timing import PhaseTimer

# Step of the first look, doubled from look to look, and samples of a look: 64 give a share of 0.2 to 0.05 (one standard error).
FIRST_LOOK, SAMPLES = 128, 64


@register("sampler", "adaptive", "later")
class Adaptive(LSH):
    """As `LSH` with candidates shared by the batch, but with uniform ones only until P@1 reaches a threshold.

    P@1 over all outputs is measured on samples of the batch before the step learns from them, from step 128 on at every doubling of the
    steps. Once it reaches `threshold`, half of the candidates come from hash tables, to the end of training. Where labels never stand
    out, hard negatives teach nothing that holds for other samples, and the tables are never built.

    Rows of later passes are known by heart, and say little about others. Where rows are kept aside (`Network.fit_auto`), the sampler is
    told their P@1 instead, and needs `TOLD` of it.

    Parameters
    ----------
    candidates : int
        Outputs beside the labels of the batch.
    threshold : float
        P@1 from which on the tables are used.
    """

    #: P@1 of rows that were never trained on, from which on tables are used
    TOLD = 0.1
    #: whether the sampler does not look itself, but is told
    told = False
    optional = ("_began", "_hits", "_seen")

    def __init__(self, candidates: int = 1000, *, threshold: float = 0.2) -> None:
        super().__init__(candidates, shape="batch")
        self.threshold = check_number("threshold", threshold, low=0.0, high=1.0)

    def bind_layer(self, weights: Parameter, bias: Parameter, seed: int) -> None:
        """As `LSH.bind_layer`."""
        super().bind_layer(weights, bias, seed)
        self.saved_state += ("_began", "_hits", "_seen")
        self._layer = weights, bias
        self._began, self._hits, self._seen = None, 0, SAMPLES  # step from which on tables are used; the look

    @property
    def hard_negatives(self) -> bool:
        """Whether the tables of a bound sampler are used yet."""
        return self._began is not None

    def shared(self, h: np.ndarray, labels: Rows, step: int, timer: PhaseTimer) -> SharedSet:
        """`SharedSet` of the batch."""
        if not self.hard_negatives and not self.told:
            self._look(h, labels, step, timer, self._best)
        if self.hard_negatives:
            return super().shared(h, labels, step, timer)
        self.manager.observe(h, labels)
        with timer("retrieve"):
            return self.count(self._builder.shared(labels, self.candidates, step=step))

    def judge(self, precision: float, step: int) -> None:
        """Begin to use tables if P@1 of rows that were never trained on is high enough.

        Parameters
        ----------
        precision : float
        step : int
        """
        if not self.hard_negatives and precision >= self.TOLD:
            self._began = step

    def of_shard(self, i: int, n: int) -> dict[str, Any] | None:
        """As `LSH.of_shard`; the shards do not look themselves, see `watch`."""
        return {**(super().of_shard(i, n) or {}), "told": True}

    def watch(self, h: np.ndarray, labels: Rows, step: int, timer: PhaseTimer, best: Callable[[np.ndarray], np.ndarray]) -> bool:
        """As `LSH.watch`, and measure P@1; True once it has reached the threshold."""
        if not self.hard_negatives and not self.told:
            self._look(h, labels, step, timer, best)
        super().watch(h, labels, step, timer, best)
        return self.hard_negatives

    def _best(self, h):
        """The best of all outputs for every row of `h`."""
        from mongoose_nb.core.threads import one_blas_thread

        weights, bias = self._layer
        with one_blas_thread():
            return best_outputs(h, weights.value, bias.value, 1)[0][:, 0]

    def _look(self, h, labels, step, timer, best):
        """Count hits among the labelled samples of a look, and judge when there are enough."""
        if step >= FIRST_LOOK and step & (step - 1) == 0:
            self._hits = self._seen = 0
        if self._seen >= SAMPLES:
            return
        more = np.flatnonzero(labels.count > 0)[:SAMPLES - self._seen]
        with timer("check"):
            self._hits += count_hits(best(h[more]), Rows(labels.start[more], labels.count[more], labels.ids, None))
            self._seen += len(more)
        if self._seen >= SAMPLES and self._hits >= self.threshold * self._seen:
            self._began = step

    def after_update(self, step: int, timer: PhaseTimer, touched: Callable[[], np.ndarray | None] | None = None) -> None:
        """Keep the tables up with the weights once they are used; their schedule counts from then on."""
        if self.hard_negatives:
            super().after_update(step - self._began, timer, touched)

    def peek(self, h: np.ndarray) -> ActiveSets | SharedSet:
        """As `Sampler.peek`: uniform outputs as long as the tables are not used."""
        if self.hard_negatives:
            return super().peek(h)
        return self._builder.per_sample(Rows.empty(len(h)), self.candidates, step=0, alike=True)

    def state_restored(self) -> None:
        """Refuse what cannot be a look."""
        self._began = self._began if self._began is None else check_int("began", self._began, low=0)
        check_int("hits", self._hits, low=0)
        check_int("seen", self._seen, low=0)


def count_hits(best: np.ndarray, labels: Rows) -> int:
    """How many samples have one of their `labels` (Rows) for the best output (n,)."""
    sample, ids = labels.flat()
    return len(np.unique(sample[ids == best[sample]]))
