"""What searches see of an index: its arrays, read-only, as one thing that is made anew after every change.

Kernels are compiled for read-only arrays alone, so memory-mapped indexes need no second compilation. Scratch (a mark for every slot,
and for sparse rows a place for every column) is lent to one call at a time and comes back clean.
"""

import concurrent.futures
import os

import numpy as np

from mongoose_nb.core.arrays import read_only
from mongoose_nb.core.locks import FairLock
from mongoose_nb.search.projection import LOST_SHARE

# Queries from which another thread is worth its start.
BLOCK = 32
# Queries and rows of one matrix product.
_QUERIES, _SPARSE_QUERIES, _ROWS = 256, 64, 8192
_NO_STEPS = read_only(np.zeros(1, np.float32))
_pools = {}
_pools_lock = FairLock()


def pool_of(n_threads):
    """A pool of threads of this process: one that was forked off makes its own."""
    key = os.getpid(), n_threads
    with _pools_lock:
        if key not in _pools:
            for old in [k for k in _pools if k[0] != key[0]]:
                del _pools[old]
            _pools[key] = concurrent.futures.ThreadPoolExecutor(n_threads, thread_name_prefix="mongoose-search")
        return _pools[key]


def default_threads():
    """Numba's threads, which NUMBA_NUM_THREADS and set_num_threads bound."""
    import numba

    return numba.get_num_threads()


def in_parts(n, n_threads, work):
    """Run ``work(lo, hi)`` over 0 to n, in as many parts as threads are worth it."""
    parts = min(n_threads, n // BLOCK)
    if parts < 2:
        work(0, n)
        return
    bounds = [n * p // parts for p in range(parts + 1)]
    for done in [pool_of(n_threads).submit(work, lo, hi) for lo, hi in zip(bounds, bounds[1:])]:
        done.result()


class Searcher:
    """The arrays of an index, and the searches in them.

    Parameters
    ----------
    rows : DenseRows, SparseRows or BitRows
    live : (slots,) uint8
        Whether a slot holds a row.
    views : (pool, stride, spans) or None
        Buckets: those of table t and code c are ``pool[0, t * stride + start:][:size]`` with start, size = ``spans[t, c]``. None where
        there are no tables: everything is searched.
    projection : Projection or None
    sketches : (slots, width) int8 or None
    """

    def __init__(self, rows, live, views, projection, sketches):
        self.rows, self.kind = rows, rows.kind
        self.live = read_only(live)
        self.slots = len(live)
        if views is None:
            views = np.zeros((1, 1), np.int32), 0, np.zeros((0, 0, 2), np.int32)
        self.views = read_only(views[0]), int(views[1]), read_only(views[2])
        self.sketched = projection is not None and sketches is not None
        if self.sketched:
            self._sketch = (LOST_SHARE, projection.inverse, projection.weight, read_only(sketches))
        else:
            self._sketch = (LOST_SHARE, _NO_STEPS, _NO_STEPS, read_only(np.zeros((1, 64), np.int8)))
        self._base = np.float32(1 if rows.metric == "cosine" else 0)
        if self.kind == "sparse":  # arrays have more room than there are slots
            self._data = (read_only(rows.starts[:self.slots]), read_only(rows.sizes[:self.slots]), read_only(rows.indices[None, :]),
                          read_only(rows.values[None, :]))
        else:
            self._data = (read_only(rows.X[:self.slots]),)
        self._scratch = []

    def _borrow(self):
        try:
            return self._scratch.pop()
        except IndexError:
            wide = np.zeros(self.rows.dim if self.kind == "sparse" else 0, np.float32)
            return np.zeros(self.slots, np.uint8), np.empty(self.slots + 1, np.int32), wide

    def search(self, batch, codes, Y, rest, k, *, budget, refine):
        """The k nearest slots of every row of a batch.

        Parameters
        ----------
        batch
            Checked queries.
        codes : (n, L, P) uint32 or None
            Buckets to look into; None: look at every row.
        Y, rest
            Their projection, or None.
        budget, refine : int
            Most candidates after the cut by votes, and after that by sketches.

        Returns
        -------
        slots (n, k) int32, distances (n, k) float32, counts (n, 2) int64
        """
        from mongoose_nb.kernels.search import scan as kernels

        n = self.rows.count(batch)
        out = np.empty((n, k), np.int32), np.empty((n, k), np.float32), np.empty((n, 2), np.int64)
        everything = codes is None
        if everything:
            codes = np.zeros((n, 0, 0), np.uint32)
        if Y is None or not self.sketched:
            Y, rest, refine = np.zeros((n, 0), np.float32), np.zeros(n, np.float32), self.slots
        buckets = (*self.views, codes, self.live, everything, min(budget, self.slots))
        mark, touched, wide = scratch = self._borrow()
        refine = max(min(refine, self.slots), 1)
        if self.kind == "dense":
            kernels.search_dense(batch, *buckets, Y, rest, *self._sketch, refine, *self._data, self.rows.metric == "l2", self._base, mark,
                                 touched, k, *out)
        elif self.kind == "sparse":
            kernels.search_csr(*batch, *buckets, Y, rest, *self._sketch, refine, *self._data, self.rows.sets, self._base, wide, mark,
                               touched, k, *out)
        else:
            kernels.search_bits(batch, *buckets, *self._data, mark, touched, k, *out)
        self._scratch.append(scratch)  # an error would have left it unclean, and out
        return out

    def exact(self, batch, k):
        """The k nearest of all: as `search` without codes. For many queries a matrix product proposes more than enough, of which the
        kernel's distances choose."""
        n = self.rows.count(batch)
        if self.kind == "bits" or n < BLOCK or self.slots < 64 * BLOCK:
            return self.search(batch, None, None, None, k, budget=1, refine=1)
        wanted = min(2 * k + 64, self.slots)
        out = np.full((n, k), -1, np.int32), np.full((n, k), np.inf, np.float32), np.full((n, 2), int(self.live.sum()), np.int64)
        queries = _QUERIES if self.kind == "dense" else _SPARSE_QUERIES
        for lo in range(0, n, queries):
            part = self.rows.part(batch, lo, min(n, lo + queries))
            near = np.sort(self._propose(part, wanted), axis=1)
            indptr = np.arange(len(near) + 1, dtype=np.int64) * wanted
            distances = self.measure(part, indptr, near.ravel()).reshape(near.shape)
            distances[self.live[near] == 0] = np.inf
            order = np.argsort(distances, axis=1, kind="stable")[:, :k]
            slots, found = np.take_along_axis(near, order, axis=1), np.take_along_axis(distances, order, axis=1)
            slots[~np.isfinite(found)] = -1
            out[0][lo:lo + len(near), :slots.shape[1]], out[1][lo:lo + len(near), :slots.shape[1]] = slots, found
        return out

    def _propose(self, Q, wanted):
        """Slots (n, wanted) int32 whose distances are least by a matrix product, within rounding."""
        n = self.rows.count(Q)
        scores = self._dense_scores(Q) if self.kind == "dense" else self._sparse_scores(Q)
        values, slots = np.zeros((n, 0), np.float32), np.zeros((n, 0), np.int32)
        for lo, score in scores:
            score[:, self.live[lo:lo + _ROWS] == 0] = np.inf
            values = np.concatenate([values, score], axis=1)
            rows = np.arange(lo, lo + score.shape[1], dtype=np.int32)
            slots = np.concatenate([slots, np.broadcast_to(rows, score.shape)], axis=1)
            if values.shape[1] > wanted:
                keep = np.argpartition(values, wanted - 1, axis=1)[:, :wanted]
                values, slots = np.take_along_axis(values, keep, axis=1), np.take_along_axis(slots, keep, axis=1)
        return slots

    def _dense_scores(self, Q):
        """First row and scores (n, rows), in the order of the distances, of blocks of rows."""
        X = self._data[0]
        mean = X[:: max(1, self.slots // 1024)].mean(axis=0) if self.rows.metric == "l2" else np.zeros(X.shape[1], np.float32)
        Q = Q - mean
        for lo in range(0, self.slots, _ROWS):
            x = X[lo:lo + _ROWS] - mean
            score = Q @ x.T
            np.negative(score, out=score)
            if self.rows.metric == "l2":
                score += 0.5 * np.einsum("ij,ij->i", x, x)
            yield lo, score

    def _sparse_scores(self, Q):
        from mongoose_nb.kernels.search.scan import multiply_csr

        indptr, indices, values = Q
        sizes, sets = np.diff(indptr), self.rows.sets
        wide = np.zeros((self.rows.dim, len(sizes)), np.float32)
        wide[indices, np.repeat(np.arange(len(sizes)), sizes)] = 1 if sets else values
        starts, lengths, *entries = self._data
        for lo in range(0, self.slots, _ROWS):
            hi = min(lo + _ROWS, self.slots)
            product = np.empty((hi - lo, len(sizes)), np.float32)
            multiply_csr(starts[lo:hi], lengths[lo:hi], *entries, sets, wide, product)
            score = np.ascontiguousarray(product.T)
            if sets:
                union = (sizes[:, None] + lengths[None, lo:hi]).astype(np.float32) - score
                score /= np.maximum(union, 1)
                score[union == 0] = 1  # two empty sets are equal
            yield lo, np.negative(score, out=score)

    def candidates(self, n, codes):
        """All rows that share a probed bucket with a query: indptr (n + 1,), slots (indptr[-1],), ascending for each query."""
        from mongoose_nb.kernels.search.scan import list_candidates

        if codes is None:
            slots = np.flatnonzero(self.live).astype(np.int32)
            return np.arange(n + 1, dtype=np.int64) * len(slots), np.tile(slots, n)
        mark, touched, _ = scratch = self._borrow()
        indptr = np.zeros(n + 1, np.int64)
        list_candidates(*self.views, codes, mark, touched, indptr[1:], indptr, np.zeros(0, np.int32))
        np.cumsum(indptr, out=indptr)
        slots = np.empty(int(indptr[-1]), np.int32)
        list_candidates(*self.views, codes, mark, touched, np.zeros(0, np.int64), indptr, slots)
        self._scratch.append(scratch)
        return indptr, slots

    def measure(self, batch, indptr, slots):
        """Distances of query i and ``slots[indptr[i] : indptr[i + 1]]``, the same to the bit as in `search`."""
        from mongoose_nb.kernels.search import scan as kernels

        out = np.empty(len(slots), np.float32)
        if self.kind == "dense":
            kernels.measure_dense(batch, *self._data, indptr, slots, self.rows.metric == "l2", self._base, out)
        elif self.kind == "sparse":
            mark, touched, wide = scratch = self._borrow()
            kernels.measure_csr(*batch, *self._data, indptr, slots, self.rows.sets, self._base, wide, out)
            self._scratch.append(scratch)
        else:
            kernels.measure_bits(batch, *self._data, indptr, slots, out)
        return out
