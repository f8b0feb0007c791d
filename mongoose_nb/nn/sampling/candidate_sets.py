"""Active sets: which outputs a sample, or a batch, computes. Labels first, then retrieved candidates, then uniform filler."""

from typing import NamedTuple

import numpy as np

from mongoose_nb.core.validation import check_choice, check_int
from mongoose_nb.nn.sampling.corrections import LabelFrequency, log_weights

STRATEGIES = ("topk", "vanilla", "threshold")
VANILLA = STRATEGIES.index("vanilla")
# Votes are counted in 7 bits, up to this many.
MAX_VOTES = 126
NO_SHIFTS = np.zeros(0, np.float32)


class ActiveSets(NamedTuple):
    """Per-sample sets: sample i has ``ids[start[i] : start[i] + count[i]]``, labels first, filler from ``n_exact[i]`` on."""

    start: np.ndarray  # (n,) int64
    count: np.ndarray  # (n,) int64
    ids: np.ndarray  # int32
    n_label: np.ndarray  # (n,) int64
    n_exact: np.ndarray  # (n,) int64, labels + retrieved
    n_hit: np.ndarray  # (n,) int64, labels that the buckets returned
    shift: np.ndarray  # (n,) float32, added to the logits of the filler
    shifts: np.ndarray = NO_SHIFTS  # float32, as `ids`: added to each logit, zero for labels; empty for none


class SharedSet(NamedTuple):
    """One set for a batch: `ids` (None: all outputs), labels and retrieved ones first, filler from `n_exact` on."""

    ids: np.ndarray | None
    n_label: int
    n_exact: int
    shifts: np.ndarray  # float32, as `ids`: added to each logit, except those of a sample's own labels; empty for none
    pair_column: np.ndarray | None  # place in `ids` of every label of every sample


class Views(NamedTuple):
    """What the kernels read of hash tables: ids by table, (start, size) of every bucket, and the codes of the queries.

    The ids in `always` come before all that buckets hold: rows that the tables have in the wrong place.
    """

    pool: np.ndarray  # (L, P) int32
    spans: np.ndarray  # (L, buckets, 2) int32
    codes: np.ndarray  # (L, n) unsigned
    always: np.ndarray = np.zeros(0, np.int32)  # different ids


def suits_most_voted(views):
    """Whether votes fit a byte, and the buckets of a query hold a sixteenth of all rows or more, as far as they are not capped.

    A sample of 400, microseconds with a list of who has votes and without: EURLEX57K (50 L / buckets: 39) 10.9 and 5.0, Gowalla (5) 17.2
    and 7.1, but with 16 tables (1.6) 6.4 and 10.4, and 100,000 outputs (1.2) 13.6 and 22.5, where most ids have one vote.
    """
    L, buckets = views.spans.shape[:2]
    return L < 254 and 16 * L >= buckets


_NO_TABLES = Views(np.zeros((1, 1), np.int32), np.zeros((1, 1, 2), np.int32), np.zeros((1, 1), np.uint8))


class ActiveSetBuilder:
    """Draws active sets; owns the scratch memory that this takes (5 bytes per row and thread).

    Parameters
    ----------
    n_rows : int
        Number of outputs.
    seed : int
        Keys the filler together with the step.
    strategy : {"topk", "vanilla", "threshold"}
        How candidates are taken from the buckets (Chen et al. 2020, section 3.1): the most frequent ones; whole buckets of
        tables in random order; those that stand in at least `min_votes` buckets, most frequent first.
    min_votes : int
        Least number of buckets an id must stand in under ``"threshold"``, at most 126.
    correction : {"tail", "logq", "none"}
        ``"tail"``: the filler's logits are raised so that it stands for all outputs that were not retrieved: with u of R remaining
        outputs drawn uniformly, adding log(R / u) makes the sum of exponentials an unbiased estimate of the full one.
        ``"logq"``, for `shared` without retrieved ids: the labels of other samples stand for the rest too, so that every output of
        the list, except a sample's own labels, is lowered by the logarithm of its probability to be there; see `corrections`.
    """

    def __init__(self, n_rows, *, seed=0, strategy="topk", min_votes=1, correction="tail"):
        self.n_rows = check_int("n_rows", n_rows, low=1)
        self.seed = seed
        self.strategy = STRATEGIES.index(check_choice("strategy", strategy, STRATEGIES))
        self.min_votes = check_int("min_votes", min_votes, low=1, high=MAX_VOTES) if strategy == "threshold" else 1
        self.correction = check_choice("correction", correction, ("tail", "logq", "none"))
        self.frequency = LabelFrequency(n_rows) if correction == "logq" else None
        self._mark = self._touched = self._column = None

    def _scratch(self, use_tables):
        import numba

        from mongoose_nb.kernels.common.lanes import LANES

        threads = numba.get_num_threads()
        if self._mark is None or len(self._mark) < threads:
            self._mark = np.zeros((threads, -(-self.n_rows // LANES) * LANES), np.uint8)
        if use_tables and (self._touched is None or len(self._touched) < threads):
            self._touched = np.zeros((threads, self.n_rows + LANES), np.int32)
        touched = self._touched if self._touched is not None else np.zeros((threads, 1), np.int32)
        return self._mark[:threads], touched[:threads]

    def per_sample(self, labels, candidates, *, step, views=None, head=0, fill=True, alike=False):
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
            Whether uniform filler makes up what retrieval leaves open.
        alike : bool
            Whether the random choices are the same for all samples, so that a row's set does not depend on its place in the batch.

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
        tables = _NO_TABLES if views is None else views
        # Answers of a saved network must not change with which of equal ids are taken, so that only training counts.
        counted = views is not None and not alike and self.strategy != VANILLA and suits_most_voted(views)
        mark, touched = self._scratch(views is not None)
        active_sets(views is not None, counted, *tables, self.strategy, self.min_votes, head, fill,
                    labels.start, labels.count, labels.ids, self.n_rows, sizes, start, np.uint64(self.seed), np.uint64(step),
                    np.zeros(n, np.int64) if alike else np.arange(n), mark, touched, ids, n_label, n_exact, n_active, n_hit)
        shift = np.zeros(n, np.float32)
        if self.correction == "tail":
            filler = n_active - n_exact
            shift = np.log(np.where(filler > 0, (self.n_rows - n_exact) / np.maximum(filler, 1), 1.0)).astype(np.float32)
        return ActiveSets(start, n_active, ids, n_label, n_exact, n_hit, shift)

    def most_voted(self, views, n):
        """Sets of the at most `n` ids that stand in most buckets of a query, and nothing else. Quick where these hold a good part of all
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
        from mongoose_nb.kernels.tables.most_voted import most_voted

        n_queries, n = views.codes.shape[1], min(n, self.n_rows)
        marks, _ = self._scratch(False)
        ids, count = np.empty((n_queries, n + LANES), np.int32), np.zeros(n_queries, np.int64)
        ties = np.empty((len(marks), n + LANES), np.int32)
        most_voted(views.pool, views.spans, views.codes, n, np.uint64(self.seed), marks, ids, ties, count)
        none = np.zeros(n_queries, np.int64)
        start = np.arange(n_queries, dtype=np.int64) * ids.shape[1]
        return ActiveSets(start, count, ids.ravel(), none, count, none, np.zeros(n_queries, np.float32))

    def shared(self, labels, candidates, *, step, heads=None):
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
        head_start, head_count, head_ids = (none, none, np.zeros(0, np.int32)) if heads is None else heads[:3]
        ids = np.empty(min(self.n_rows, n_pairs + candidates + int(head_count.sum())), np.int32)
        pair_column = np.empty(n_pairs, np.int32)
        sizes = np.empty(3, np.int64)
        mark, _ = self._scratch(False)
        shared_set(labels.start, labels.count, labels.ids, head_start, head_count, head_ids, candidates, self.n_rows,
                   np.uint64(self.seed), np.uint64(step), self._column, mark[0], ids, pair_column, sizes)
        n_label, n_exact, n = sizes.tolist()
        ids, filler, left = ids[:n], n - n_exact, self.n_rows - n_exact
        shifts = NO_SHIFTS
        if self.correction == "tail" and filler:
            shifts = np.zeros(n, np.float32)
            shifts[n_exact:] = np.log(left / filler)
        elif self.correction == "logq":
            self.frequency.observe(labels)
            # without filler an output that was no label before could weigh anything
            shifts = log_weights(self.frequency.presence(ids, len(labels.start) - 1), filler, left, floor=1 / self.n_rows)
        return SharedSet(ids, n_label, n_exact, shifts, pair_column)
