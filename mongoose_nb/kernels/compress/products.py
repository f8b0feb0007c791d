"""Products with matrices that a hashed array stands for: rows are read into a block that fits the cache, and multiplied there."""

import numpy as np
from numba import prange

from mongoose_nb.core.jit import parallel
from mongoose_nb.kernels.compress.cells import read_row

BLOCK = 64


@parallel
def multiply_rows(X, cells, rows, bases, layout, width, out):  # (n, width) -> (n, rows)
    """out = X @ W.T, by blocks of rows of W."""
    N = rows.shape[0]
    blocks = (N + BLOCK - 1) // BLOCK
    n = X.shape[0]
    for k in prange(blocks):
        lo = k * BLOCK
        hi = min(N, lo + BLOCK)
        W = np.empty((hi - lo, width), np.float32)
        for r in range(hi - lo):
            read_row(cells, rows[lo + r], bases[lo + r], layout.block, layout.signed, layout.key, layout.scale, W[r])
        if n == 1:
            for r in range(hi - lo):
                s = np.float32(0.0)
                for d in range(width):
                    s += X[0, d] * W[r, d]
                out[0, lo + r] = s
        else:
            part = np.empty((n, hi - lo), np.float32)
            np.dot(X, W.T, part)
            for i in range(n):
                for r in range(hi - lo):
                    out[i, lo + r] = part[i, r]
