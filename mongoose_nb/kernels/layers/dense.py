"""Dense matrix products as one BLAS call a block, on Numba's threads.

A. `np.dot` inside a `prange` loop is one call of SciPy's BLAS, held at one thread (`core.threads.one_blas_thread`).
B. Blocks have a fixed number of rows, so the result is the same to the last bit for any number of threads.
C. Sums over many rows (gradients of weights) are cut into a number of parts that the number of rows decides, for the same reason.
"""

import numpy as np
from numba import prange

from mongoose_nb.core.jit import parallel

BLOCK = 256


@parallel
def matmul(A, B, out):  # (n, d), (d, m) -> (n, m)
    """out = A @ B, cut by rows of A. `B` may be the transposed view of a C array."""
    n = A.shape[0]
    for i in prange((n + BLOCK - 1) // BLOCK):
        lo = i * BLOCK
        hi = min(n, lo + BLOCK)
        np.dot(A[lo:hi], B, out[lo:hi])


def count_parts(n):
    """Number of partial products that `matmul_tn` sums for n rows: it depends on n alone."""
    return max(1, min(16, n // BLOCK))


@parallel
def matmul_tn(A, B, parts, out):  # (n, d), (n, m) -> (d, m)
    """out = A.T @ B, cut by rows of both: `parts` (count_parts(n), d, m) receives the partial products, summed in their order."""
    n, groups = A.shape[0], parts.shape[0]
    for g in prange(groups):
        lo = g * n // groups
        hi = (g + 1) * n // groups
        np.dot(A[lo:hi].T, B[lo:hi], parts[g])
    for i in prange(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = parts[0, i, j]
        for g in range(1, groups):
            for j in range(out.shape[1]):
                out[i, j] += parts[g, i, j]
