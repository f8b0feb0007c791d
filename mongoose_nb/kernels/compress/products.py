"""Products with matrices that a hashed array stands for: parts of rows are read into a block that fits the cache, and multiplied there.

A matrix product of BLAS copies its factors into an order of its own. With `BLOCK` rows and `SLICE` entries of each, the copies stay in the
second-level cache; with 64 whole rows they took as long as the multiplications. The block is the first factor, and the samples are
columns of the second one, which takes a fifth less time than the other way round.
"""

import numpy as np
from numba import prange

from mongoose_nb.core.jit import parallel
from mongoose_nb.kernels.compress.cells import read_part

BLOCK = 256
SLICE = 512


@parallel
def multiply_rows(X, cells, rows, bases, layout, out):  # (width, n) -> (rows, n)
    """out = W @ X, by blocks of rows of W, and in these by slices of entries."""
    width, n = X.shape
    N = rows.shape[0]
    scale = layout.scale
    for k in prange((N + BLOCK - 1) // BLOCK):
        lo = k * BLOCK
        hi = min(N, lo + BLOCK)
        if n == 1:
            row = np.empty(width, np.float32)
            for r in range(lo, hi):
                read_part(cells, rows[r], bases[r], width, 0, layout, row)
                s = np.float32(0.0)
                for d in range(width):
                    s += X[d, 0] * row[d]
                out[r, 0] = s * scale
        else:
            part = np.empty((hi - lo, n), np.float32)
            for first in range(0, width, SLICE):
                last = min(width, first + SLICE)
                W = np.empty((hi - lo, last - first), np.float32)
                for r in range(lo, hi):
                    read_part(cells, rows[r], bases[r], width, first, layout, W[r - lo])
                if first == 0:
                    np.dot(W, X[first:last], out[lo:hi])
                else:
                    np.dot(W, X[first:last], part)
                    for r in range(lo, hi):
                        for i in range(n):
                            out[r, i] += part[r - lo, i]
            if scale != np.float32(1.0):
                for r in range(lo, hi):
                    for i in range(n):
                        out[r, i] *= scale
