"""Candidate sets: which outputs a sample, or a batch, computes. Labels first, then retrieved candidates, then random ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from mongoose_nb.core.arrays import Rows
from mongoose_nb.core.registry import Registered, is_own, make
from mongoose_nb.core.validation import check_int
from mongoose_nb.kernels.tables.bundles import Alias, Draw, Labels, Scratch, Selection, Sets, Views
from mongoose_nb.nn.sampling import strategies  # noqa: F401  (registers them)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mongoose_nb.nn.sampling.strategies import Strategy

NO_SHIFTS = np.zeros(0, np.float32)
Sets_ = TypeVar("Sets_", bound="ActiveSets | SharedSet")


class ActiveSets(NamedTuple):
    """Sets of each sample: labels first, then retrieved outputs, then random ones.

    Parameters
    ----------
    start, count : (n,) int64
        Sample i has ``ids[start[i] : start[i] + count[i]]``.
    ids : int32
    n_label : (n,) int64
        Labels of every sample.
    n_exact : (n,) int64
        Labels and retrieved outputs; random ones come after.
    n_hit : (n,) int64
        Labels that the buckets returned.
    shift : (n,) float32
        Added to the logits of the random outputs.
    shifts : float32
        As `ids`: added to each logit, zero for labels. Empty for none.
    """

    start: np.ndarray
    count: np.ndarray
    ids: np.ndarray
    n_label: np.ndarray
    n_exact: np.ndarray
    n_hit: np.ndarray
    shift: np.ndarray
    shifts: np.ndarray = NO_SHIFTS

    @classmethod
    def of(cls, labels: Rows, *, retrieved: Sequence = (), uniform: Sequence = ()) -> ActiveSets:
        """Sets from lists of ids; a loop over the samples.

        Parameters
        ----------
        labels : Rows
            True labels of every sample.
        retrieved, uniform : sequence of int arrays, one a sample
            Candidates, without repetition within one array. Those that are in the set already are left out.

        Returns
        -------
        ActiveSets
        """
        n, parts, sizes = len(labels.start), [], np.zeros((3, len(labels.start)), np.int64)
        for i in range(n):
            own = labels.ids[labels.start[i]:labels.start[i] + labels.count[i]]
            for k, more in enumerate((retrieved, uniform)):
                sizes[k, i] = len(own)
                if len(more):
                    own = np.concatenate([own, np.asarray(more[i], np.int32)[~np.isin(more[i], own)]])
            sizes[2, i] = len(own)
            parts.append(own)
        ids = np.concatenate(parts).astype(np.int32) if parts else np.zeros(0, np.int32)
        count = sizes[2]
        return cls(np.cumsum(count) - count, count, ids, sizes[0], sizes[1], np.zeros(n, np.int64), np.zeros(n, np.float32))

    def counts(self) -> dict[str, float]:
        """Mean numbers of ids, and the share of labels that the buckets returned; see `Sampler.counts`."""
        labels, exact, active = self.n_label.mean(), self.n_exact.mean(), self.count.mean()
        return {"labels": labels, "retrieved": exact - labels, "uniform": active - exact, "active": active,
                "label_recall": self.n_hit.sum() / max(1, self.n_label.sum())}


class SharedSet(NamedTuple):
    """One set for a batch: labels first, then retrieved outputs, then uniform ones.

    Parameters
    ----------
    ids : int32, or None
        None: all outputs.
    n_label, n_exact : int
        Numbers of labels, and of labels and retrieved outputs.
    shifts : float32
        As `ids`: added to each logit, except those of a sample's own labels. Empty for none.
    pair_column : int32, or None
        Place in `ids` of every label of every sample.
    """

    ids: np.ndarray | None
    n_label: int
    n_exact: int
    shifts: np.ndarray
    pair_column: np.ndarray | None

    @classmethod
    def of(cls, labels: Rows, *, retrieved: Sequence = (), uniform: Sequence = ()) -> SharedSet:
        """A set from arrays of ids.

        Parameters
        ----------
        labels : Rows
            True labels of every sample.
        retrieved, uniform : array of int
            Candidates, without repetition within one array. Those that are in the set already are left out.

        Returns
        -------
        SharedSet
        """
        flat = labels.flat()[1]
        own, place = np.unique(flat, return_inverse=True)
        ids, n_label = own.astype(np.int32), len(own)
        sizes = []
        for more in (retrieved, uniform):
            sizes.append(len(ids))
            ids = np.concatenate([ids, np.asarray(more, np.int32)[~np.isin(more, ids)]])
        return cls(ids, n_label, sizes[1], NO_SHIFTS, place.astype(np.int32))

    def counts(self) -> dict[str, float]:
        """Numbers of ids; see `Sampler.counts`."""
        n = len(self.ids)
        return {"labels": self.n_label, "retrieved": self.n_exact - self.n_label, "uniform": n - self.n_exact, "active": n}


def suits_most_voted(views: Views) -> bool:
    """Whether votes fit a byte, and the buckets of a query hold a sixteenth of all rows or more, as far as they are not capped.

    Then votes are counted without a list of who has some, which takes half the time; with fewer, twice the time.
    """
    L, buckets = views.spans.shape[:2]
    return L < 254 and 16 * L >= buckets


_NO_TABLES = Views(np.zeros((1, 1), np.int32), np.zeros((1, 1, 2), np.int32), np.zeros((1, 1), np.uint32))



def check_sets(sampler: Registered, sets: Sets_, n_outputs: int) -> Sets_:
    """The sets that a sampler chose; those of a user's own sampler are checked, since kernels read and write by their ids.

    Raises
    ------
    TypeError, ValueError
        If they are no sets, name an output that there is not, or name one twice.
    """
    if not is_own(type(sampler)):
        return sets
    name = type(sampler).__qualname__
    if not isinstance(sets, ActiveSets | SharedSet):
        raise TypeError(f"sampler {name} must return ActiveSets (per_sample) or a SharedSet (shared); got {type(sets).__name__}")
    if sets.ids is None:
        return sets
    if isinstance(sets, ActiveSets):
        sample, ids = Rows(sets.start, sets.count, sets.ids, np.zeros(0, np.float32)).flat()
    else:
        sample, ids = np.zeros(len(sets.ids), np.int64), sets.ids
    wrong = ids[(ids < 0) | (ids >= n_outputs)]
    if len(wrong):
        raise ValueError(f"sampler {name} chose output {wrong[0]}; the layer has outputs 0 to {n_outputs - 1}")
    if len(np.unique(sample * n_outputs + ids)) < len(ids):
        raise ValueError(f"sampler {name} chose an output twice for one set; give every id once")
    return sets


class ActiveSetBuilder:
    """Draws candidate sets; owns the scratch memory that this takes (5 bytes per row and thread).

    Parameters
    ----------
    n_rows : int
        Number of outputs.
    seed : int
        Keys the random candidates together with the step.
    strategy : str or Strategy
        How candidates are taken from the buckets.
    """

    def __init__(self, n_rows: int, *, seed: int = 0, strategy: str | dict | Strategy = "topk") -> None:
        self.n_rows = check_int("n_rows", n_rows, low=1)
        self.seed = seed
        self.strategy = make("selection strategy", strategy)
        self._mark = self._touched = self._column = None

    @property
    def clean(self) -> bool:
        """Whether all marks are zero, as they have to be between two calls."""
        return self._mark is None or not self._mark.any()

    def _scratch(self, use_tables):
        import numba

        from mongoose_nb.kernels.common.lanes import LANES

        threads = numba.get_num_threads()
        if self._mark is None or len(self._mark) < threads:
            self._mark = np.zeros((threads, -(-self.n_rows // LANES) * LANES), np.uint8)
        if use_tables and (self._touched is None or len(self._touched) < threads):
            self._touched = np.zeros((threads, self.n_rows + LANES), np.int32)
        touched = self._touched if self._touched is not None else np.zeros((threads, 1), np.int32)
        return Scratch(self._mark[:threads], touched[:threads])

    def per_sample(self, labels: Rows, candidates: int, *, step: int, views: Views | None = None, head: int = 0, fill: bool = True,
                   alike: bool = False, alias: Alias | None = None) -> ActiveSets:
        """Sets of each sample's labels and `candidates` further ids, of which up to `head` come from the tables.

        Parameters
        ----------
        labels : Rows
            (n) true labels; no duplicates within a row.
        candidates : int
            Outputs beside the labels, as far as there are so many.
        step : int
            Keys the random choices together with the seed.
        views : Views, optional
            The tables and the codes of the samples.
        head : int
            Most ids to take from the tables.
        fill : bool
            Whether random candidates make up what retrieval leaves open.
        alike : bool
            Whether the random choices are the same for all samples, so that a row's set does not depend on its place in the batch.
        alias : Alias, optional
            What random candidates are drawn from, independently, so that there may be fewer different ones; their ``shifts`` are set. By
            default they are uniform without replacement. Where there are not more outputs than `candidates`, all are taken.

        Returns
        -------
        ActiveSets
        """
        from mongoose_nb.kernels.tables.retrieve import active_sets

        n = len(labels.start)
        sizes = np.minimum(self.n_rows, labels.count + candidates)
        start = np.cumsum(sizes) - sizes
        ids = np.empty(int(sizes.sum()), np.int32)
        n_label, n_exact, n_active, n_hit = np.empty((4, n), np.int64)
        shifts = NO_SHIFTS if alias is None else np.zeros(len(ids), np.float32)
        use_tables, strategy = views is not None, self.strategy
        # Prediction breaks ties as in earlier versions, so only training counts votes without a list.
        counted = use_tables and not alike and not strategy.whole_buckets and suits_most_voted(views)
        active_sets(
            _NO_TABLES if views is None else views, Labels(labels.start, labels.count, labels.ids),
            Selection(use_tables, counted, strategy.whole_buckets, strategy.min_votes, head, fill),
            Draw(np.uint64(self.seed), np.uint64(step), np.zeros(n, np.int64) if alike else np.arange(n), self.n_rows,
                 *(alias or Alias())),
            self._scratch(use_tables), Sets(sizes, start, ids, n_label, n_exact, n_active, n_hit, shifts))
        return ActiveSets(start, n_active, ids, n_label, n_exact, n_hit, np.zeros(n, np.float32), shifts)

    def most_voted(self, views: Views, n: int) -> ActiveSets:
        """Sets of the at most `n` ids that are in most buckets of a query, and nothing else. Quick where these hold a good part of all
        rows, see `suits_most_voted`; ties are broken otherwise than by `per_sample`.

        Parameters
        ----------
        views : Views
            The tables, at most 254, and the codes of the queries; ``always`` is not read.
        n : int

        Returns
        -------
        ActiveSets
        """
        from mongoose_nb.kernels.common.lanes import LANES
        from mongoose_nb.kernels.tables.retrieve import most_voted

        n_queries, n = views.codes.shape[1], min(n, self.n_rows)
        mark = self._scratch(False).mark
        ids, count = np.empty((n_queries, n + LANES), np.int32), np.zeros(n_queries, np.int64)
        ties = np.empty((len(mark), n + LANES), np.int32)
        most_voted(views.pool, views.spans, views.codes, n, np.uint64(self.seed), mark, ids, ties, count)
        none = np.zeros(n_queries, np.int64)
        start = np.arange(n_queries, dtype=np.int64) * ids.shape[1]
        return ActiveSets(start, count, ids.ravel(), none, count, none, np.zeros(n_queries, np.float32))

    def retrieve(self, views: Views, n: int) -> ActiveSets:
        """The quicker of `most_voted` and `per_sample` for at most `n` ids of every query, and nothing else."""
        if suits_most_voted(views):
            return self.most_voted(views, n)
        return self.per_sample(Rows.empty(views.codes.shape[1]), n, step=0, alike=True, views=views, head=n, fill=False)

    def shared(self, labels: Rows, candidates: int, *, step: int, heads: ActiveSets | None = None) -> SharedSet:
        """One set of all labels of the batch and `candidates` further ids: the retrieved `heads` first, uniform ones after.

        Parameters
        ----------
        labels : Rows
        candidates : int
        step : int
        heads : ActiveSets, optional
            Retrieved ids of every sample.

        Returns
        -------
        SharedSet
        """
        from mongoose_nb.kernels.tables.retrieve import shared_set

        if self._column is None:
            self._column = np.full(self.n_rows, -1, np.int32)
        n_pairs = int(labels.count.sum())
        none = np.zeros(0, np.int64)
        head = Labels(none, none, np.zeros(0, np.int32)) if heads is None else Labels(*heads[:3])
        ids = np.empty(min(self.n_rows, n_pairs + candidates + int(head.count.sum())), np.int32)
        pair_column = np.empty(n_pairs, np.int32)
        sizes = np.empty(3, np.int64)
        shared_set(Labels(labels.start, labels.count, labels.ids), head, candidates,
                   Draw(np.uint64(self.seed), np.uint64(step), none, self.n_rows, *Alias()), self._column, self._scratch(False).mark[0],
                   ids, pair_column, sizes)
        n_label, n_exact, n = sizes.tolist()
        return SharedSet(ids[:n], n_label, n_exact, NO_SHIFTS, pair_column)
