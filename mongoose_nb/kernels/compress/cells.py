"""Read rows from a hashed array, add gradients to its cells, and do the optimiser step on the cells that have one.

A row consists of blocks of `block` entries, and block b of row i lies in cells ``bases[i, b]`` onwards: one read of neighbouring cells.
After the last cell comes the first, so that all cells have equally many entries.

A. *A range of cells has one owner.* Blocks are sorted by range (`group_runs`, as `kernels.layers.rows` sorts rows), and the owner adds
   them in the order of rows: no atomics, and the same bits for any number of threads. A block that crosses into another range is
   listed in both, and each owner adds its own part.
B. *Signs belong to entries, not to cells.* The sign of entry (row, j) is one bit of a hash, whatever the map and the number of cells, so
   that arrays of different sizes agree. One hash gives 64 signs.
C. *A cell without a gradient is not touched.* The gradient of the whole array is kept, 4 bytes a cell; a step looks for lines of 16 cells
   that are not zero. Where gradients are scaled (`metric`), the step is done in the coordinates ``cell * metric``.
"""

from typing import NamedTuple

import numpy as np
from numba import prange

from mongoose_nb.core.jit import inline, parallel, serial
from mongoose_nb.kernels.common.random import mix64
from mongoose_nb.kernels.layers.rows import step_row

TASKS = 64
CHUNKS = 8
LINE = 16


class Layout(NamedTuple):
    """How rows lie in the array."""

    block: np.int64
    signed: bool
    key: np.uint64  # of the signs
    scale: np.float32


class Runs(NamedTuple):
    """Blocks by range of cells: range p has ``order[ptr[p] : ptr[p + 1]]``, numbers of blocks (row * blocks + b)."""

    ptr: np.ndarray  # (ranges + 1,) int64
    order: np.ndarray  # int64


@inline
def _sign_word(key, group, j):
    """Signs of entries, a bit each, from entry j of a row on to the next multiple of 32; `group` is the first one of the row."""
    return np.uint32(mix64(key ^ np.uint64(group + (j >> 6))) >> np.uint64(j & 63))


@inline
def flip(values, row, key, scale, out):
    """out = values * sign * scale for one row. Signs are set as bits: as factors they took most of the time of a read."""
    width = out.shape[0]
    groups = (width + 63) // 64
    words = out.view(np.uint32)
    for j in range(width):
        out[j] = values[j] * scale
    for q in range(groups):
        bits = mix64(key ^ np.uint64(row * groups + q))
        for half in range(2):
            word = np.uint32(bits >> np.uint64(32 * half))
            lo = q * 64 + 32 * half
            for z in range(min(32, width - lo)):
                words[lo + z] ^= np.uint32(np.uint32(word >> np.uint32(z)) << np.uint32(31))


@inline
def _place(z):
    """An unsigned index: with signed ones, which may count from the end, the loops below took three times as long."""
    return np.uint64(z)


@inline
def _read_run(cells, base, first, last, group, layout, out, at):
    """Entries `first` to `last` of a row from neighbouring cells, copied and signed in one pass. Cells and entries are bits."""
    signed = layout.signed
    key = layout.key
    j = first
    while j < last:
        run = min(32 - (j & 31), last - j)
        c = _place(base + j - first)
        o = _place(at + j - first)
        word = np.uint32(0)
        if signed:
            word = _sign_word(key, group, j)
        if run == 32:  # a loop of known length
            for z in range(32):
                out[o + _place(z)] = cells[c + _place(z)] ^ np.uint32(np.uint32(word >> np.uint32(z)) << np.uint32(31))
        else:
            for z in range(run):
                out[o + _place(z)] = cells[c + _place(z)] ^ np.uint32(np.uint32(word >> np.uint32(z)) << np.uint32(31))
        j += run


@inline
def _read_single(cells, places, first, last, group, layout, out):
    """Entries `first` to `last` of a row whose cells are anywhere."""
    signed = layout.signed
    key = layout.key
    j = first
    while j < last:
        run = min(32 - (j & 31), last - j)
        o = _place(j - first)
        c = _place(j)
        word = np.uint32(0)
        if signed:
            word = _sign_word(key, group, j)
        for z in range(run):
            out[o + _place(z)] = (cells[_place(places[c + _place(z)])]
                                  ^ np.uint32(np.uint32(word >> np.uint32(z)) << np.uint32(31)))
        j += run


@inline
def read_part(cells, row, bases, width, first, layout, out):
    """Entries from `first` on of one row of the virtual matrix without its scale, as many as `out` takes; `bases` (blocks,) of the row."""
    last = first + out.shape[0]
    m = cells.shape[0]
    block = layout.block
    group = row * ((width + 63) // 64)
    read, written = cells.view(np.uint32), out.view(np.uint32)
    if block == 1:
        _read_single(read, bases, first, last, group, layout, written)
        return
    j = first
    b = first // block
    while j < last:
        end = min(last, (b + 1) * block)
        base = bases[b] + j - b * block
        if base >= m:
            base -= m
        before = min(end - j, m - base)
        _read_run(read, base, j, j + before, group, layout, written, j - first)
        if j + before < end:
            _read_run(read, 0, j + before, end, group, layout, written, j + before - first)
        j = end
        b += 1


@parallel
def gather(cells, rows, bases, layout, out):  # (m,), (n,), (n, blocks) -> (n, width)
    """Rows of the virtual matrix."""
    n, width = out.shape
    scale = layout.scale
    tasks = min(n, TASKS)
    for task in prange(tasks):
        for i in range(task * n // tasks, (task + 1) * n // tasks):
            read_part(cells, rows[i], bases[i], width, 0, layout, out[i])
            if scale != np.float32(1.0):
                for j in range(width):
                    out[i, j] *= scale


@parallel
def flip_rows(values, rows, layout, out):
    """out = values * sign * scale: gradients of cells, entry by entry, from gradients of entries."""
    n = out.shape[0]
    signed = layout.signed
    key = layout.key
    scale = layout.scale
    tasks = min(n, TASKS)
    for task in prange(tasks):
        for i in range(task * n // tasks, (task + 1) * n // tasks):
            if signed:
                flip(values[i], rows[i], key, scale, out[i])
            else:
                for j in range(out.shape[1]):
                    out[i, j] = values[i, j] * scale


@inline
def _last_cell(bases, i, b, block, width):
    return bases[i, b] + min(block, width - b * block) - 1


@parallel
def count_runs(bases, block, width, shift, hist):  # hist (CHUNKS, ranges)
    """Number of blocks of each range, by chunk of rows."""
    n = bases.shape[0]
    for c in prange(CHUNKS):
        for p in range(hist.shape[1]):
            hist[c, p] = 0
        for i in range(c * n // CHUNKS, (c + 1) * n // CHUNKS):
            for b in range(bases.shape[1]):
                for p in range(bases[i, b] >> shift, (_last_cell(bases, i, b, block, width) >> shift) + 1):
                    hist[c, p] += 1


@parallel
def group_runs(bases, block, width, shift, hist, runs):
    """Fill `runs` from the counts of `count_runs`, which become places."""
    n = bases.shape[0]
    ptr = runs.ptr
    order = runs.order
    total = 0
    for p in range(hist.shape[1]):
        ptr[p] = total
        for c in range(CHUNKS):
            k = hist[c, p]
            hist[c, p] = total
            total += k
    ptr[hist.shape[1]] = total
    for c in prange(CHUNKS):
        for i in range(c * n // CHUNKS, (c + 1) * n // CHUNKS):
            for b in range(bases.shape[1]):
                for p in range(bases[i, b] >> shift, (_last_cell(bases, i, b, block, width) >> shift) + 1):
                    order[hist[c, p]] = i * bases.shape[1] + b
                    hist[c, p] += 1


@serial
def fold_end(G, m):
    """Add what lies beyond the last of m cells to the first ones."""
    for c in range(m, G.shape[0]):
        G[c - m] += G[c]
        G[c] = np.float32(0.0)


@parallel
def accumulate(values, bases, block, shift, runs, G):  # (n, width) -> (m + block,)
    """G[cell] += the values that lie in it; sums run in the order of rows. Blocks run on beyond the last cell: see `fold_end`."""
    width = values.shape[1]
    blocks = bases.shape[1]
    ptr = runs.ptr
    order = runs.order
    for p in prange(ptr.shape[0] - 1):
        first = p << shift
        last = min(G.shape[0], (p + 1) << shift)
        for q in range(ptr[p], ptr[p + 1]):
            i = order[q] // blocks
            b = order[q] - i * blocks
            base = bases[i, b]
            if block == 1:
                G[base] += values[i, b]
                continue
            lo = b * block
            part = min(block, width - lo)
            for z in range(max(0, first - base), min(part, last - base)):
                G[base + z] += values[i, lo + z]


@inline
def _step_cells(kind, hyper, W, M, S, G, metric, lo, hi, moved):
    """One step on the cells [lo, hi), all of which have a gradient."""
    if metric.shape[0] == 0:
        step_row(kind, hyper, W[lo:hi], M[lo:hi], S[lo:hi], G[lo:hi])
    else:
        for c in range(lo, hi):
            G[c] /= metric[c]
            moved[c - lo] = np.float32(0.0)
        step_row(kind, hyper, moved[: hi - lo], M[lo:hi], S[lo:hi], G[lo:hi])
        for c in range(lo, hi):
            W[c] += moved[c - lo] / metric[c]
    for c in range(lo, hi):
        G[c] = np.float32(0.0)


@parallel
def step_cells(G, kind, hyper, state, metric):
    """Optimiser step on the cells whose gradient is not zero; `G` is zero afterwards. `metric` (m,) or empty."""
    W = state.value
    M = state.m
    S = state.v
    m = G.shape[0]
    lines = (m + LINE - 1) // LINE
    tasks = min(lines, TASKS)
    for task in prange(tasks):
        moved = np.empty(LINE, np.float32)
        kept = np.empty((3, LINE), np.float32)
        idle = np.empty(LINE, np.bool_)
        for line in range(task * lines // tasks, (task + 1) * lines // tasks):
            lo = line * LINE
            hi = min(m, lo + LINE)
            n = 0
            for c in range(lo, hi):
                n += G[c] != np.float32(0.0)
            if n == hi - lo:
                _step_cells(kind, hyper, W, M, S, G, metric, lo, hi, moved)
            elif n > 0:  # one step on the line, undone where there is no gradient: cell by cell took ten times as long
                for c in range(lo, hi):
                    idle[c - lo] = G[c] == np.float32(0.0)
                    kept[0, c - lo] = W[c]
                    kept[1, c - lo] = M[c]
                    kept[2, c - lo] = S[c]
                _step_cells(kind, hyper, W, M, S, G, metric, lo, hi, moved)
                for c in range(lo, hi):
                    if idle[c - lo]:
                        W[c] = kept[0, c - lo]
                        M[c] = kept[1, c - lo]
                        S[c] = kept[2, c - lo]
