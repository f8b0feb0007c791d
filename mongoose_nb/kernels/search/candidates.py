"""Candidates of a search: what it is given, the rows of the probed buckets, and the cuts by votes and by sketches.

See `mongoose_nb.kernels.search.scan` for the design.
"""

from typing import NamedTuple

import numpy as np

from mongoose_nb.core.jit import inline, serial
from mongoose_nb.kernels.common.k_least import offer, select
from mongoose_nb.kernels.common.prefetch import prefetch_line
from mongoose_nb.kernels.search.distances import CHUNK, sketch_distance

NO_BOUND = 2**31 - 1
VOTES = 128  # votes are counted up to one less
AHEAD = 8  # sketch rows asked for ahead of their turn
CROWD = 12  # candidates for each that is chosen, from which a heap is used
_LOW = np.uint64(0xFFFFFFFF)
_MOST = np.float32(1e17)  # steps, of which squares fit


class Buckets(NamedTuple):
    """The tables of an index, and which slots hold a row."""

    pool: np.ndarray  # (1, P) int32: slots, bucket after bucket
    stride: int  # the distance of the pools of two tables
    spans: np.ndarray  # (L, buckets, 2) int32: start in the pool of the table, and size
    live: np.ndarray  # (slots,) uint8


class Probes(NamedTuple):
    """The buckets that each query looks into."""

    codes: np.ndarray  # (n, L, P) uint32
    everything: bool  # all live rows are candidates, whatever the codes
    budget: int  # most candidates after the cut by votes
    filtered: bool  # candidates that do not live are left out
    enough: int  # entries of buckets after which no further probes are read


class Coordinates(NamedTuple):
    """Projected queries, to be compared with sketches."""

    Y: np.ndarray  # (n, m) float32
    rest: np.ndarray  # (n,) float32, the lost lengths
    refine: int  # most candidates after the cut by sketches


class Sketches(NamedTuple):
    """Sketches of the rows, and how they are compared with the coordinates of a query."""

    share: np.float32  # of its lost length, what a query expects a row to have lost alike
    inverse: np.ndarray  # (m + 1,) float32 or longer, steps a unit
    weight: np.ndarray  # (width,) float32, squares of the steps
    bytes: np.ndarray  # (slots, width) int8
    limit: np.float32  # most steps of a query whose candidates are cut by sketches; rows near to one beyond all end at the same bytes


class Form(NamedTuple):
    """Which distance: the flag is `euclidean` for dense rows and `sets` for sparse ones."""

    flag: bool
    base: np.float32


class Scratch(NamedTuple):
    """Scratch of one call; it comes back clean."""

    mark: np.ndarray  # (slots,) uint8 zeros
    touched: np.ndarray  # (slots + 1,) int32
    wide: np.ndarray  # (dim,) float32 zeros, for sparse rows; of very wide rows empty


# --- candidates -------------------------------------------------------------------------------------------------------


@inline
def _rounds(spans, codes, enough):
    """How many probes of each table are read: until their buckets hold `enough` entries."""
    L, P = codes.shape
    if enough >= NO_BOUND:
        return P
    seen = 0
    for p in range(P):
        for t in range(L):
            seen += spans[t, codes[t, p], 1]
        if seen >= enough:
            return p + 1
    return P


@inline
def _gather(buckets, codes, enough, mark, touched, reach):
    """Distinct ids of the probed buckets into `touched`, votes into `mark`; ``reach[v]`` ids have v votes or more."""
    pool, stride, spans, _ = buckets
    for v in range(VOTES):
        reach[v] = 0
    L = codes.shape[0]
    P = _rounds(spans, codes, enough)
    n = 0
    for p in range(P):
        prefetch_line(spans[0], codes[0, p], 0)
    for t in range(L):
        base = t * stride
        if t + 1 < L:
            for p in range(P):
                prefetch_line(spans[t + 1], codes[t + 1, p], 0)
        for p in range(P):
            prefetch_line(pool, 0, base + spans[t, codes[t, p], 0])
        for p in range(P):
            first = base + spans[t, codes[t, p], 0]
            for q in range(first, first + spans[t, codes[t, p], 1]):
                row = pool[0, q]
                v = mark[row]
                touched[n] = row
                n += v == 0
                v += v < VOTES - 1
                mark[row] = v
                reach[v] += 1
    return n


@inline
def _cut(mark, touched, n, reach, budget):
    """Keep the ids with the most votes: whole levels, at most `budget` where a level allows. Clears the marks."""
    level = 1
    while level < VOTES - 1 and reach[level] > budget and reach[level + 1] > 0:
        level += 1
    kept = 0
    for p in range(n):
        row = touched[p]
        touched[kept] = row
        kept += mark[row] >= level
        mark[row] = 0
    return kept


@inline
def _allowed(live, mark, touched, n, reach):
    """Keep the ids of rows that live, as a search that is filtered sees it."""
    kept = 0
    for p in range(n):
        row = touched[p]
        touched[kept] = row
        if live[row]:
            kept += 1
        else:
            for v in range(1, mark[row] + 1):
                reach[v] -= 1
            mark[row] = 0
    return kept


@inline
def choose_candidates(buckets, probes, i, scratch, reach, counts):
    """Candidates of query i in ``scratch.touched``: those of its buckets, or all rows that live."""
    mark, touched, _ = scratch
    if probes.everything:
        n = 0
        for row in range(buckets.live.shape[0]):
            touched[n] = row
            n += buckets.live[row]
        kept = n
    else:
        n = _gather(buckets, probes.codes[i], probes.enough, mark, touched, reach)
        if probes.filtered:
            n = _allowed(buckets.live, mark, touched, n, reach)
        kept = _cut(mark, touched, n, reach, probes.budget)
    counts[0] = n
    counts[1] = kept
    return kept


@serial
def list_candidates(buckets, codes, enough, scratch, sizes, indptr, rows):
    """Distinct rows of the probed buckets: counted into `sizes` (n,) where that has places, else written to
    ``rows[indptr[i] : indptr[i + 1]]``, ascending. codes (n, L, P); `enough` as in `Probes`."""
    mark, touched, _ = scratch
    buckets = Buckets(*buckets)
    reach = np.empty(VOTES, np.int64)
    for i in range(codes.shape[0]):
        n = _gather(buckets, codes[i], enough, mark, touched, reach)
        if sizes.shape[0]:
            sizes[i] = n
        else:
            rows[indptr[i]:indptr[i] + n] = touched[:n]
            rows[indptr[i]:indptr[i] + n].sort()
        for p in range(n):
            mark[touched[p]] = 0


# --- the nearest by sketches --------------------------------------------------------------------------------------------


@inline
def _prefetch_sketch(sketch, row):
    for column in range(0, sketch.shape[1], CHUNK):
        prefetch_line(sketch, row, column)


@inline
def nearest_sketches(y, weight, sketch, touched, n, values, rows, keys):
    """The len(rows) rows with the least sketch distances, of more; of equally near ones the first. Scratch: values, keys."""
    held = 0
    for p in range(min(AHEAD, n)):
        _prefetch_sketch(sketch, touched[p])
    if n <= keys.shape[0]:
        for p in range(n):
            if p + AHEAD < n:
                _prefetch_sketch(sketch, touched[p + AHEAD])
            row = touched[p]
            # squares are not negative, so their bits have their order
            bits = np.float32(sketch_distance(y, weight, sketch[row])).view(np.uint32)
            keys[p] = (np.uint64(bits) << np.uint64(32)) | np.uint64(row)
        held = rows.shape[0]
        select(keys, n, held)
        for p in range(held):
            rows[p] = np.int32(keys[p] & _LOW)
        return held
    for p in range(n):
        if p + AHEAD < n:
            _prefetch_sketch(sketch, touched[p + AHEAD])
        row = touched[p]
        held = offer(values, rows, held, sketch_distance(y, weight, sketch[row]), row)
    return held


@inline
def query_steps(coordinates, i, sketches, y):
    """A query's coordinates in steps, and its share of the lost length. Returns whether they are within the limit."""
    Y, inverse = coordinates.Y, sketches.inverse
    m = Y.shape[1]
    inside = True
    for j in range(m):
        y[j] = min(max(Y[i, j] * inverse[j], -_MOST), _MOST)
        inside &= abs(y[j]) <= sketches.limit
    y[m] = min(sketches.share * coordinates.rest[i] * inverse[m], _MOST)
    return inside and y[m] <= sketches.limit


@inline
def named(buckets, probes, coordinates, sketches, scratch):
    """The bundles of a search, under the names of their parts."""
    return Buckets(*buckets), Probes(*probes), Coordinates(*coordinates), Sketches(*sketches), Scratch(*scratch)
