"""The interface of all samplers, and the counts that they report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from mongoose_nb.core.registry import Registered, fresh
from mongoose_nb.core.saving import Stateful

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mongoose_nb.core.arrays import Parameter, Rows
    from mongoose_nb.nn.sampling.candidate_sets import ActiveSets, SharedSet
    from mongoose_nb.nn.training.timing import PhaseTimer

Sets = TypeVar("Sets", bound="ActiveSets | SharedSet")
#: candidates for each sample, or shared by the batch
SHAPES = ("sample", "batch")


class Sampler(Registered, Stateful, kind="sampler"):
    """Chooses which outputs of a wide layer a training step computes: the labels, and candidates beside them.

    A sampler is a description until `bind` ties a copy of it to the weights of one layer.

    Notes
    -----
    **A sampler of your own** derives from this class and has:

    ``__init__``
        Stores its arguments as attributes of the same names. They are the description that a saved network holds.
    ``shape``
        ``"sample"`` if every sample has candidates of its own, ``"batch"`` if the batch shares them. A `Wide` layer needs
        ``"sample"``.
    ``bind_layer(weights, bias, seed)``
        Prepares a copy for one layer. ``weights.value`` is (outputs, width) float32, ``bias.value`` (outputs,). Attributes that begin
        with an underscore or that `saved_state` names are set here.
    ``per_sample(h, labels, step, timer, train=True)`` or ``shared(h, labels, step, timer)``
        Returns `ActiveSets`, or a `SharedSet`, for the activations `h` (n, width) and the `labels` (`Rows`). True labels come first, no
        id comes twice, and all ids are from 0 to outputs - 1. Whatever is random is keyed by the seed and `step`, so that the result
        does not depend on the number of threads. With ``train=False`` (a `Wide` layer that predicts) nothing may change. ``with
        timer("retrieve"):`` around the work reports its time. `count` notes what `counts` reports.
    ``peek(h)``
        What a step would choose for `h`, without labels. Nothing may change. `Diagnostics` asks for it.
    ``saved_state``
        Names of the attributes that change while training, as numbers, strings, arrays, or objects of this kind; see
        `mongoose_nb.core.saving.Stateful`. They are saved in networks and checkpoints.
    ``after_loss``, ``after_update``, ``rehash_now``, ``report``
        Hooks that do nothing unless they are overridden.

    A file names the class by its module, which has to be imported before the file is loaded. ``mongoose_nb.testing.check_sampler``
    checks the contract.

    Examples
    --------
    Candidates that are drawn by how often they were labels so far::

        class Popular(nn.Sampler):
            shape = "batch"
            saved_state = ("frequency",)

            def __init__(self, candidates=100):
                self.candidates = candidates

            def bind_layer(self, weights, bias, seed):
                self.frequency, self._seed = np.ones(len(bias.value)), seed

            def _draw(self, labels, step):
                rng = np.random.Generator(np.random.Philox(key=[self._seed, step]))
                share, n = self.frequency / self.frequency.sum(), min(self.candidates, len(self.frequency))
                return nn.SharedSet.of(labels, uniform=rng.choice(len(share), n, replace=False, p=share))

            def shared(self, h, labels, step, timer):
                with timer("retrieve"):
                    np.add.at(self.frequency, labels.flat()[1], 1.0)
                    return self.count(self._draw(labels, step))

            def peek(self, h):
                return self._draw(nn.Rows.empty(len(h)), 0)

        net = nn.Network(n_features, n_labels, sampler=Popular(200))
    """

    #: "sample", "batch", or "all" for the layer without sampling
    shape = "all"
    #: names of those counts that are shares; of a layer in shards they are means, not sums
    shares = ("label_recall", "changed_share", "head_share")
    _counts: dict[str, float] = {}

    def bind(self, weights: Parameter, bias: Parameter, seed: int) -> Sampler:
        """A working copy for one layer.

        Parameters
        ----------
        weights, bias : Parameter
            (outputs, width) and (outputs,) float32.
        seed : int

        Returns
        -------
        Sampler
        """
        bound = fresh(self)
        bound.bind_layer(weights, bias, seed)
        return bound

    def bind_layer(self, weights: Parameter, bias: Parameter, seed: int) -> None:
        """Prepare this copy for one layer; see the notes of the class."""

    def per_sample(self, h: np.ndarray, labels: Rows, step: int, timer: PhaseTimer, train: bool = True) -> ActiveSets:
        """`ActiveSets` of every sample; see the notes of the class."""
        raise NotImplementedError(f"{type(self).__name__} has no candidates per sample")

    def shared(self, h: np.ndarray, labels: Rows, step: int, timer: PhaseTimer) -> SharedSet:
        """`SharedSet` of the batch; see the notes of the class."""
        raise NotImplementedError(f"{type(self).__name__} has no candidates shared by the batch")

    def peek(self, h: np.ndarray) -> ActiveSets | SharedSet:
        """What a training step would choose for activations `h`, without labels; nothing changes.

        Returns
        -------
        ActiveSets or SharedSet
        """
        raise NotImplementedError  # abstract

    def after_loss(self, sets: ActiveSets | SharedSet, delta: np.ndarray) -> None:
        """Called with the sets of the samples and the gradients d mean loss / d z of their outputs, before the optimiser's step."""

    def after_update(self, step: int, timer: PhaseTimer, touched: Callable[[], np.ndarray | None] | None = None) -> None:
        """Called after every optimiser step, to maintain tables. ``touched()`` gives the ids of the rows that the step changed, or None
        for all."""

    def rehash_now(self) -> None:
        """Bring tables up to date with the weights, if there are any."""

    @property
    def fired(self) -> int:
        """How often the schedule of the tables fired since the last `report`."""
        return 0

    def of_shard(self, i: int, n: int) -> dict[str, Any] | None:
        """The sampler of one of n ranges of the outputs, which chooses its part of the candidates from its own rows; for a layer in shards
        (`mongoose_nb.distributed`).

        Returns
        -------
        dict or None
            ``sampler``, a description, and ``seed``, for `bind`. None: this one chooses for all ranges, and does not look at weights.
        """
        raise ValueError(f"{self!r} cannot choose candidates where the output weights are in several places: give sampler='full', "
                         "nn.Uniform(), nn.LSH() or nn.Adaptive()")

    def watch(self, h: np.ndarray, labels: Rows, step: int, timer: PhaseTimer, best: Callable[[np.ndarray], np.ndarray]) -> bool:
        """Follow a step whose candidates samplers of shards choose. ``best(h)`` gives the best output of rows.

        Returns
        -------
        bool
            Whether they may use tables from now on.
        """
        return True

    def count(self, sets: Sets) -> Sets:
        """Note the counts of `sets` (`ActiveSets` or `SharedSet`) for `counts`, and return the sets."""
        self._counts = sets.counts()
        return sets

    def counts(self) -> dict[str, float]:
        """Mean numbers of the last step.

        Returns
        -------
        dict of str to float
            ``labels``, ``retrieved``, ``uniform`` and ``active``; for sets per sample also ``label_recall``, the share of labels that
            the buckets returned.
        """
        return dict(self._counts)

    def joined_counts(self, counts: Sequence[dict[str, float]]) -> dict[str, float]:
        """`counts` of a layer in shards from those of the shards: sums, and means of what is a share, weighted by labels."""
        labels = np.array([own.get("labels", 0.0) for own in counts])
        weight = labels / labels.sum() if labels.sum() > 0 else np.full(len(counts), 1 / len(counts))
        return {name: float(sum(weight[i] * own[name] for i, own in enumerate(counts))) if name in self.shares
                else sum(own[name] for own in counts) for name in counts[0]}

    def report(self) -> dict[str, float]:
        """Figures of table maintenance since the last report, for the history."""
        return {}


def default_bits(n_rows: int, load: float) -> float:
    """Bits of a table's code with which a bucket holds about `load` of `n_rows` rows; at least 2, not rounded."""
    return max(2.0, float(np.log2(max(1.0, n_rows / load))))
