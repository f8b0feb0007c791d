"""Gradients of shared outputs that are summed over parts of a batch, before one step of the optimiser.

A. `kernels.layers.wide` keeps the logits of a batch until the step, (n_rows, B). Here those of a part are given up when its gradient is in
   the sum, (n_rows, D): memory does not grow with the batch.
B. Parts are added in their order, and a block of rows has one owner: the same bits for any number of threads.
C. The number of blocks is that of `kernels.layers.wide.count_blocks`; a block has at most ``scratch.shape[1]`` rows.
"""

import numpy as np
from numba import get_thread_id, prange

from mongoose_nb.core.jit import parallel
from mongoose_nb.kernels.layers.rows import step_row


@parallel
def add_part(H, Z, n_blocks, G, g, scratch):
    """Add the gradient of a part to that of the rows, ``G += Z @ H``, and of their biases, g (n_rows,).

    Z (n_rows, B) is d loss / d logits, H (B, D) the activations. Scratch: (threads, BLOCK, D).
    """
    n_rows = Z.shape[0]
    for k in prange(n_blocks):
        lo = k * n_rows // n_blocks
        hi = (k + 1) * n_rows // n_blocks
        part = scratch[get_thread_id(), : hi - lo]
        np.dot(Z[lo:hi], H, part)
        for r in range(lo, hi):
            for d in range(G.shape[1]):
                G[r, d] += part[r - lo, d]
            total = np.float32(0.0)
            for i in range(Z.shape[1]):
                total += Z[r, i]
            g[r] += total


@parallel
def square_sums(G, g, squares):
    """Squared norms of the sums by block of rows, with those of the biases: squares (blocks,) float64."""
    n_rows = G.shape[0]
    n_blocks = squares.shape[0]
    for k in prange(n_blocks):
        square = 0.0
        for r in range(k * n_rows // n_blocks, (k + 1) * n_rows // n_blocks):
            square += g[r] * g[r]
            for d in range(G.shape[1]):
                square += G[r, d] * G[r, d]
        squares[k] = square


@parallel
def apply_sums(G, g, shared, n_blocks, kind, hyper, bias_hyper, weights, bias):
    """Optimiser step on the listed rows (`wide.Shared`) of `weights` and `bias` (`rows.State`)."""
    W = weights.value
    M = weights.m
    S = weights.v
    b = bias.value
    bm = bias.m
    bs = bias.v
    ids = shared.ids
    contiguous = shared.contiguous
    n_rows = shared.n_rows
    for k in prange(n_blocks):
        for r in range(k * n_rows // n_blocks, (k + 1) * n_rows // n_blocks):
            row = r if contiguous else ids[r]
            step_row(kind, hyper, W[row], M[row], S[row], G[r])
            step_row(kind, bias_hyper, b[row:row + 1], bm[row:row + 1], bs[row:row + 1], g[r:r + 1])
