"""Dense matrix products as one BLAS call a block, on Numba's threads.

A. `np.dot` inside a `prange` loop is one call of SciPy's BLAS, held at one thread (`_threads.one_blas_thread`).
B. Blocks have a fixed number of rows, so the result is the same to the last bit for any number of threads.
"""

import numpy as np
from numba import prange

from mongoose_nb.kernels._jit import parallel

BLOCK = 256


@parallel
def matmul(A, B, out):  # (n, d), (d, m) -> (n, m)
    """out = A @ B, cut by rows of A. `B` may be the transposed view of a C array."""
    n = A.shape[0]
    for i in prange((n + BLOCK - 1) // BLOCK):
        lo = i * BLOCK
        hi = min(n, lo + BLOCK)
        np.dot(A[lo:hi], B, out[lo:hi])
