"""One linear ranker for each label, trained on the rows that could be mistaken for its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mongoose_nb.core.arrays import read_only
from mongoose_nb.core.registry import register
from mongoose_nb.core.scratch import Scratch
from mongoose_nb.core.validation import check_int, check_number
from mongoose_nb.nn.labelled import check_labelled
from mongoose_nb.nn.ranking.lists import Lists, Packed, csr_rows
from mongoose_nb.nn.ranking.source import Query, Source, Training, as_it_is

if TYPE_CHECKING:
    import scipy.sparse as sp

# Room for the weights of the labels that are trained in one call, before they are pruned: 128 MB.
ROOM = 1 << 24
# Where training ends by default, and pairs up to which it ends later: on few rows that costs nothing, and each one counts.
TOLERANCE, FEW_PAIRS, TOLERANCE_OF_FEW = 0.4, 1 << 16, 0.1


def log_sigmoid(margins: np.ndarray) -> np.ndarray:
    """Logarithm of the logistic function of three times a margin.

    Parameters
    ----------
    margins : float32 array
    """
    return -np.logaddexp(np.float32(0), -3 * margins)


def squared_hinge(margins: np.ndarray) -> np.ndarray:
    """The negative loss of a label by its margin, that of Parabel's label trees.

    Parameters
    ----------
    margins : float32 array
    """
    return -np.square(np.maximum(0, 1 - margins))


@register("ranking source", "rankers")
class LinearRankers(Packed, Source):
    """A support vector machine (L2, squared hinge) for each label, over the rows that have the label or have it as a candidate.

    Weights up to `prune` are dropped. A label that no row has gets no weights and the bias -1. Per
    kept weight the rankers take 8 bytes, in a file 4 to 6, for which a ranking rounds them to half precision. Training takes about 5 bytes
    for each pair of a row and a label, 128 MB for a group of labels, and a vector of all features for each thread. Any number of threads
    gives the same bits.

    Parameters
    ----------
    C : float
        Weight of the losses beside the regularisation.
    prune : float
        Largest weight that is dropped.
    tolerance : float, optional
        Largest violation of the optimality conditions at which the training of a label ends: by default 0.1 for up to 65,536 pairs, and
        0.4 beyond. There a quarter of it takes 1.5 times as long, and rankings are no better.
    passes : int
        Most passes over the pairs of a label.
    seed : int
        Of the order in which pairs are visited.

    Attributes
    ----------
    weights : (labels, features) CSR
        Kept weights.
    bias : (labels,) float32

    References
    ----------
    Hsieh et al., "A dual coordinate descent method for large-scale linear SVM", ICML 2008. Prabhu et al., "Parabel", WWW 2018: rankers
    that see only rows which reach them.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy import sparse
    >>> from mongoose_nb.nn.ranking import LinearRankers, Lists
    >>> X = sparse.csr_matrix(np.eye(4, dtype=np.float32)[[0, 1, 0, 1]])
    >>> Y = sparse.csr_matrix(np.eye(2, dtype=np.float32)[[0, 1, 0, 1]])
    >>> every = Lists(np.arange(0, 9, 2), np.tile(np.arange(2, dtype=np.int32), 4))
    >>> rankers = LinearRankers(C=10.0).fit(X, Y, every)
    >>> (rankers.scores(X, every).reshape(4, 2) > 0).tolist()
    [[True, False], [False, True], [True, False], [False, True]]
    """

    saved_state = ("n_features", "indptr", "packed_ids", "halves", "bias")
    resizable = ("indptr", "packed_ids", "halves", "bias")
    forms = {"margin": as_it_is, "log sigmoid": log_sigmoid, "squared hinge": squared_hinge}

    def __init__(self, C: float = 0.5, *, prune: float = 0.05, tolerance: float | None = None, passes: int = 20, seed: int = 0) -> None:
        self.C = check_number("C", C, low=0.0, open_low=True)
        self.prune = check_number("prune", prune, low=0.0)
        self.tolerance = None if tolerance is None else check_number("tolerance", tolerance, low=0.0, open_low=True)
        self.passes = check_int("passes", passes, low=1)
        self.seed = check_int("seed", seed, low=0, high=2**63 - 1)
        self.indptr, self.ids = np.zeros(1, np.int64), np.zeros(0, np.int32)
        self.values, self.bias = np.zeros(0, np.float32), np.zeros(0, np.float32)
        self.n_features, self._wide = 0, Scratch()
        #: of the last `fit`: pairs, weights, passes (most), violation (largest)
        self.report: dict = {}
        #: of the last `fit` with held-out rows: their margins, (n, labels) CSR
        self.held_margins: sp.csr_matrix | None = None

    @property
    def weights(self) -> sp.csr_matrix:
        """Kept weights, (labels, features) CSR."""
        from scipy import sparse

        return sparse.csr_matrix((self.values, self.ids, self.indptr), shape=(len(self.bias), self.n_features))

    def id_limit(self) -> int:
        """As `Packed.id_limit`."""
        return self.n_features

    def state_restored(self) -> None:
        """Check that the arrays describe rows of weights."""
        n = len(self.bias)
        if (self.indptr.shape != (n + 1,) or self.indptr[0] != 0 or (np.diff(self.indptr) < 0).any() or self.indptr[-1] != len(self.ids)
                or len(self.ids) != len(self.values) or (len(self.ids) and not 0 <= self.ids.min() <= self.ids.max() < self.n_features)):
            raise ValueError("the saved weights of linear rankers do not fit each other")
        self._wide = Scratch()

    def fit(self, X: sp.csr_matrix, Y: sp.csr_matrix, candidates: Lists, *, held: np.ndarray | None = None,
            counterweight: float = 1.0) -> LinearRankers:
        """Train all labels.

        Parameters
        ----------
        X : (n, features) CSR float32
            Canonical; rows of length one suit the default of C.
        Y : (n, labels) CSR
            Canonical indicator.
        candidates : Lists
            Labels of each row for whose rankers it is an example; a counterexample, where it does not have the label.
        held : (n,) bool, optional
            Rows without which the rankers are trained first. Their margins under these rankers are then in `held_margins`; training goes
            on with all rows.
        counterweight : float
            Weight of a counterexample's loss. Where candidates are listed for one row in ten, each counterexample stands for ten.

        Returns
        -------
        LinearRankers
            self
        """
        import numba

        from mongoose_nb.kernels.ranking import linear as kernels

        check_labelled(Y)
        n, n_labels = Y.shape
        counterweight = check_number("counterweight", counterweight, low=0.0, open_low=True)
        indptr, row, positive, work = _pairs(X, Y, candidates)
        held = np.zeros(0, bool) if held is None else np.asarray(held, bool)
        size = np.diff(indptr)
        has = np.zeros(n_labels, bool)
        has[Y.indices] = True
        order = np.flatnonzero(has)
        order = order[np.argsort(-work[order], kind="stable")]
        room = np.minimum(work[order], X.shape[1])
        rows = csr_rows(X)
        squares = np.add.reduceat(np.append(X.data, np.float32(0)) ** 2, X.indptr[:-1]).astype(np.float32)
        squares[np.diff(X.indptr) == 0] = 0
        pairs = kernels.Pairs(indptr, row, positive, held)
        tolerance = (TOLERANCE if len(row) > FEW_PAIRS else TOLERANCE_OF_FEW) if self.tolerance is None else self.tolerance
        rule = kernels.Rule(self.C, counterweight, tolerance, self.passes, self.prune, self.seed)
        threads = numba.get_num_threads()
        scratch = kernels.Scratch(np.zeros((threads, X.shape[1]), np.float32), *(
            np.zeros((threads, size.max(initial=1)), dtype) for dtype in (np.float64, np.int32, np.int8)))
        margins = np.full(len(row) if len(held) else 0, -1, np.float32)
        self.bias, self.n_features = np.full(n_labels, -1, np.float32), X.shape[1]
        self._wide = Scratch()
        counts, parts, passes, violation = np.zeros(n_labels, np.int64), [], 0, 0.0
        for group in _groups(room):
            labels, slot_start = _dealt(order[group], threads)
            start = np.concatenate([[0], np.cumsum(np.minimum(work[labels], X.shape[1]))])
            found = kernels.Found(start, np.zeros(len(labels), np.int64), np.empty(start[-1], np.int32), np.empty(start[-1], np.float32),
                                  np.zeros(len(labels), np.float32), np.zeros(len(labels), np.float32), np.zeros(len(labels), np.int32))
            kernels.train(rows, read_only(squares), pairs, labels, rule, slot_start, scratch, found, margins)
            counts[labels], self.bias[labels] = found.kept, found.bias
            passes, violation = max(passes, int(found.passes.max())), max(violation, float(found.violation.max()))
            kept = _ranges(start[:-1], found.kept)
            parts.append((labels, found.ids[kept], found.values[kept]))
        self.indptr = np.concatenate([[0], np.cumsum(counts)])
        self.ids, self.values = np.empty(self.indptr[-1], np.int32), np.empty(self.indptr[-1], np.float32)
        while parts:  # given back one by one: the weights of very many labels are not held twice
            labels, ids, values = parts.pop()
            place = _ranges(self.indptr[labels], counts[labels])
            self.ids[place], self.values[place] = ids, values
        weights = self.weights
        weights.has_sorted_indices = False
        weights.sort_indices()
        self.ids = weights.indices.astype(np.int32, copy=False)
        self.values = weights.data
        self.report = {"pairs": len(row), "weights": len(self.ids), "passes": passes, "violation": violation}
        self.held_margins = None
        if len(held):
            from scipy import sparse

            of_held = np.flatnonzero(held[row])
            ends = np.searchsorted(of_held, indptr)
            self.held_margins = sparse.csc_matrix((margins[of_held], row[of_held], ends), shape=Y.shape).tocsr()
        return self

    def train(self, training: Training, lists: Lists, counterweight: float) -> None:
        """As `Source.train`."""
        held = np.zeros(training.X.shape[0], bool)
        held[training.held] = True
        self.fit(training.rows, training.Y, lists, held=held, counterweight=counterweight)
        np.clip(self.values, -65504, 65504, out=self.values)
        self.values[:] = self.values.astype(np.float16)  # as a file has them

    def held_values(self, training: Training, lists: Lists) -> tuple[np.ndarray, ...]:
        """As `Source.held_values`."""
        margins, self.held_margins = lists.look_up(self.held_margins[training.held]), None
        return (margins,)

    def values_of(self, query: Query, lists: Lists, answer: Any) -> tuple[np.ndarray, ...]:
        """As `Source.values_of`."""
        return (self.scores(query.rows, lists),)

    def scores(self, X: sp.csr_matrix, candidates: Lists) -> np.ndarray:
        """Margins of the candidates of each row.

        Parameters
        ----------
        X : (n, features) CSR float32
        candidates : Lists

        Returns
        -------
        (entries,) float32
            As long as ``candidates.ids``.
        """
        import numba

        from mongoose_nb.kernels.ranking import linear as kernels

        if X.shape[1] != self.n_features:
            raise ValueError(f"rows have {X.shape[1]} features; these rankers were trained on {self.n_features}")
        out = np.empty(len(candidates.ids), np.float32)
        slots = max(1, min(numba.get_num_threads(), X.shape[0]))
        rankers = kernels.SparseRows(self.indptr, read_only(self.ids), read_only(self.values))
        with self._wide.lent(slots, lambda: np.zeros((slots, self.n_features), np.float32)) as wide:
            kernels.scores(csr_rows(X), (candidates.indptr, read_only(candidates.ids)), rankers, self.bias, wide, out)
        return out


def _pairs(X, Y, candidates):
    """(indptr, row, positive, features of all rows) of pairs by label, rows ascending: a row's candidates and its labels."""
    from mongoose_nb.kernels.ranking import linear as kernels

    indptr, work = np.zeros(Y.shape[1] + 1, np.int64), np.zeros(Y.shape[1], np.int64)
    listed = candidates.indptr.astype(np.int64), read_only(candidates.ids)
    labels = Y.indptr.astype(np.int64), read_only(Y.indices.astype(np.int32, copy=False))
    kernels.count_pairs(listed, labels, np.diff(X.indptr).astype(np.int64), indptr, work)
    row, positive = np.empty(indptr[-1], np.int32), np.empty(indptr[-1], np.int8)
    kernels.fill_pairs(listed, labels, indptr[:-1].copy(), row, positive)
    return indptr, row, positive, work


def _ranges(start, count):
    """All numbers of the ranges that begin at `start` and have `count` numbers, one range after the other."""
    return np.repeat(start - (np.cumsum(count) - count), count) + np.arange(count.sum())


def _groups(room):
    """Slices of labels whose weights have room together."""
    ends = np.cumsum(room)
    lo = 0
    while lo < len(room):
        hi = max(lo + 1, int(np.searchsorted(ends, (ends[lo - 1] if lo else 0) + ROOM, side="right")))
        yield slice(lo, hi)
        lo = hi


def _dealt(labels, threads):
    """Labels, given with falling work, dealt to the threads to and fro: (labels by thread, start of each thread's)."""
    place = np.arange(len(labels)) % (2 * threads)
    owner = np.minimum(place, 2 * threads - 1 - place)
    order = np.argsort(owner, kind="stable")
    return labels[order].astype(np.int64), np.searchsorted(owner[order], np.arange(threads + 1))
