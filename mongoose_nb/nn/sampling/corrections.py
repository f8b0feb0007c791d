"""Corrections of a sampled softmax: what an active output's exponential is multiplied by so that the sum stands for all outputs.

All of them are Horvitz and Thompson's (1952): an output that is in the set with probability q counts 1 / q times, which makes the
expected sum over the set the sum over all outputs. They differ in what is known of q.

    none         every output counts once
    tail         labels and retrieved outputs count once; u uniform ones of the R outputs left count R / u times, those of another
                 proposal 1 / q times each
    logq         candidates shared by the batch: q from the labels' frequencies and the uniform draw
    importance   candidates from tables of random functions: q from the angle between the query and the row

Where an output may come in either of two ways that do not depend on each other, it stays out only if both leave it out:
``q = 1 - (1 - p)(1 - u / R)``, p the probability of the first way. An output is in a set once at most, so q is also its expected
count, which is what sampled softmax subtracts the logarithm of (Bengio and Senecal 2008; for in-batch labels, "logQ", Yi et al., RecSys
2019). Those subtract it from a sample's own label too; that one is in the set for certain, so here it counts once.

A correction declares what it goes with: the shapes of candidate sets, whether there are hash tables, and what their hash family must
be. `make_correction` compares.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from mongoose_nb.core.registry import Registered, make, name_of, register, registered
from mongoose_nb.core.saving import Stateful
from mongoose_nb.hashing.capabilities import require
from mongoose_nb.hashing.inner_product import CenteredInnerProduct

if TYPE_CHECKING:
    from typing import Any

    from mongoose_nb.core.arrays import Parameter, Rows
    from mongoose_nb.hashing.base import HashFamily
    from mongoose_nb.nn.sampling.candidate_sets import ActiveSets, SharedSet
    from mongoose_nb.nn.sampling.strategies import Strategy
    from mongoose_nb.nn.sampling.table_manager import TableManager


class Correction(Registered, Stateful, kind="correction"):
    """Base of the corrections: puts logarithms of weights on the sets that a sampler has drawn.

    A correction of your own overrides `per_sample` or `shared`, stores its constructor arguments under their names, and names in
    `saved_state` what changes while training.
    """

    #: shapes of candidate sets that it goes with
    shapes = ("sample", "batch")
    #: samplers that it goes with: without hash tables, with them, or both
    tables = (False, True)
    #: what the tables' hash family must have, for `hashing.base.require`
    family_needs = ()
    #: whether it goes with random candidates of any proposal; else with uniform ones alone
    any_proposal = False
    #: whether it needs hash functions that are drawn at random, not trained
    random_functions = False
    #: outputs of the layer, once bound
    n_rows = None

    def bind_layer(self, weights: Parameter, bias: Parameter, manager: TableManager | None = None,
                   strategy: Strategy | None = None) -> None:
        """Prepare this copy for one layer.

        Parameters
        ----------
        weights, bias : Parameter
        manager : TableManager, optional
            Of a sampler with hash tables.
        strategy : Strategy, optional
            How that sampler takes candidates from the buckets.
        """
        self.n_rows = len(bias.value)

    def per_sample(self, h: np.ndarray, sets: ActiveSets) -> ActiveSets:
        """The `ActiveSets` of activations `h` with their weights: ``shift`` for the random outputs, or ``shifts`` for each.

        Sets from a proposal that is not uniform come with the logarithms of 1 / q in ``shifts``.
        """
        return sets

    def shared(self, labels: Rows, shared: SharedSet) -> SharedSet:
        """The `SharedSet` of a batch with these `labels` (`Rows`), with ``shifts`` for each output."""
        return shared


@register("correction", "none")
class NoCorrection(Correction):
    """Every output counts once."""

    any_proposal = True

    def per_sample(self, h: np.ndarray, sets: ActiveSets) -> ActiveSets:
        """As `Correction.per_sample`."""
        return sets._replace(shifts=sets.shifts[:0])


@register("correction", "tail")
class Tail(Correction):
    """Random outputs stand for all that were not retrieved.

    With u of R remaining outputs drawn uniformly, adding log(R / u) to their logits makes the sum of exponentials an unbiased estimate
    of the full one. Those of another proposal weigh 1 / q each, see `proposals`.
    """

    any_proposal = True

    def per_sample(self, h: np.ndarray, sets: ActiveSets) -> ActiveSets:
        """As `Correction.per_sample`."""
        if len(sets.shifts):
            return sets
        uniform = sets.count - sets.n_exact
        weight = np.where(uniform > 0, (self.n_rows - sets.n_exact) / np.maximum(uniform, 1), 1.0)
        return sets._replace(shift=np.log(weight).astype(np.float32))

    def shared(self, labels: Rows, shared: SharedSet) -> SharedSet:
        """As `Correction.shared`."""
        n, uniform = len(shared.ids), len(shared.ids) - shared.n_exact
        if not uniform:
            return shared
        shifts = np.zeros(n, np.float32)
        shifts[shared.n_exact:] = np.log((self.n_rows - shared.n_exact) / uniform)
        return shared._replace(shifts=shifts)


@register("correction", "logq")
class LogQ(Correction):
    """Every output of a shared set, except a sample's own labels, counts 1 / q, q its probability to be there.

    It is there as a label of another sample or as a uniform candidate. The frequencies of labels are those seen so far.
    """

    shapes = ("batch",)
    tables = (False,)
    saved_state = ("frequency",)

    def bind_layer(self, weights: Parameter, bias: Parameter, manager: TableManager | None = None,
                   strategy: Strategy | None = None) -> None:
        """As `Correction.bind_layer`."""
        super().bind_layer(weights, bias)
        self.frequency = LabelFrequency(self.n_rows)

    def shared(self, labels: Rows, shared: SharedSet) -> SharedSet:
        """As `Correction.shared`; counts the labels of the batch."""
        self.frequency.observe(labels)
        # without uniform candidates an output that was no label before could weigh anything
        shifts = log_weights(self.frequency.presence(shared.ids, len(labels.start) - 1), len(shared.ids) - shared.n_exact,
                             self.n_rows - shared.n_exact, floor=1 / self.n_rows)
        return shared._replace(shifts=shifts)


@register("correction", "importance")
class Importance(Correction):
    """Every output but the labels counts 1 / q, q its probability to be in the set over the draw of the hash functions.

    Notes
    -----
    The estimate is unbiased over the draw of the functions, with fresh tables, unbounded buckets, room for all that is retrieved, and no
    uniform candidates. Then an output is in the set exactly if enough of L independent tables agree with the query, and the angle says
    how probable that is.

    It is too low where more is retrieved than there is room for, where buckets are full (`capacity`), and with the strategy
    ``"vanilla"``, which stops early: the formula counts on outputs that are left out. Stale tables hold rows at other angles than those
    computed here, from the weights as they are: either way. While the functions stay, all steps share one draw.

    With uniform candidates no weight exceeds R / u. Without them q is clipped from below at 1 / sqrt(outputs) (truncated importance
    sampling: Ionides 2008): rows that are retrieved by a rare accident would otherwise outweigh all others.

    ``"tail"`` needs none of this to be unbiased and has no variance in its head.

    References
    ----------
    Spring and Shrivastava, "A New Unbiased and Efficient Class of LSH-Based Samplers and Estimators for Partition Function Computation in
    Log-Linear Models", arXiv 1703.05160, 2017.
    """

    shapes = ("sample",)
    tables = (True,)
    family_needs = (("similarity", "cosine"), "closed_form")
    random_functions = True
    saved_state = ("means",)

    def bind_layer(self, weights: Parameter, bias: Parameter, manager: TableManager | None = None,
                   strategy: Strategy | None = None) -> None:
        """As `Correction.bind_layer`."""
        super().bind_layer(weights, bias)
        self._weights, self._bias, self._manager, self._min_votes = weights, bias, manager, strategy.min_votes
        self._means = np.zeros(weights.value.shape[1] + 1, np.float32)  # of rows and biases as they were hashed
        self._at = None  # the rehash that these belong to

    @property
    def means(self) -> np.ndarray:
        """Means of the rows and of the biases at the last rehash, (width + 1,)."""
        if self._manager.tables.built:
            self._frame()  # they may not have been computed since the last rehash
        return self._means.copy()

    @means.setter
    def means(self, value: np.ndarray) -> None:
        self._means = value

    def state_restored(self) -> None:
        """The means belong to the tables that were restored before."""
        self._at = self._manager.rehashes

    def _frame(self):
        """Means of the rows and biases at the last rehash: the weights are still those when this is first called after it."""
        if self._at != self._manager.rehashes:
            if self._manager.center:
                query_mean, extra = self._manager.query
                rows = CenteredInnerProduct(self._weights.value, self._bias.value, query_mean, 0.0, extra=extra)
                self._means = np.append(rows.row_mean, rows.bias_mean)
            self._at = self._manager.rehashes
        return self._means[:-1], self._means[-1]

    def per_sample(self, h: np.ndarray, sets: ActiveSets) -> ActiveSets:
        """As `Correction.per_sample`."""
        from mongoose_nb.kernels.hashing.center import cosines_active

        (query_mean, extra), n_rows = self._manager.query, self.n_rows
        cosine = np.zeros(len(sets.ids), np.float32)
        cosines_active(h, self._weights.value, self._bias.value, *self._frame(), query_mean,
                       extra if self._manager.center else np.float32(0.0), sets.start, sets.count, sets.ids, cosine)
        p = retrieval_probability(cosine, self._manager.tables.family, self._min_votes)
        uniform = sets.count - sets.n_exact
        floor = np.where(uniform > 0, 0.0, 1.0 / math.sqrt(n_rows))
        room = np.diff(sets.start, append=len(sets.ids))  # a set may be shorter than its place
        shifts = log_weights(p, *(np.repeat(a, room) for a in (uniform, n_rows - sets.n_exact, floor)))
        place = np.arange(len(sets.ids)) - np.repeat(sets.start, room)
        shifts[place < np.repeat(sets.n_label, room)] = 0.0
        return sets._replace(shifts=shifts)


def make_correction(correction: None | str | dict | Correction, shape: str, family: type[HashFamily] | None = None,
                    learn: Any = None) -> Correction:
    """Make the correction of a sampler, and check that it goes with the rest.

    Parameters
    ----------
    correction : None, str, dict or Correction
        None: ``"tail"`` for candidates per sample, ``"none"`` for candidates shared by the batch.
    shape : {"sample", "batch"}
        Of the candidates.
    family : class of hashing.HashFamily, optional
        Of a sampler with hash tables.
    learn : object, optional
        What trains the hash functions.

    Returns
    -------
    Correction

    Raises
    ------
    ValueError
        If the correction does not go with the rest.
    """
    made = make("correction", ("tail" if shape == "sample" else "none") if correction is None else correction)
    tables = family is not None
    if not _goes_with(made, shape, tables):
        able = [name for name, known in registered("correction").items() if _goes_with(known, shape, tables)]
        raise ValueError(f"correction={name_of(type(made))!r} does not go with shape={shape!r} {'with' if tables else 'without'} hash "
                         f"tables; use one of {able}")
    for capability in made.family_needs:
        require(family, capability, f"correction={name_of(type(made))!r}")
    if made.random_functions and learn is not None:
        raise ValueError(f"correction={name_of(type(made))!r} needs random hash functions, but learn={learn!r} trains them; give one of "
                         "the two")
    return made


def _goes_with(correction, shape, tables):
    return shape in correction.shapes and tables in correction.tables


def log_weights(p: np.ndarray, uniform: Any, left: Any, floor: Any = 0.0) -> np.ndarray:
    """log(1 / q) of outputs that come in with probability `p`, or as one of `uniform` drawn from the `left` others.

    Parameters
    ----------
    p : array
        Probability of the first way in.
    uniform, left : number or array
        Uniform draw without replacement; ``left = 0`` where there are no others.
    floor : number or array
        Least q: bounds the weights, at the price of an estimate that is too low.

    Returns
    -------
    array of float32
    """
    r = np.minimum(1.0, uniform / np.maximum(left, 1))
    return -np.log(np.maximum(p + (1.0 - p) * r, floor)).astype(np.float32)


class LabelFrequency(Stateful):
    """How often every output was a label so far, for `LogQ` and for proposals.

    Counts rise by what a batch brings, so a step costs what its labels cost. The batch at hand is counted too, so that no label in it has
    frequency zero. Estimates that stand on these frequencies are unbiased as far as the frequencies are right: in the first batches
    outputs not seen yet pass for ones that are never labels, and the sum comes out too high; the error falls as one over the count.

    Parameters
    ----------
    n_rows : int
    """

    saved_state = ("counts", "samples")

    def __init__(self, n_rows: int) -> None:
        self.counts = np.zeros(n_rows, np.int64)
        self.samples = 0

    def state_restored(self) -> None:
        """Refuse counts that cannot be."""
        if self.samples < 0 or (self.counts < 0).any():
            raise ValueError("the saved counts of labels must not be below zero")

    def observe(self, labels: Rows) -> None:
        """Count the labels (`Rows`) of a batch."""
        np.add.at(self.counts, labels.flat()[1], 1)
        self.samples += len(labels.start)

    def presence(self, ids: np.ndarray, others: int) -> np.ndarray:
        """Probability that an output is a label of one of `others` further samples: 1 - (1 - f)^others."""
        f = self.counts[ids] / max(1, self.samples)
        with np.errstate(divide="ignore"):  # an output that is a label of every sample
            return -np.expm1(others * np.log1p(-f)) if others else np.zeros(len(ids))


def retrieval_probability(cosine: np.ndarray, family: HashFamily, min_votes: int = 1) -> np.ndarray:
    """Probability, over the draw of the functions, that tables hold a row in at least `min_votes` of the query's buckets.

    With one vote this is 1 - (1 - p^K)^L, p = 1 - angle / pi (Spring and Shrivastava 2017); tables are independent, so with
    more it is the binomial tail (Chen et al. 2020, section 3.1).

    Parameters
    ----------
    cosine : array
        Of the angle between query and row as they are hashed.
    family : hashing.HashFamily
        Of the similarity "cosine", with a closed form.
    min_votes : int

    Returns
    -------
    array of float64
    """
    cosine = np.clip(np.asarray(cosine, np.float64), -1.0, 1.0)
    if min_votes == 1:
        return family.retrieval_probability(cosine)
    from scipy.special import betainc

    return betainc(min_votes, family.L - min_votes + 1, family.collision_probability(cosine) ** family.K)
