"""Products of a batch with a matrix of sparse blocks plus a low-rank matrix: ``W = scales[0] * blocks + scales[1] * up @ down``.

A. Every block is one BLAS product that adds to its columns of the result; nothing is gathered or scattered.
B. One barrier a pass: a thread takes a tile of rows through the low-rank product and all blocks. Gradients of the blocks have a second,
   one block a thread over the whole batch. Both give the same bits for any number of threads.
C. The gradients of `mix` and the scales of the others are computed where a gradient's block is still in the cache: as passes of NumPy they
   took a quarter of the backward pass.
D. At the right and the bottom blocks may be cut: what has no place in the matrix is neither read nor written.
"""

from typing import NamedTuple

import numpy as np
from numba import prange

from mongoose_nb.core.jit import inline, parallel
from mongoose_nb.kernels.structured.gemm import gemm, multiply

TILE = 128


class Pattern(NamedTuple):
    """Places of the blocks: entry e lies in block row ``row[e]`` and block column ``column[e]``, sorted by row; `by_column` has the
    entries sorted by column. All int64."""

    row: np.ndarray
    column: np.ndarray
    by_column: np.ndarray


@inline
def _add_to_rows(y, bias):
    for i in range(y.shape[0]):
        for f in range(y.shape[1]):
            y[i, f] += bias[f]


@inline
def _multiply_low_rank(x, pair, turn, scales, H, y):
    """H = scales[0] * x @ pair[0] and y = scales[1] * H @ pair[1], with `turn` of the transposed matrices; y = 0 for rank 0."""
    zero = np.zeros(1, x.dtype)
    if H.shape[1] > 0:
        multiply(x, pair[0], turn, scales[0], zero, H)
        multiply(H, pair[1], turn, scales[1], zero, y)
    else:
        y[:] = 0


@inline
def _add_blocks(x, blocks, places, order, turn, scale, y):
    """Add to y the products of x with the blocks, or with `turn` the transposed ones. Entry e of `places` is (block column of x, of y)."""
    sources, targets = places
    (rows, width), n_outputs, b = x.shape, y.shape[1], blocks.shape[1]
    one = np.ones(1, x.dtype)
    x_flat, y_flat, flat = x.reshape(-1), y.reshape(-1), blocks.reshape(-1)
    for e in order:
        left, top = sources[e] * b, targets[e] * b
        gemm((rows, min(b, n_outputs - top), min(b, width - left)), x_flat, left, width, False, flat, e * b * b, b, turn, scale, one,
             y_flat, top, n_outputs)


@parallel
def blocks_forward(x, blocks, pattern, down, up, scales, bias, H, y):
    """y = x @ W.T + bias. blocks (entries, b, b), down (rank, n_inputs), up (n_outputs, rank); H (n, rank) is x @ down.T."""
    n, one, by_row = len(x), np.ones(1, x.dtype), np.arange(len(pattern.row))
    for tile in prange((n + TILE - 1) // TILE):
        lo, hi = tile * TILE, min(n, (tile + 1) * TILE)
        _multiply_low_rank(x[lo:hi], (down, up), True, (one, scales[1:]), H[lo:hi], y[lo:hi])
        _add_blocks(x[lo:hi], blocks, (pattern.column, pattern.row), by_row, True, scales, y[lo:hi])
        _add_to_rows(y[lo:hi], bias)


@parallel
def blocks_backward(g, blocks, pattern, down, up, scales, dH, dx):
    """dx = g @ W, and dH = scales[1] * g @ up; dx may have no rows, and is not computed then."""
    n, one, zero = len(g), np.ones(1, g.dtype), np.zeros(1, g.dtype)
    for tile in prange((n + TILE - 1) // TILE):
        lo, hi = tile * TILE, min(n, (tile + 1) * TILE)
        if dx.shape[0] > 0:
            _multiply_low_rank(g[lo:hi], (up, down), False, (scales[1:], one), dH[lo:hi], dx[lo:hi])
            _add_blocks(g[lo:hi], blocks, (pattern.row, pattern.column), pattern.by_column, False, scales, dx[lo:hi])
        elif dH.shape[1] > 0:
            multiply(g[lo:hi], up, False, scales[1:], zero, dH[lo:hi])


@inline
def _scale_gradient(d, value, scale):
    """<d, value>, and d *= scale."""
    sums = np.zeros(d.shape[1])  # one a column: a single sum would be added to one number at a time
    for i in range(d.shape[0]):
        for j in range(d.shape[1]):
            sums[j] += d[i, j] * value[i, j]
            d[i, j] *= scale
    return sums.sum()


@parallel
def blocks_gradients(x, g, pattern, H, dH, values, scales, gradients, products):
    """Gradients of ``values = (blocks, down, up)``, into arrays of these shapes: scales[0] * g.T @ x in the blocks, dH.T @ x and
    scales[1] * g.T @ H.

    What is cut off a block is not written, and has to be 0. `products` (entries + block rows, float64) are those of blocks and `up` with
    their gradients as if the scale were 1, by block, for the gradient of the scales; with rank 0 they are not computed.
    """
    (n, width), n_outputs, rank = x.shape, g.shape[1], H.shape[1]
    (blocks, _, up), (d_blocks, d_down, d_up) = values, gradients
    b, entries = blocks.shape[1], len(pattern.row)
    one, zero = np.ones(1, x.dtype), np.zeros(1, x.dtype)
    x_flat, g_flat, H_flat, dH_flat = x.reshape(-1), g.reshape(-1), H.reshape(-1), dH.reshape(-1)
    flat, down_flat, up_flat = d_blocks.reshape(-1), d_down.reshape(-1), d_up.reshape(-1)
    tops, lefts = (n_outputs + b - 1) // b, (width + b - 1) // b
    for part in prange(entries + (tops + lefts if rank > 0 else 0)):
        if part < entries:
            top, left = pattern.row[part] * b, pattern.column[part] * b
            gemm((min(b, n_outputs - top), min(b, width - left), n), g_flat, top, n_outputs, True, x_flat, left, width, False, one, zero,
                 flat, part * b * b, b)
            if rank > 0:
                products[part] = _scale_gradient(d_blocks[part], blocks[part], scales[0])
        elif part < entries + tops:
            top = (part - entries) * b
            end = min(top + b, n_outputs)
            gemm((end - top, rank, n), g_flat, top, n_outputs, True, H_flat, 0, rank, False, one, zero, up_flat, top * rank, rank)
            products[part] = _scale_gradient(d_up[top:end], up[top:end], scales[1])
        else:
            left = (part - entries - tops) * b
            gemm((rank, min(b, width - left), n), dH_flat, 0, rank, True, x_flat, left, width, False, one, zero, down_flat, left, width)
