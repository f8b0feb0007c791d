"""Snapshot: what searches see of an index. It does not change; an index makes another one after every change.

Kernels are compiled for read-only arrays alone, so memory-mapped indexes need no second compilation. Scratch (a mark for every slot, and
for sparse rows a place for every column) is lent to one call at a time and comes back clean.
"""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import numpy as np

from mongoose_nb.core.arrays import read_only
from mongoose_nb.search.columns import SPREAD
from mongoose_nb.search.functions import Functions
from mongoose_nb.search.parallel import BLOCK, default_threads, in_parts
from mongoose_nb.search.projection import LOST_SHARE
from mongoose_nb.search.rows import RowStore
from mongoose_nb.search.rows.base import Batch, candidates

# Queries and rows of one matrix product.
_QUERIES, _SPARSE_QUERIES, _ROWS = 256, 64, 8192
# Of a filtered search: all allowed rows are compared with a query if they are so many times `few` at most, or one row in so many.
_FILTERED, _SPARSE = 4, 64
# Times the probes that are tried for a query which found fewer rows than it wants.
_WIDER = 8
#: no bound
MANY = 2**31 - 1
#: buckets per table where the family has so many
DEFAULT_PROBES = 8
#: the same, where a number of entries ends a search before
MOST_PROBES = 64
# Steps of a byte, and no bound.
_BYTE, _ANY = np.float32(127), np.float32(np.inf)
_NO_STEPS, _NO_SKETCHES = read_only(np.zeros(1, np.float32)), read_only(np.zeros((1, 64), np.int8))
_NO_POOL, _NO_SPANS = read_only(np.zeros((1, 1), np.int32)), read_only(np.zeros((0, 0, 2), np.int32))


class Search(NamedTuple):
    """How to search."""

    probes: int | None = None  # buckets per table; None: every row
    budget: int = MANY  # most candidates, by votes
    refine: int = MANY  # most exact distances, by sketches
    fallback: bool = False  # whether to look at every row where too few are found
    enough: int = MANY  # entries of buckets after which no further probes are read
    allowed: np.ndarray | None = None  # (slots,) uint8: the rows that may be answers; None: all


class Snapshot:
    """The rows and tables of an index.

    Parameters
    ----------
    rows : RowStore
    live : ndarray of shape (slots,), uint8
        Whether a slot holds a row.
    functions : Functions or None
        None where there are no tables.
    tables : LSHTables, MappedTables or None
    sketches : ndarray of shape (slots, width), int8, or None
    few : int
        How many rows are compared with a query that shares buckets with fewer rows than it wants.
    """

    def __init__(self, rows: RowStore, live: np.ndarray, functions: Functions | None, tables: Any, sketches: np.ndarray | None,
                 few: int = 1024) -> None:
        kernels = candidates()
        self.rows, self.metric, self.functions, self.tables = rows, rows.metric, functions, tables
        self.slots, self._few, self._present = len(live), few, None
        self._filtered = self._compare_all = False
        self._arrays = rows.arrays(self.slots)
        pool, stride, spans = (_NO_POOL, 0, _NO_SPANS) if tables is None else tables.flat_views()
        self.live = read_only(live)
        # kernels take plain tuples, see kernels.search.candidates
        self._buckets = tuple(kernels.Buckets(read_only(pool), int(stride), read_only(spans), self.live))
        projection = None if functions is None else functions.projection
        self._sketched = projection is not None
        if self._sketched:
            limit = _ANY if projection.augmented else _BYTE  # queries of products have the length of the longest row, and not its place
            self._sketches = tuple(kernels.Sketches(LOST_SHARE, projection.inverse, projection.weight, read_only(sketches), limit))
        else:
            self._sketches = tuple(kernels.Sketches(LOST_SHARE, _NO_STEPS, _NO_STEPS, _NO_SKETCHES, _ANY))
        self._scratch = []

    def _borrow(self):
        try:
            return self._scratch.pop()
        except IndexError:
            wide = np.zeros(self.rows.dim if self.rows.sparse and self.rows.dim <= SPREAD else 0, np.float32)
            return tuple(candidates().Scratch(np.zeros(self.slots, np.uint8), np.empty(self.slots + 1, np.int32), wide))

    # --- the k nearest ------------------------------------------------------------------------------------------------

    def query(self, batch: Batch, k: int, search: Search, n_threads: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest rows of every query of a batch.

        Parameters
        ----------
        batch
            Checked queries.
        k : int
        search : Search
        n_threads : int, optional

        Returns
        -------
        slots : ndarray of shape (n, k), int32
            Nearest first; -1 where fewer were found.
        distances : ndarray of shape (n, k), float32
            Infinite where nothing was found.
        """
        n = self.rows.count(batch)
        if search.allowed is not None:
            return self._among(search).query(batch, k, search._replace(allowed=None), n_threads)
        threads = n if n < 2 else n_threads or default_threads()
        if threads < 2:
            slots, distances = self._query(batch, k, search)
        else:
            slots, distances = np.empty((n, k), np.int32), np.empty((n, k), np.float32)

            def work(lo, hi):
                slots[lo:hi], distances[lo:hi] = self._query(self.rows.part(batch, lo, hi), k, search)

            in_parts(n, threads, work)
        return slots, distances if self.metric.rescored else self.metric.outward(distances)

    def _among(self, search):
        """The same rows and tables, of which the allowed rows alone are answers; the others count as removed.

        So few that buckets would hold hardly any are all compared with a query.
        """
        other = copy.copy(self)
        other.restrict(search.allowed)
        return other

    def restrict(self, allowed: np.ndarray) -> None:
        """Let only these slots, (slots,) uint8, be answers of a snapshot that was just copied."""
        self.live, self._present, self._filtered, self._scratch = read_only(allowed & self.live), None, True, []
        self._buckets = *self._buckets[:3], self.live
        self._compare_all = len(self._rows()) <= max(_FILTERED * self._few, self.slots // _SPARSE)

    def _query(self, batch, k, search):
        if search.probes is None or self._compare_all:
            return self._exact(batch, k)
        Y, rest = self.functions.project(batch, queries=True)
        codes = self._codes(batch, Y, search.probes)
        slots, distances = self._nearest(batch, codes, Y, rest, k, search.budget, max(search.refine, k), search.enough)
        if slots[:, -1].min(initial=0) < 0:
            self._complete(batch, slots, distances, Y, rest, search)
        return slots, distances

    def _complete(self, batch, slots, distances, Y, rest, search):
        """Find more where fewer than k rows share a bucket with a query: in more buckets, then among rows that share none."""
        k, rows = slots.shape[1], self._rows()
        wider = min(_WIDER * search.probes, self.functions.most_probes)
        for i in np.flatnonzero(slots[:, -1] < 0).tolist():
            one, found = self.rows.part(batch, i, i + 1), slots[i] >= 0
            if found.sum() == len(rows):
                continue
            if search.fallback:
                slots[i], distances[i] = (all_[0] for all_ in self._nearest(one, None, None, None, k))
                continue
            if wider > search.probes:
                y, lost = (None, None) if Y is None else (Y[i:i + 1], rest[i:i + 1])
                slots[i], distances[i] = (all_[0] for all_ in self._nearest(one, self._codes(one, y, wider), y, lost, k, search.budget,
                                                                            max(search.refine, k)))
            if slots[i, -1] < 0:
                step = max(1, len(rows) // max(self._few, 2 * k))
                near = np.union1d(slots[i, slots[i] >= 0], rows[::step]).astype(np.int32)
                far = self._distances(one, near) if self.metric.rescored else self._measure(one, np.array([0, len(near)]), near)
                order = np.argsort(far, kind="stable")[:k]
                slots[i, :len(order)], distances[i, :len(order)] = near[order], far[order]

    def _rows(self):
        """All slots that hold a row, ascending."""
        if self._present is None:
            self._present = np.flatnonzero(self.live).astype(np.int32)
        return self._present

    def _codes(self, batch, Y, probes):
        """Bucket numbers (n, L, probes)."""
        codes = self.functions.codes(self.rows, batch, self.functions.aim(Y), probes)
        return np.ascontiguousarray(self.tables.fold(codes), np.uint32) if self.tables.folds else codes

    def codes(self, batch: Batch, probes: int) -> np.ndarray:
        """Bucket numbers (n, L, probes) uint32 of queries, the most promising first."""
        return self._codes(batch, self.functions.project(batch, queries=True)[0], probes)

    def _nearest(self, batch, codes, Y, rest, k, budget=1, refine=1, enough=MANY):
        """The nearest rows in the buckets of codes, or of all rows where codes is None."""
        if self.metric.rescored:
            return self._rescored(batch, codes, Y, rest, k, budget, refine, enough)
        return self._search(batch, codes, Y, rest, k, budget, refine, enough)[:2]

    def _search(self, batch, codes, Y, rest, k, budget, refine, enough):
        """As `_nearest`, by kernels; and counts (n, 2) of candidates before and after the cut by votes."""
        n = self.rows.count(batch)
        found = np.empty((n, k), np.int32), np.empty((n, k), np.float32), np.empty((n, 2), np.int64)
        everything = codes is None
        if everything:
            codes = np.zeros((n, 0, 0), np.uint32)
        if Y is None or not self._sketched:
            Y, rest, refine = np.zeros((n, 0), np.float32), np.zeros(n, np.float32), self.slots
        scratch = self._borrow()
        probes = codes, everything, min(budget, self.slots), self._filtered, enough
        coordinates = Y, rest, max(min(refine, self.slots), 1)
        self.rows.search(self._arrays, batch, self._buckets, probes, coordinates, self._sketches, scratch, found)
        self._scratch.append(scratch)  # an error would have left it unclean, and out
        return found

    def _rescored(self, batch, codes, Y, rest, k, budget, refine, enough):
        """As `_nearest`, by the distances of the metric; one query at a time, so that a result depends on its query alone."""
        n = self.rows.count(batch)
        slots, distances = np.full((n, k), -1, np.int32), np.full((n, k), np.inf, np.float32)
        for i in range(n):
            one = self.rows.part(batch, i, i + 1)
            if codes is None:
                near = np.flatnonzero(self.live).astype(np.int32)
            else:
                own = slice(i, i + 1)
                most = min(refine, self.slots)
                place = (None, None) if Y is None else (Y[own], rest[own])
                near = self._search(one, codes[own], *place, most, budget, most, enough)[0][0]
                near = np.sort(near[near >= 0])
            far = self._distances(one, near)
            order = np.argsort(far, kind="stable")[:k]
            slots[i, :len(order)], distances[i, :len(order)] = near[order], far[order]
        return slots, distances

    def _distances(self, one, slots):
        """Distances (m,) float32 of one query and the rows in slots, by the metric."""
        q, X = (matrix.toarray() if self.rows.sparse else matrix for matrix in map(self.rows.matrix, (one, self.rows.take(slots))))
        far = np.asarray(self.metric.distances(q[0], X), np.float32)
        if far.shape != slots.shape:
            raise ValueError(f"distances of {type(self.metric).__name__} returned an array of shape {far.shape} for {len(slots)} rows")
        return far

    def _exact(self, batch, k):
        """The k nearest of all rows. For many queries a matrix product proposes rows, of which the distances of the kernel choose; queries
        for which rounding of the product leaves a doubt are compared with all rows."""
        n = self.rows.count(batch)
        if self.metric.rescored or not self.rows.proposes or n < BLOCK or self.slots < 64 * BLOCK:
            return self._nearest(batch, None, None, None, k)
        wanted = min(2 * k + 64, self.slots)
        out = np.full((n, k), -1, np.int32), np.full((n, k), np.inf, np.float32)
        queries = _SPARSE_QUERIES if self.rows.sparse else _QUERIES
        doubtful = np.zeros(n, bool)
        for lo in range(0, n, queries):
            part = self.rows.part(batch, lo, min(n, lo + queries))
            near, scores, errors = self._propose(part, wanted)
            order = np.argsort(near, axis=1)
            near, scores = np.take_along_axis(near, order, axis=1), np.take_along_axis(scores, order, axis=1)
            indptr = np.arange(len(near) + 1, dtype=np.int64) * wanted
            distances = self._measure(part, indptr, near.ravel()).reshape(near.shape)
            distances[self.live[near] == 0] = np.inf
            order = np.argsort(distances, axis=1, kind="stable")[:, :k]
            slots, found = np.take_along_axis(near, order, axis=1), np.take_along_axis(distances, order, axis=1)
            slots[~np.isfinite(found)] = -1
            out[0][lo:lo + len(near), :slots.shape[1]], out[1][lo:lo + len(near), :slots.shape[1]] = slots, found
            if wanted < self.slots:  # a row that was not proposed has the last score at least, but for the error, and so has each distance
                last, worst = scores.max(axis=1), np.take_along_axis(scores, order, axis=1).max(axis=1)
                doubtful[lo:lo + len(near)] = np.isfinite(last) & (last <= worst + 4 * errors)
        ends = np.flatnonzero(np.diff(doubtful, prepend=False, append=False))
        for lo, hi in ends.reshape(-1, 2).tolist():
            out[0][lo:hi], out[1][lo:hi] = self._nearest(self.rows.part(batch, lo, hi), None, None, None, k)
        return out

    def _propose(self, batch, wanted):
        """Slots (n, wanted) int32 whose distances are least by a matrix product, their scores, and the rounding errors (n,) of these."""
        n, live = self.rows.count(batch), self.live
        values, slots, errors = np.zeros((n, 0), np.float32), np.zeros((n, 0), np.int32), np.zeros(n)
        for lo, score, error in self.rows.scores(self._arrays, batch, _ROWS):
            score[:, live[lo:lo + _ROWS] == 0] = np.inf
            errors = np.maximum(errors, error)
            values = np.concatenate([values, score], axis=1)
            rows = np.arange(lo, lo + score.shape[1], dtype=np.int32)
            slots = np.concatenate([slots, np.broadcast_to(rows, score.shape)], axis=1)
            if values.shape[1] > wanted:
                keep = np.argpartition(values, wanted - 1, axis=1)[:, :wanted]
                values, slots = np.take_along_axis(values, keep, axis=1), np.take_along_axis(slots, keep, axis=1)
        return slots, values, errors

    # --- all candidates -----------------------------------------------------------------------------------------------

    def candidates(self, batch: Batch, search: Search) -> tuple[np.ndarray, np.ndarray]:
        """All rows that share a probed bucket with a query: indptr (n + 1,), slots (indptr[-1],), ascending for each query."""
        n = self.rows.count(batch)
        if search.probes is None:
            slots = np.flatnonzero(self.live).astype(np.int32)
            return np.arange(n + 1, dtype=np.int64) * len(slots), np.tile(slots, n)
        codes = self.codes(batch, search.probes)
        scratch = self._borrow()
        indptr = np.zeros(n + 1, np.int64)
        candidates().list_candidates(self._buckets, codes, search.enough, scratch, indptr[1:], indptr, np.zeros(0, np.int32))
        np.cumsum(indptr, out=indptr)
        slots = np.empty(int(indptr[-1]), np.int32)
        candidates().list_candidates(self._buckets, codes, search.enough, scratch, np.zeros(0, np.int64), indptr, slots)
        self._scratch.append(scratch)
        return indptr, slots

    def measure(self, batch: Batch, indptr: np.ndarray, slots: np.ndarray) -> np.ndarray:
        """Distances (len(slots),) float32 of query i and ``slots[indptr[i] : indptr[i + 1]]``, the same to the bit as in `query`."""
        if not self.metric.rescored:
            return self.metric.outward(self._measure(batch, indptr, slots))
        out = np.empty(len(slots), np.float32)
        for i, (lo, hi) in enumerate(zip(indptr.tolist(), indptr[1:].tolist())):
            out[lo:hi] = self._distances(self.rows.part(batch, i, i + 1), slots[lo:hi])
        return out

    def _measure(self, batch, indptr, slots):
        out = np.empty(len(slots), np.float32)
        scratch = self._borrow()
        self.rows.measure(self._arrays, batch, indptr, slots, scratch, out)
        self._scratch.append(scratch)
        return out

    def radius(self, batch: Batch, r: np.ndarray, search: Search) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All rows found within distances r (n,) float32 of queries: indptr (n + 1,), slots and distances (indptr[-1],), nearest first."""
        n = self.rows.count(batch)
        parts, sizes = [], np.zeros(n, np.int64)
        step = max(1, (1 << 22) // max(1, self.slots))  # so many queries may have all rows as candidates
        for lo in range(0, n, step):
            part = self.rows.part(batch, lo, min(n, lo + step))
            indptr, slots = self.candidates(part, search)
            distances = self.measure(part, indptr, slots)
            query = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
            near = distances <= r[lo:lo + step][query]
            query, slots, distances = query[near], slots[near], distances[near]
            order = np.lexsort((slots, distances, query))
            parts.append((slots[order], distances[order]))
            sizes[lo:lo + step] = np.bincount(query, minlength=len(indptr) - 1)
        slots, distances = (np.concatenate(column) for column in zip(*parts)) if parts else (np.zeros(0, np.int32), np.zeros(0, np.float32))
        return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64), slots, distances
