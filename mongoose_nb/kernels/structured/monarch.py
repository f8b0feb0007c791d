"""Products of a batch with a Monarch matrix: two products with blocks along a diagonal, and a stride permutation between and behind them.

::

    x (n, K C)  --R_k-->  U (J, r, K) x rows  --L_j-->  Z (Lo, J) x rows  --turn-->  y (n, Lo J)

A. *The permutations cost nothing.* The values between are stored with a feature a row. Block k writes row (j, r) of its result to row
   (j, r, k) of U, and block j row l to row (l, j) of Z: both are a leading dimension of BLAS. Only the last step, from a feature a row to
   a sample a row, moves data; it also adds the bias.
B. *One barrier a pass.* A thread takes a tile of rows through all steps. At batch 256 the alternative, all blocks of R and then all of L,
   has three barriers, and each costs milliseconds where other processes share the cores. `monarch_blocks` has that one, for large blocks.
C. *Gradients of the blocks* sum over tiles in their order, one block a thread: the bits do not depend on the number of threads.
D. A tile has `U.shape[2] - GAP` rows. Rows of U and Z are so many numbers and `GAP` apart: at a power of two all rows of a block fall
   into few sets of the cache.
"""

import numpy as np
from numba import get_thread_id, prange

from mongoose_nb.core.jit import inline, parallel
from mongoose_nb.kernels.structured.gemm import gemm

GAP = 16
_SQUARE = 16  # side of the squares in which a tile is turned


@inline
def turn_out(Z, bias, y):  # (features, tile + GAP) -> (rows, n_outputs)
    """y = Z.T + bias, for the rows and features that y has."""
    rows, n = y.shape
    for lo in range(0, n, _SQUARE):
        hi = min(n, lo + _SQUARE)
        for low in range(0, rows, _SQUARE):
            for i in range(low, min(rows, low + _SQUARE)):
                for f in range(lo, hi):
                    y[i, f] = Z[f, i] + bias[f]


@inline
def turn_in(g, G):  # (rows, n_outputs) -> (features, tile + GAP)
    """G = g.T for the rows of g; features that g lacks are zero."""
    rows, n = g.shape
    for lo in range(0, n, _SQUARE):
        hi = min(n, lo + _SQUARE)
        for low in range(0, rows, _SQUARE):
            high = min(rows, low + _SQUARE)
            for f in range(lo, hi):
                for i in range(low, high):
                    G[f, i] = g[i, f]
    G[n:] = 0


@parallel
def monarch_forward(x, R, L, bias, U, Z, y):
    """y = x @ M.T + bias. R (K, J r, C), L (J, Lo, r K); U (tiles, J r K, tile + GAP) is kept for the backward pass, Z is
    (threads, Lo J, tile + GAP).

    The last block of R may see fewer than C columns, and what has no place in y is left out.
    """
    n, width = x.shape
    K, Jr, C = R.shape
    (J, Lo, rK), stride = L.shape, U.shape[2]
    tile = stride - GAP
    one, zero = np.ones(1, x.dtype), np.zeros(1, x.dtype)
    x_flat, R_flat, L_flat, U_flat, Z_flat = x.reshape(-1), R.reshape(-1), L.reshape(-1), U.reshape(-1), Z.reshape(-1)
    for t in prange(U.shape[0]):
        lo = t * tile
        rows = min(n - lo, tile)
        u, z = t * Jr * K * stride, get_thread_id() * Lo * J * stride
        for k in range(K):
            columns = min(C, width - k * C)
            gemm((Jr, rows, columns), R_flat, k * Jr * C, C, False, x_flat, lo * width + k * C, width, True, one, zero,
                 U_flat, u + k * stride, K * stride)
        for j in range(J):
            gemm((Lo, rows, rK), L_flat, j * Lo * rK, rK, False, U_flat, u + j * rK * stride, stride, False, one, zero,
                 Z_flat, z + j * stride, J * stride)
        turn_out(Z[get_thread_id()], bias, y[lo:lo + rows])


@parallel
def monarch_backward(g, R, L, G, dU, dx):
    """Gradients of a batch's values: G (tiles, Lo J, tile + GAP) is `g` with a feature a row, dU that of U, and dx that of x.

    dx may have no rows, and is not computed then.
    """
    n, width = g.shape[0], dx.shape[1]
    K, Jr, C = R.shape
    (J, Lo, rK), stride = L.shape, dU.shape[2]
    tile = stride - GAP
    one, zero = np.ones(1, g.dtype), np.zeros(1, g.dtype)
    R_flat, L_flat, G_flat, U_flat, x_flat = R.reshape(-1), L.reshape(-1), G.reshape(-1), dU.reshape(-1), dx.reshape(-1)
    for t in prange(dU.shape[0]):
        lo = t * tile
        rows = min(n - lo, tile)
        u, z = t * Jr * K * stride, t * Lo * J * stride
        turn_in(g[lo:lo + rows], G[t])
        for j in range(J):
            gemm((rK, rows, Lo), L_flat, j * Lo * rK, rK, True, G_flat, z + j * stride, J * stride, False, one, zero,
                 U_flat, u + j * rK * stride, stride)
        if dx.shape[0] > 0:
            for k in range(K):
                columns = min(C, width - k * C)
                gemm((rows, columns, Jr), U_flat, u + k * stride, K * stride, True, R_flat, k * Jr * C, C, False, one, zero,
                     x_flat, lo * width + k * C, width)


@parallel
def monarch_gradients(x, U, G, dU, dR, dL):
    """Gradients of the blocks, summed over the tiles; dR has to be zero where the last block sees no column."""
    n, width = x.shape
    K, Jr, C = dR.shape
    (J, Lo, rK), stride = dL.shape, U.shape[2]
    tile = stride - GAP
    one, zero = np.ones(1, x.dtype), np.zeros(1, x.dtype)
    x_flat, U_flat, G_flat, dU_flat, R_flat, L_flat = (x.reshape(-1), U.reshape(-1), G.reshape(-1), dU.reshape(-1), dR.reshape(-1),
                                                       dL.reshape(-1))
    for block in prange(J + K):
        for t in range(U.shape[0]):
            lo, keep = t * tile, one if t else zero
            rows = min(n - lo, tile)
            u, z = t * Jr * K * stride, t * Lo * J * stride
            if block < J:
                gemm((Lo, rK, rows), G_flat, z + block * stride, J * stride, False, U_flat, u + block * rK * stride, stride, True, one,
                     keep, L_flat, block * Lo * rK, rK)
            else:
                k = block - J
                gemm((Jr, min(C, width - k * C), rows), dU_flat, u + k * stride, K * stride, False, x_flat, lo * width + k * C, width,
                     False, one, keep, R_flat, k * Jr * C, C)
