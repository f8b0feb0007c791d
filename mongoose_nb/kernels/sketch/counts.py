"""Tables of counts by hashed keys: one writer for each row of a table, so results do not depend on the number of threads."""

import numpy as np
from numba import prange

from mongoose_nb.core.jit import inline, parallel, serial, strict_parallel
from mongoose_nb.kernels.common.random import mix64
from mongoose_nb.kernels.sketch.words import high_product

_ONE = np.uint64(1)
#: one axis, as it is
UNIT = np.ones(1)


@inline
def cell_and_sign(key, seed, row, width):
    """Cell of a key in a row, and a fair sign that is independent of it."""
    h = mix64(mix64(key ^ seed) + np.uint64(row))
    return np.int64(high_product(h, np.uint64(width))), 1 - 2 * np.int64(h & _ONE)


@inline
def _add_to_row(keys, amounts, seed, signed, row, table):
    for i in range(keys.shape[0]):
        cell, sign = cell_and_sign(keys[i], seed, row, table.shape[1])
        amount = amounts[i if amounts.shape[0] > 1 else 0]
        table[row, cell] += amount * sign if signed else amount


@inline
def _read_key(key, seed, signed, table, out):
    for row in range(table.shape[0]):
        cell, sign = cell_and_sign(key, seed, row, table.shape[1])
        out[row] = table[row, cell] * sign if signed else table[row, cell]


@parallel
def add_counts(keys, amounts, seed, signed, table):
    """Add ``amounts[i]`` (or, of one amount, the same) for each key to every row."""
    for row in prange(table.shape[0]):
        _add_to_row(keys, amounts, seed, signed, row, table)


@serial
def add_few_counts(keys, amounts, seed, signed, table):
    """As `add_counts`, on the thread that calls it."""
    for row in range(table.shape[0]):
        _add_to_row(keys, amounts, seed, signed, row, table)


@parallel
def read_counts(keys, seed, signed, table, out):
    """``out[i, row]``: what each row says of key i."""
    for i in prange(keys.shape[0]):
        _read_key(keys[i], seed, signed, table, out[i])


@serial
def read_few_counts(keys, seed, signed, table, out):
    """As `read_counts`, on the thread that calls it."""
    for i in range(keys.shape[0]):
        _read_key(keys[i], seed, signed, table, out[i])


@inline
def grid_place(point, mean, axis, scale, offset):
    """Number of the cell of a point on one axis. What lies beyond 4e18 cells counts as there."""
    coordinate = 0.0
    for b in range(point.shape[0]):
        coordinate += axis[b] * (point[b] - mean[b])
    return np.int64(min(max(np.floor(coordinate * scale + offset), -4.0e18), 4.0e18))


@inline
def cell_key(point, mean, axes, scale, offset, seed):
    """A word for the grid cell of a point."""
    key = seed
    for a in range(axes.shape[0]):
        key = mix64(key ^ np.uint64(grid_place(point, mean, axes[a], scale, offset[a])))
    return key


@strict_parallel
def add_cells(points, mean, axes, scale, offsets, seed, table):
    """Count the grid cell of each point (n, d) in every repetition of `table` (repetitions, depth, width) int32.

    Repetition r has the axes ``axes[r]`` (m, d), cells of side 1 / `scale` and ``offsets[r]`` (m,) in units of a cell.
    """
    repetitions, depth, width = table.shape
    for r in prange(repetitions):
        for i in range(points.shape[0]):
            key = cell_key(points[i], mean, axes[r], scale, offsets[r], seed + np.uint64(r))
            for row in range(depth):
                cell, _ = cell_and_sign(key, seed, row, width)
                table[r, row, cell] += np.int32(1)


@strict_parallel
def read_cells(points, mean, axes, scale, offsets, seed, table, out):
    """``out[i]``: the sum over repetitions of the least count of the cell of point i."""
    repetitions, depth, width = table.shape
    for i in prange(points.shape[0]):
        total = 0
        for r in range(repetitions):
            key = cell_key(points[i], mean, axes[r], scale, offsets[r], seed + np.uint64(r))
            least = np.int64(0x7FFFFFFF)
            for row in range(depth):
                cell, _ = cell_and_sign(key, seed, row, width)
                least = min(least, np.int64(table[r, row, cell]))
            total += least
        out[i] = total


@strict_parallel
def list_cells(points, mean, axes, scale, offset, seed, cells, words):
    """The grid cell (n, m) of each point in one repetition, and a word of 64 bits for the point itself."""
    for i in prange(points.shape[0]):
        for a in range(axes.shape[0]):
            cells[i, a] = grid_place(points[i], mean, axes[a], scale, offset[a])
        key = seed
        for b in range(points.shape[1]):
            key = mix64(key ^ np.uint64(grid_place(points[i, b:b + 1], mean[b:b + 1], UNIT, 4294967296.0, 0.0)))
        words[i] = key


@strict_parallel
def read_listed(cells, seed, table, out):
    """``out[i]``: the least count of a cell (m,) that `list_cells` gave, in `table` (depth, width) of the same repetition."""
    depth, width = table.shape
    for i in prange(cells.shape[0]):
        key = seed
        for a in range(cells.shape[1]):
            key = mix64(key ^ np.uint64(cells[i, a]))
        least = np.int64(0x7FFFFFFF)
        for row in range(depth):
            cell, _ = cell_and_sign(key, seed, row, width)
            least = min(least, np.int64(table[row, cell]))
        out[i] = least


@parallel
def mix_codes(codes, width, out):
    """Cells (tables, rows) of codes, below `width`; a code has another cell in every table."""
    for table in prange(codes.shape[0]):
        for i in range(codes.shape[1]):
            out[table, i] = np.int64(high_product(mix64(codes[table, i] + (np.uint64(table) << np.uint64(32))), np.uint64(width)))
