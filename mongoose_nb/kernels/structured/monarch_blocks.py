"""The passes of `monarch` in the order for large blocks: all blocks of R, then all blocks of L, each one product over many rows.

A product of a tile of 128 rows reads a block of a megabyte for few multiplications, and its gradient reads and writes one for each tile.
Here a tile has a thousand rows, and a thread takes a block. The barriers between cost little beside such products.
"""

import numpy as np
from numba import prange

from mongoose_nb.core.jit import parallel
from mongoose_nb.kernels.structured.gemm import gemm
from mongoose_nb.kernels.structured.monarch import GAP, turn_in, turn_out

_PIECE = 64  # rows that a thread turns


@parallel
def forward_by_block(x, R, L, bias, U, Z, y):
    """As `monarch.monarch_forward`; the first part of Z serves all threads."""
    n, width = x.shape
    K, Jr, C = R.shape
    (J, Lo, rK), stride = L.shape, U.shape[2]
    tile = stride - GAP
    one, zero = np.ones(1, x.dtype), np.zeros(1, x.dtype)
    x_flat, R_flat, L_flat, U_flat, Z_flat = x.reshape(-1), R.reshape(-1), L.reshape(-1), U.reshape(-1), Z.reshape(-1)
    for t in range(U.shape[0]):
        lo, u = t * tile, t * Jr * K * stride
        rows = min(n - lo, tile)
        for k in prange(K):
            gemm((Jr, rows, min(C, width - k * C)), R_flat, k * Jr * C, C, False, x_flat, lo * width + k * C, width, True, one, zero,
                 U_flat, u + k * stride, K * stride)
        for j in prange(J):
            gemm((Lo, rows, rK), L_flat, j * Lo * rK, rK, False, U_flat, u + j * rK * stride, stride, False, one, zero,
                 Z_flat, j * stride, J * stride)
        for part in prange((rows + _PIECE - 1) // _PIECE):
            low, high = part * _PIECE, min(rows, (part + 1) * _PIECE)
            turn_out(Z[0, :, low:high], bias, y[lo + low:lo + high])


@parallel
def backward_by_block(g, R, L, G, dU, dx):
    """As `monarch.monarch_backward`."""
    n, width = g.shape[0], dx.shape[1]
    K, Jr, C = R.shape
    (J, Lo, rK), stride = L.shape, dU.shape[2]
    tile = stride - GAP
    one, zero = np.ones(1, g.dtype), np.zeros(1, g.dtype)
    R_flat, L_flat, G_flat, U_flat, x_flat = R.reshape(-1), L.reshape(-1), G.reshape(-1), dU.reshape(-1), dx.reshape(-1)
    for t in range(dU.shape[0]):
        lo, u, z = t * tile, t * Jr * K * stride, t * Lo * J * stride
        rows = min(n - lo, tile)
        for part in prange((rows + _PIECE - 1) // _PIECE):
            low, high = part * _PIECE, min(rows, (part + 1) * _PIECE)
            turn_in(g[lo + low:lo + high], G[t, :, low:high])
        for j in prange(J):
            gemm((rK, rows, Lo), L_flat, j * Lo * rK, rK, True, G_flat, z + j * stride, J * stride, False, one, zero,
                 U_flat, u + j * rK * stride, stride)
        if dx.shape[0] > 0:
            for k in prange(K):
                gemm((rows, min(C, width - k * C), Jr), U_flat, u + k * stride, K * stride, True, R_flat, k * Jr * C, C, False, one, zero,
                     x_flat, lo * width + k * C, width)
