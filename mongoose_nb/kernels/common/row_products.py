"""Products of rows with a matrix whose bits do not depend on how many rows there are.

A. BLAS sums in one order for a row alone and in others for many rows, so a model that reads token by token and one that reads all tokens
   at once differ in the last bits. Where these decide (the best of two logits, the bucket of a key), they differ by more.
B. `multiply_rows` adds the inputs in their order, and keeps the sums of a row in `out` between blocks of inputs. A compiler may fuse a
   product with the addition (``contract``), and nothing else: all rows, and both kernels below, have the same bits.
C. Blocks of 8 inputs and 256 outputs of the matrix (8 KB in float32) serve 16 rows before the next one is read.
D. The matrix of `dot_rows` has a row for every output. Its sums run along that row and may be re-ordered: one kernel computes all numbers
   of rows.
"""

import numba
from numba import prange

from mongoose_nb.core.jit import inline, parallel, strict, strict_parallel

COLUMNS = 256
ROWS = 16
#: a helper whose sums keep their order
ordered = numba.njit(inline="never", nogil=True, error_model="numpy", fastmath={"contract"})


@ordered
def multiply(x, w, out):
    """out (n, m) = x (n, d) @ w (d, m), inputs in their order."""
    n, d = x.shape
    m = w.shape[1]
    for i in range(n):
        o = out[i]
        for j in range(m):
            o[j] = 0
    whole = d - d % 8
    for first in range(0, m, COLUMNS):
        last = min(first + COLUMNS, m)
        for k in range(0, whole, 8):
            w0, w1, w2, w3 = w[k, first:last], w[k + 1, first:last], w[k + 2, first:last], w[k + 3, first:last]
            w4, w5, w6, w7 = w[k + 4, first:last], w[k + 5, first:last], w[k + 6, first:last], w[k + 7, first:last]
            for i in range(n):
                o = out[i, first:last]
                x0, x1, x2, x3 = x[i, k], x[i, k + 1], x[i, k + 2], x[i, k + 3]
                x4, x5, x6, x7 = x[i, k + 4], x[i, k + 5], x[i, k + 6], x[i, k + 7]
                for j in range(o.shape[0]):
                    total = o[j] + x0 * w0[j]
                    total = total + x1 * w1[j]
                    total = total + x2 * w2[j]
                    total = total + x3 * w3[j]
                    total = total + x4 * w4[j]
                    total = total + x5 * w5[j]
                    total = total + x6 * w6[j]
                    o[j] = total + x7 * w7[j]
        for k in range(whole, d):
            w0 = w[k, first:last]
            for i in range(n):
                o = out[i, first:last]
                x0 = x[i, k]
                for j in range(o.shape[0]):
                    o[j] = o[j] + x0 * w0[j]


@strict
def multiply_few(x, w, out):
    """out (n, m) = x (n, d) @ w (d, m) on one thread."""
    multiply(x, w, out)


@strict_parallel
def multiply_rows(x, w, out):
    """out (n, m) = x (n, d) @ w (d, m), for many rows."""
    n = x.shape[0]
    for tile in prange((n + ROWS - 1) // ROWS):
        lo = tile * ROWS
        hi = min(n, lo + ROWS)
        multiply(x[lo:hi], w, out[lo:hi])


@inline
def dot(a, b):
    """The inner product."""
    total = a.dtype.type(0)
    for c in range(a.shape[0]):
        total += a[c] * b[c]
    return total


@parallel
def dot_rows(x, w, bias, out):
    """out (n, m) = x (n, d) @ w.T + bias, for w (m, d)."""
    n, m = out.shape
    blocks = (m + COLUMNS - 1) // COLUMNS
    for task in prange((n + ROWS - 1) // ROWS * blocks):
        lo = task // blocks * ROWS
        first = task % blocks * COLUMNS
        for j in range(first, min(first + COLUMNS, m)):
            y = w[j]
            for i in range(lo, min(lo + ROWS, n)):
                out[i, j] = dot(x[i], y) + bias[j]
