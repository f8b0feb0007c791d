"""Products of a batch with a matrix of sparse blocks plus a low-rank matrix: ``W = scales[0] * blocks + scales[1] * up @ down``.

A. Every block is one BLAS product that adds to its columns of the result; nothing is gathered or scattered.
B. One barrier a pass: a thread takes a tile of rows through the low-rank product and all blocks. Gradients of the blocks have a second,
   one block a thread over the whole batch. Both give the same bits for any number of threads.
C. At the right and the bottom blocks may be cut: what has no place in the matrix is neither read nor written.
"""

from typing import NamedTuple

import numpy as np
from numba import prange

from mongoose_nb.core.jit import inline, parallel
from mongoose_nb.kernels.structured.gemm import gemm

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


@parallel
def blocks_forward(x, blocks, pattern, down, up, scales, bias, H, y):
    """y = x @ W.T + bias. blocks (entries, b, b), down (rank, n_inputs), up (n_outputs, rank); H (n, rank) is x @ down.T."""
    n, width = x.shape
    n_outputs, rank, b = y.shape[1], up.shape[1], blocks.shape[1]
    one, zero = np.ones(1, x.dtype), np.zeros(1, x.dtype)
    x_flat, y_flat, H_flat, flat = x.reshape(-1), y.reshape(-1), H.reshape(-1), blocks.reshape(-1)
    down_flat, up_flat = down.reshape(-1), up.reshape(-1)
    for tile in prange((n + TILE - 1) // TILE):
        lo = tile * TILE
        rows = min(n - lo, TILE)
        if rank > 0:
            gemm((rows, rank, width), x_flat, lo * width, width, False, down_flat, 0, width, True, one, zero, H_flat, lo * rank, rank)
            gemm((rows, n_outputs, rank), H_flat, lo * rank, rank, False, up_flat, 0, rank, True, scales[1:], zero, y_flat,
                 lo * n_outputs, n_outputs)
        else:
            y[lo:lo + rows] = 0
        for e in range(len(pattern.row)):
            top, left = pattern.row[e] * b, pattern.column[e] * b
            gemm((rows, min(b, n_outputs - top), min(b, width - left)), x_flat, lo * width + left, width, False, flat, e * b * b, b, True,
                 scales, one, y_flat, lo * n_outputs + top, n_outputs)
        _add_to_rows(y[lo:lo + rows], bias)


@parallel
def blocks_backward(g, blocks, pattern, down, up, scales, dH, dx):
    """dx = g @ W, and dH = scales[1] * g @ up; dx may have no rows, and is not computed then."""
    n, n_outputs = g.shape
    width, rank, b = dx.shape[1], up.shape[1], blocks.shape[1]
    one, zero = np.ones(1, g.dtype), np.zeros(1, g.dtype)
    g_flat, x_flat, H_flat, flat = g.reshape(-1), dx.reshape(-1), dH.reshape(-1), blocks.reshape(-1)
    down_flat, up_flat = down.reshape(-1), up.reshape(-1)
    for tile in prange((n + TILE - 1) // TILE):
        lo = tile * TILE
        rows = min(n - lo, TILE)
        if rank > 0:
            gemm((rows, rank, n_outputs), g_flat, lo * n_outputs, n_outputs, False, up_flat, 0, rank, False, scales[1:], zero, H_flat,
                 lo * rank, rank)
        if dx.shape[0] > 0:
            if rank > 0:
                gemm((rows, width, rank), H_flat, lo * rank, rank, False, down_flat, 0, width, False, one, zero, x_flat, lo * width, width)
            else:
                dx[lo:lo + rows] = 0
            for place in range(len(pattern.by_column)):
                e = pattern.by_column[place]
                top, left = pattern.row[e] * b, pattern.column[e] * b
                gemm((rows, min(b, width - left), min(b, n_outputs - top)), g_flat, lo * n_outputs + top, n_outputs, False, flat,
                     e * b * b, b, False, scales, one, x_flat, lo * width + left, width)


@parallel
def blocks_gradients(x, g, pattern, H, dH, d_blocks, d_down, d_up):
    """Gradients as if both scales were 1: g.T @ x in the blocks, g.T @ H and dH.T @ x. What is cut off a block is not written."""
    n, width = x.shape
    n_outputs, rank, b = g.shape[1], H.shape[1], d_blocks.shape[1]
    one, zero = np.ones(1, x.dtype), np.zeros(1, x.dtype)
    x_flat, g_flat, H_flat, dH_flat = x.reshape(-1), g.reshape(-1), H.reshape(-1), dH.reshape(-1)
    flat, down_flat, up_flat = d_blocks.reshape(-1), d_down.reshape(-1), d_up.reshape(-1)
    entries, tops = len(pattern.row), (n_outputs + b - 1) // b
    lefts = (width + b - 1) // b
    for part in prange(entries + (tops + lefts if rank > 0 else 0)):
        if part < entries:
            top, left = pattern.row[part] * b, pattern.column[part] * b
            gemm((min(b, n_outputs - top), min(b, width - left), n), g_flat, top, n_outputs, True, x_flat, left, width, False, one, zero,
                 flat, part * b * b, b)
        elif part < entries + tops:
            top = (part - entries) * b
            gemm((min(b, n_outputs - top), rank, n), g_flat, top, n_outputs, True, H_flat, 0, rank, False, one, zero, up_flat, top * rank,
                 rank)
        else:
            left = (part - entries - tops) * b
            gemm((rank, min(b, width - left), n), dH_flat, 0, rank, True, x_flat, left, width, False, one, zero, down_flat, left, width)
