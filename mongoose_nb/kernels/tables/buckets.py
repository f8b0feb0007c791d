"""Load a bucket store in bulk: a counting sort per table, tables in parallel.

A. Three passes per table: count, lay the segments out, scatter. ``spans[b, 1]`` is first the count, then the cursor of
   the scatter, at last the size, so that each row touches one cache line of `spans` per pass. A FIFO bucket that
   overflows starts with a negative cursor: ids that arrive before it reaches zero would be dropped later and are not
   written.
B. One thread owns one table, so the result does not depend on the number of threads. More threads than tables are idle.
C. Where a table has more buckets than the caches hold, rows are first sorted coarsely by the high bits of their codes,
   so that the passes walk through the buckets instead of jumping (262,144 buckets, 670,091 rows, 50 tables, 2 threads:
   0.19 s, not 0.31). This takes 8 bytes per row and thread while it runs. At 65,536 buckets the sort costs what it
   saves.
D. The result equals inserting the rows one by one, to the last random draw of a reservoir.
"""

import numpy as np
from numba import prange

from mongoose_nb.core.jit import inline, parallel
from mongoose_nb.kernels.common.random import below, key2

PARTS = 256  # streams of the coarse sort
NEAR = 2**16  # the most buckets that are filled without a coarse sort


@inline
def _sort_coarsely(codes, rows, n_buckets):
    """Copies of codes and rows in order of the codes' high bits, rows with equal bits in their old order."""
    shift = 0
    while n_buckets >> shift > PARTS:
        shift += 1
    shift = np.uint32(shift)
    cursor = np.zeros(PARTS + 1, np.int32)
    for i in range(codes.shape[0]):
        cursor[(codes[i] >> shift) + 1] += 1
    for p in range(PARTS):
        cursor[p + 1] += cursor[p]
    near_codes = np.empty_like(codes)
    near_rows = np.empty_like(rows)
    for i in range(codes.shape[0]):
        p = codes[i] >> shift
        place = cursor[p]
        cursor[p] = place + 1
        near_codes[place] = codes[i]
        near_rows[place] = rows[i]
    return near_codes, near_rows


@inline
def _build_table(codes, rows, pool, spans, room, seen, counters, limit, sampling, key):
    n_buckets = spans.shape[0]
    if n_buckets > NEAR:
        codes, rows = _sort_coarsely(codes, rows, n_buckets)
    for b in range(n_buckets):
        spans[b, 1] = 0
    for i in range(codes.shape[0]):
        spans[codes[i], 1] += 1
    tail = 0
    held = 0
    for b in range(n_buckets):
        count = np.int64(spans[b, 1])
        size = min(count, limit)
        segment = min(limit, size + size // 4)
        spans[b, 0] = tail
        spans[b, 1] = 0 if sampling else size - count
        room[b] = segment
        tail += segment
        held += size
    if sampling:
        for i in range(codes.shape[0]):
            b = codes[i]
            place = np.int64(spans[b, 1])
            arrivals = place + 1
            spans[b, 1] = arrivals
            if place >= limit:
                place = below(key2(key, (np.uint64(b) << np.uint64(32)) | np.uint64(arrivals)), arrivals)
            if place < limit:
                pool[spans[b, 0] + place] = rows[i]
        for b in range(n_buckets):
            seen[b] = spans[b, 1]
            spans[b, 1] = min(np.int64(spans[b, 1]), limit)
    else:
        for i in range(codes.shape[0]):
            b = codes[i]
            place = spans[b, 1]
            spans[b, 1] = place + 1
            if place >= 0:
                pool[spans[b, 0] + place] = rows[i]
    counters[0] = tail
    counters[1] = held
    counters[2] = codes.shape[0] - held


@parallel
def build_buckets(codes, rows, pool, spans, room, seen, counters, limit, sampling, seed):
    """Fill the arrays of a bucket store: ``build_buckets(*store.begin_build(codes, ids))``.

    Parameters
    ----------
    codes : array (L, n) uint8, uint16 or uint32
        Buckets, all < n_buckets.
    rows : array (n,) int32
        Row ids.
    pool : array (L, P) int32
        Filled with ids, bucket by bucket; P >= 1.25 * n.
    spans : array (L, n_buckets, 2) int32
        Filled with start and size of each bucket.
    room : array (L, n_buckets) int32
        Filled with the places each bucket has.
    seen : array (L, n_buckets) uint32
        Filled with arrivals per bucket; (L, 0) where `sampling` is off.
    counters : array (L, 3) int64
        Filled with the end of the last segment, the entries held and the entries dropped.
    limit : int
        The most ids per bucket.
    sampling : bool
        Whether a full bucket keeps a reservoir sample rather than the newest ids.
    seed : uint64
        Seed of the reservoirs.
    """
    for t in prange(codes.shape[0]):
        _build_table(codes[t], rows, pool[t], spans[t], room[t], seen[t], counters[t], limit, sampling,
                     key2(seed, np.uint64(t)))
