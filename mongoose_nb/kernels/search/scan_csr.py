"""Search of sparse rows and sets; see `mongoose_nb.kernels.search.scan` for the design."""

from typing import NamedTuple

import numpy as np

from mongoose_nb.core.jit import inline, serial
from mongoose_nb.kernels.common.k_least import finish, offer
from mongoose_nb.kernels.common.prefetch import prefetch_line
from mongoose_nb.kernels.search.candidates import CROWD, VOTES, Form, choose_candidates, named, nearest_sketches, query_steps
from mongoose_nb.kernels.search.columns import column_place, slot_of
from mongoose_nb.kernels.search.distances import NEAR, csr_distance, hashed_csr_distance, near_csr_distance

SPARSE_AHEAD = 3  # sparse rows


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
def _square(Q, i, sets):
    """The length of query i, squared; of sets 0."""
    total = 0.0
    if not sets:
        for e in range(Q.indptr[i], Q.indptr[i + 1]):
            total += np.float64(Q.values[e]) * Q.values[e]
    return total


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
def _csr_distance(wide, table, size, square, indices, values, first, last, sets, base):
    if table[0].shape[0] == 0:
        value = csr_distance(wide, size, indices, values, first, last, sets, base)
    else:
        value = hashed_csr_distance(table[0], table[1], size, indices, values, first, last, sets, base)
    if base > 0 and value < NEAR:
        value = near_csr_distance(wide, table[0], table[1], square, indices, values, first, last)
    return value


@serial
def search_csr(Q, buckets, probes, coordinates, sketches, pool, form, scratch, found):
    """As `search_dense`, for `Csr` queries and a `Pool` of rows. Of sets, values are not read and there are no sketches."""
    buckets, probes, coordinates, sketches, scratch = named(buckets, probes, coordinates, sketches, scratch)
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
        n = choose_candidates(buckets, probes, i, scratch, reach, counts[i])
        chosen = touched
        if n > refine and not probes.everything and not sets:
            if query_steps(coordinates, i, sketches, y):
                n = nearest_sketches(y, sketches.weight, sketches.bytes, touched, n, near_values, near_rows, keys)
                chosen = near_rows
        size, square = Q.indptr[i + 1] - Q.indptr[i], _square(Q, i, sets)
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
            value = _csr_distance(wide, table, size, square, indices[0], values[0], first, first + sizes[row], sets, form.base)
            held = offer(distances[i], rows[i], held, value, row)
        finish(distances[i], rows[i], held)
        _clear(Q, i, wide, table)


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


@serial
def measure_csr(Q, pool, form, wide, indptr, rows, out):
    """The same for sparse rows."""
    Q, form = Csr(*Q), Form(*form)
    sets = form.flag
    starts, sizes, indices, values = pool
    table = _table(Q, wide)
    for i in range(Q.indptr.shape[0] - 1):
        size, square = Q.indptr[i + 1] - Q.indptr[i], _square(Q, i, sets)
        _spread(Q, i, sets, wide, table)
        for p in range(indptr[i], indptr[i + 1]):
            first = starts[rows[p]]
            out[p] = _csr_distance(wide, table, size, square, indices[0], values[0], first, first + sizes[rows[p]], sets, form.base)
        _clear(Q, i, wide, table)
