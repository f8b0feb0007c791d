"""Search: candidates from buckets, a cut by votes, a cut by sketches, exact distances. One query at a time, on one thread.

The kernels are serial and release the interpreter lock; scratch belongs to the caller, so any number of threads may search at once
under every threading layer, and a result depends on its query alone.

Figures: MNIST, 60,000 x 784, l2, recall@10, microseconds a query on one thread. B and C were measured on the first 1,000 test digits,
which are the easier half of that set; over all of them recall 0.92 takes 49 us, and a brute-force query by BLAS 1,900.

A. *Marks, not branches.* An id is written at the end of the list whether it is new or not, and the end moves by a comparison: a
   branch would be guessed wrong every other time. The votes come for nothing: the mark counts them.
B. *The sketch carries the search.* Exact distances of 1,160 candidates are 450 us of cache misses (0.4 us a row of 3 kB); 64 int8 of
   each, in one cache line, are compared in 6 ns, and 20 to 40 exact distances then lose 0.01 of recall at most. From buckets to
   neighbours that is 17 us at recall 0.90, after 6 us of hashing.
C. *A cut by votes does not pay before sketches*: at 8 tables and twice the probes, those with 2 votes or more reach 0.91 in 17 us too,
   where all candidates reach 0.95 in 22. It stays as a bound on the work (`budget`), above all for rows without a sketch (sets, bits).
D. All start places of a table's buckets are asked for while the table before is read: the buckets of 8 tables at 8 probes are 128
   random lines.
E. *Bundles come as plain tuples* and get their names inside the kernel: a NamedTuple argument takes 0.5 us more than a tuple of the same
   arrays, and a search has seven of them.
F. Rejected: 128-byte sketches (recall + 0.002 for 15 us -> 21 us).
"""

from typing import NamedTuple

import numpy as np

from mongoose_nb.core.jit import inline, serial
from mongoose_nb.kernels.common.k_least import finish, offer, select
from mongoose_nb.kernels.common.prefetch import prefetch_line, prefetch_row
from mongoose_nb.kernels.search.columns import column_place, slot_of
from mongoose_nb.kernels.search.distances import (
    CHUNK,
    bit_distance,
    csr_distance,
    dense_distance,
    hashed_csr_distance,
    sketch_distance,
)

VOTES = 128  # votes are counted up to one less
SPARSE_AHEAD = 3  # sparse rows
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


class Csr(NamedTuple):
    """A batch of CSR rows."""

    indptr: np.ndarray  # (n + 1,) int64
    indices: np.ndarray  # int32
    values: np.ndarray  # float32; of sets empty


class Pool(NamedTuple):
    """Sparse rows of an index: row r has ``indices[0, starts[r] : starts[r] + sizes[r]]``."""

    starts: np.ndarray  # (slots,) int64
    sizes: np.ndarray  # (slots,) int32
    indices: np.ndarray  # (1, e) int32
    values: np.ndarray  # (1, e) float32; of sets empty


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
def _gather(buckets, codes, mark, touched, reach):
    """Distinct ids of the probed buckets into `touched`, votes into `mark`; ``reach[v]`` ids have v votes or more."""
    pool, stride, spans, _ = buckets
    for v in range(VOTES):
        reach[v] = 0
    L, P = codes.shape
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
def _candidates(buckets, probes, i, scratch, reach, counts):
    """Candidates of query i in ``scratch.touched``: those of its buckets, or all rows that live."""
    mark, touched, _ = scratch
    if probes.everything:
        n = 0
        for row in range(buckets.live.shape[0]):
            touched[n] = row
            n += buckets.live[row]
        kept = n
    else:
        n = _gather(buckets, probes.codes[i], mark, touched, reach)
        if probes.filtered:
            n = _allowed(buckets.live, mark, touched, n, reach)
        kept = _cut(mark, touched, n, reach, probes.budget)
    counts[0] = n
    counts[1] = kept
    return kept


@serial
def list_candidates(buckets, codes, scratch, sizes, indptr, rows):
    """Distinct rows of the probed buckets: counted into `sizes` (n,) where that has places, else written to
    ``rows[indptr[i] : indptr[i + 1]]``, ascending. codes (n, L, P)."""
    mark, touched, _ = scratch
    buckets = Buckets(*buckets)
    reach = np.empty(VOTES, np.int64)
    for i in range(codes.shape[0]):
        n = _gather(buckets, codes[i], mark, touched, reach)
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
def _nearest_sketches(y, weight, sketch, touched, n, values, rows, keys):
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
def _steps(coordinates, i, sketches, y):
    """A query's coordinates in steps, and its share of the lost length."""
    Y, inverse = coordinates.Y, sketches.inverse
    m = Y.shape[1]
    for j in range(m):
        y[j] = min(max(Y[i, j] * inverse[j], -_MOST), _MOST)
    y[m] = min(sketches.share * coordinates.rest[i] * inverse[m], _MOST)


@inline
def _named(buckets, probes, coordinates, sketches, scratch):
    """The bundles of a search, under the names of their parts."""
    return Buckets(*buckets), Probes(*probes), Coordinates(*coordinates), Sketches(*sketches), Scratch(*scratch)


@serial
def search_dense(Q, buckets, probes, coordinates, sketches, X, form, scratch, found):
    """The k nearest of the dense rows X (slots, d) to queries Q (n, d).

    Candidates come from `Buckets` by `Probes`. Where there are more than ``coordinates.refine``, those with the least distance between
    the query's `Coordinates` and their `Sketches` go on. Exact distances of a `Form` (see `dense_distance`) decide.

    found: rows (n, k) int32 and distances (n, k) float32, ascending, padded with -1 and infinity; counts (n, 2) int64, candidates before
    and after the cut by votes.
    """
    buckets, probes, coordinates, sketches, scratch = _named(buckets, probes, coordinates, sketches, scratch)
    form = Form(*form)
    touched = scratch.touched
    refine = coordinates.refine
    reach = np.empty(VOTES, np.int64)
    y = np.zeros(sketches.bytes.shape[1], np.float32)
    near_values = np.empty(refine, np.float32)
    near_rows = np.empty(refine, np.int32)
    keys = np.empty(min(CROWD * refine, touched.shape[0]), np.uint64)
    rows, distances, counts = found
    for i in range(Q.shape[0]):
        n = _candidates(buckets, probes, i, scratch, reach, counts[i])
        chosen = touched
        if n > refine and not probes.everything:
            _steps(coordinates, i, sketches, y)
            n = _nearest_sketches(y, sketches.weight, sketches.bytes, touched, n, near_values, near_rows, keys)
            chosen = near_rows
        held = 0
        for p in range(n):
            if p + 1 < n:
                prefetch_row(X, chosen[p + 1])
            row = chosen[p]
            held = offer(distances[i], rows[i], held, dense_distance(Q[i], X[row], form.flag, form.base), row)
        finish(distances[i], rows[i], held)


@inline
def _table(Q, wide):
    """Of very wide rows, a table with room for each query of `Csr`: keys, values, and the slots of a query; else an empty one."""
    most = 0
    size = 0
    if wide.shape[0] == 0:
        for i in range(Q.indptr.shape[0] - 1):
            most = max(most, Q.indptr[i + 1] - Q.indptr[i])
        size = 16
        while size < 4 * most:
            size *= 2
    return np.full(size, np.int32(-1), np.int32), np.zeros(size, np.float32), np.empty(most, np.int64)


@inline
def _spread(Q, i, sets, wide, table):
    """Write query i into `wide`, or into the table where that has places."""
    keys, held, slots = table
    for e in range(Q.indptr[i], Q.indptr[i + 1]):
        value = np.float32(1) if sets else Q.values[e]
        if keys.shape[0] == 0:
            wide[Q.indices[e]] = value
        else:
            at = slot_of(Q.indices[e], keys)
            keys[at] = Q.indices[e]
            held[at] = value
            slots[e - Q.indptr[i]] = at


@inline
def _clear(Q, i, wide, table):
    """Take query i out again."""
    keys, _, slots = table
    for e in range(Q.indptr[i], Q.indptr[i + 1]):
        if keys.shape[0] == 0:
            wide[Q.indices[e]] = np.float32(0)
        else:
            keys[slots[e - Q.indptr[i]]] = -1


@inline
def _csr_distance(wide, table, size, indices, values, first, last, sets, base):
    if table[0].shape[0] == 0:
        return csr_distance(wide, size, indices, values, first, last, sets, base)
    return hashed_csr_distance(table[0], table[1], size, indices, values, first, last, sets, base)


@serial
def search_csr(Q, buckets, probes, coordinates, sketches, pool, form, scratch, found):
    """As `search_dense`, for `Csr` queries and a `Pool` of rows. Of sets, values are not read and there are no sketches."""
    buckets, probes, coordinates, sketches, scratch = _named(buckets, probes, coordinates, sketches, scratch)
    Q, form = Csr(*Q), Form(*form)
    touched, wide = scratch.touched, scratch.wide
    refine = coordinates.refine
    sets = form.flag
    reach = np.empty(VOTES, np.int64)
    y = np.zeros(sketches.bytes.shape[1], np.float32)
    near_values = np.empty(refine, np.float32)
    near_rows = np.empty(refine, np.int32)
    keys = np.empty(min(CROWD * refine, touched.shape[0]), np.uint64)
    starts, sizes, indices, values = pool
    table = _table(Q, wide)
    rows, distances, counts = found
    for i in range(Q.indptr.shape[0] - 1):
        n = _candidates(buckets, probes, i, scratch, reach, counts[i])
        chosen = touched
        if n > refine and not probes.everything and not sets:
            _steps(coordinates, i, sketches, y)
            n = _nearest_sketches(y, sketches.weight, sketches.bytes, touched, n, near_values, near_rows, keys)
            chosen = near_rows
        size = Q.indptr[i + 1] - Q.indptr[i]
        _spread(Q, i, sets, wide, table)
        held = 0
        for p in range(n):
            if p + SPARSE_AHEAD < n:
                ahead = starts[chosen[p + SPARSE_AHEAD]]
                for line in range(ahead, ahead + sizes[chosen[p + SPARSE_AHEAD]], 16):
                    prefetch_line(indices, 0, line)
                    if not sets:
                        prefetch_line(values, 0, line)
            row = chosen[p]
            first = starts[row]
            value = _csr_distance(wide, table, size, indices[0], values[0], first, first + sizes[row], sets, form.base)
            held = offer(distances[i], rows[i], held, value, row)
        finish(distances[i], rows[i], held)
        _clear(Q, i, wide, table)


@serial
def search_bits(Q, buckets, probes, X, scratch, found):
    """As `search_dense`, for rows of bits in uint64 words and Hamming distances; there are no sketches."""
    buckets, probes, scratch = Buckets(*buckets), Probes(*probes), Scratch(*scratch)
    touched = scratch.touched
    reach = np.empty(VOTES, np.int64)
    rows, distances, counts = found
    for i in range(Q.shape[0]):
        n = _candidates(buckets, probes, i, scratch, reach, counts[i])
        held = 0
        for p in range(n):
            if p + AHEAD < n:
                prefetch_line(X, touched[p + AHEAD], 0)
            row = touched[p]
            held = offer(distances[i], rows[i], held, bit_distance(Q[i], X[row]), row)
        finish(distances[i], rows[i], held)


@serial
def multiply_csr(pool, first, sets, wide, table, products):
    """products[r] = row first + r (of sets: of ones) times wide (columns, queries): every entry of a row serves all queries at once.
    table (keys, places): which row of `wide` belongs to a column."""
    starts, sizes, indices, values = pool
    keys, places = table
    for r in range(products.shape[0]):
        row = first + r
        out = products[r]
        for j in range(out.shape[0]):
            out[j] = np.float32(0)
        for e in range(starts[row], starts[row] + sizes[row]):
            c = column_place(indices[0, e], keys, places)
            if c >= 0:
                a = np.float32(1) if sets else values[0, e]
                column = wide[c]
                for j in range(out.shape[0]):
                    out[j] += a * column[j]


# --- distances of given pairs -----------------------------------------------------------------------------------------


@serial
def measure_dense(Q, X, form, indptr, rows, out):
    """Distances of query i and ``rows[indptr[i] : indptr[i + 1]]``, as `search_dense` computes them."""
    form = Form(*form)
    for i in range(Q.shape[0]):
        for p in range(indptr[i], indptr[i + 1]):
            out[p] = dense_distance(Q[i], X[rows[p]], form.flag, form.base)


@serial
def measure_csr(Q, pool, form, wide, indptr, rows, out):
    """The same for sparse rows."""
    Q, form = Csr(*Q), Form(*form)
    sets = form.flag
    starts, sizes, indices, values = pool
    table = _table(Q, wide)
    for i in range(Q.indptr.shape[0] - 1):
        size = Q.indptr[i + 1] - Q.indptr[i]
        _spread(Q, i, sets, wide, table)
        for p in range(indptr[i], indptr[i + 1]):
            first = starts[rows[p]]
            out[p] = _csr_distance(wide, table, size, indices[0], values[0], first, first + sizes[rows[p]], sets, form.base)
        _clear(Q, i, wide, table)


@serial
def measure_bits(Q, X, indptr, rows, out):
    """The same for rows of bits."""
    for i in range(Q.shape[0]):
        for p in range(indptr[i], indptr[i + 1]):
            out[p] = bit_distance(Q[i], X[rows[p]])
