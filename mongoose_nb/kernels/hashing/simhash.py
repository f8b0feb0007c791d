"""SimHash: rows in, table codes out.

Functions are numbered f = t * K + k (table t, k-th hash); `mongoose_nb.kernels.hashing.codes` says how codes are written.

A. *Signs do not depend on how a sum is ordered.* A projection near zero has a sign that depends on the order of summation, hence on
   the BLAS, on the number of rows in the call, and on dense or sparse input. So the fast sum only decides where it exceeds a bound on its
   own rounding error; the few others (1 in 20,000 at 128 coordinates) are summed again in float64, in the order of the coordinates.
   Products of two float32 are exact in float64, so fused and unfused code agree too. Rejected: padding all blocks to one shape, which
   only serves one BLAS.
B. *The dense product is made transposed*, functions by rows of X: the packing of signs then runs along rows of X, which vectorises, and
   writes each table's codes in order.
C. *A centre never touches sparse rows*: projections are compared with the projection of the centre.
"""

import math

import numpy as np
from numba import prange

from mongoose_nb.core.jit import inline, parallel, strict
from mongoose_nb.kernels.hashing.codes import TASKS, store_rows, store_tables

BLOCK = 256  # rows of one matrix product; 450 functions x 256 rows fit the second-level cache
_UNIT = 2.0**-24  # rounding unit of float32
_TINY = 2.0**-149  # its smallest step


@strict
def project_exact(x, P, out):  # (d,), (d, F) -> (F,) float64
    """out = x @ P in float64, each sum in the order of the coordinates."""
    out[:] = 0.0
    for i in range(x.shape[0]):
        value = np.float64(x[i])
        for f in range(P.shape[1]):
            out[f] += value * np.float64(P[i, f])


@strict
def dot_exact(x, P, f):
    """One entry of `project_exact`."""
    total = 0.0
    for i in range(x.shape[0]):
        total += np.float64(x[i]) * np.float64(P[i, f])
    return total


@strict
def dot_exact_csr(indices, values, lo, hi, P, f):
    """One entry of `project_exact`, of a sparse row."""
    total = 0.0
    for e in range(lo, hi):
        total += np.float64(values[e]) * np.float64(P[indices[e], f])
    return total


@inline
def sign_doubt(square, terms, norm_max, offset_max):
    """Bound on the error of a float32 sum of `terms` products, for a row of squared norm `square`.

    The worst case grows with the number of terms; rounding errors are as good as independent, so beyond 64 terms eight
    times the square root bounds them with certainty for practice (Higham and Mary, "A new approach to probabilistic
    rounding error analysis", 2019). NaN where a partial sum might overflow: no comparison with it holds, so all is
    looked at again.
    """
    norm = math.sqrt(square)
    if norm == 0.0 and offset_max == 0.0:
        return np.float32(0.0)
    reach = norm_max * norm
    if reach > 1e37 or offset_max > 1e37:
        return np.float32(np.nan)
    growth = min(float(terms), 8.0 * math.sqrt(terms)) + 3.0
    return np.float32(1.001 * (_UNIT * (growth * reach + 2.0 * offset_max) + _TINY * (terms + 2.0)))


@inline
def _pack_signs(S, X, P, offset, doubt, lo, K, width, out):
    """Signs of S (K * L, b), which holds X[lo : lo + b] @ P transposed, to codes of rows lo to lo + b."""
    b = S.shape[1]
    code = np.empty(b, np.uint32)
    nearest = np.empty(b, np.float32)
    for t in range(out.shape[0]):
        for r in range(b):
            code[r] = 0
            nearest[r] = np.inf
        for f in range(t * K, t * K + K):
            zero = np.float32(offset[f])
            for r in range(b):
                value = S[f, r] - zero
                code[r] = (code[r] << np.uint32(1)) | np.uint32(value > 0)
                nearest[r] = min(nearest[r], abs(value))
        again = False
        for r in range(b):
            again |= not (nearest[r] >= doubt[r])
        if again:
            for r in range(b):
                if nearest[r] >= doubt[r]:
                    continue
                exact = np.uint32(0)
                for f in range(t * K, t * K + K):
                    value = S[f, r] - np.float32(offset[f])
                    if abs(value) >= doubt[r]:
                        bit = value > 0
                    else:
                        bit = dot_exact(X[lo + r], P, f) > offset[f]
                    exact = (exact << np.uint32(1)) | np.uint32(bit)
                code[r] = exact
        store_rows(code, b, t, lo, width, out)


@inline
def _doubt_rows(X, lo, norm_max, offset_max, doubt):
    for r in range(doubt.shape[0]):
        square = 0.0
        for i in range(X.shape[1]):
            square += np.float64(X[lo + r, i]) * np.float64(X[lo + r, i])
        doubt[r] = sign_doubt(square, X.shape[1], norm_max, offset_max)


@parallel
def simhash_dense(X, P, offset, norm_max, offset_max, K, width, out):  # (n, d), (d, F), (F,) float64
    """Codes of dense rows: bit = x @ P[:, f] > offset[f].

    `norm_max` is the largest norm of a column of P, `offset_max` the largest absolute offset.
    """
    n = X.shape[0]
    size = BLOCK if n >= 4 * BLOCK else BLOCK // 4
    for block in prange((n + size - 1) // size):
        lo = block * size
        b = min(size, n - lo)
        S = np.empty((P.shape[1], b), np.float32)
        np.dot(P.T, X[lo : lo + b].T, S)
        doubt = np.empty(b, np.float32)
        _doubt_rows(X, lo, norm_max, offset_max, doubt)
        _pack_signs(S, X, P, offset, doubt, lo, K, width, out)


@inline
def _simhash_csr(indptr, indices, values, P, offset, norm_max, offset_max, K, first, last, width, out):
    F = P.shape[1]
    total = np.empty(F, np.float32)
    codes = np.empty(out.shape[0], np.uint32)
    for row in range(first, last):
        lo = indptr[row]
        hi = indptr[row + 1]
        for f in range(F):
            total[f] = 0.0
        square = 0.0
        for e in range(lo, hi):
            value = values[e]
            square += np.float64(value) * np.float64(value)
            i = indices[e]
            for f in range(F):
                total[f] += value * P[i, f]
        doubt = sign_doubt(square, hi - lo, norm_max, offset_max)
        for t in range(out.shape[0]):
            code = np.uint32(0)
            for f in range(t * K, t * K + K):
                difference = total[f] - np.float32(offset[f])
                if abs(difference) >= doubt:
                    bit = difference > 0
                else:
                    bit = dot_exact_csr(indices, values, lo, hi, P, f) > offset[f]
                code = (code << np.uint32(1)) | np.uint32(bit)
            codes[t] = code
        store_tables(codes, row, width, out)


@parallel
def simhash_csr(indptr, indices, values, P, offset, norm_max, offset_max, K, width, out):  # CSR (n, d)
    """Codes of sparse rows: the rows of P of the stored entries, summed. Arguments as in `simhash_dense`."""
    n = indptr.shape[0] - 1
    tasks = min(n, TASKS)
    for task in prange(tasks):
        _simhash_csr(indptr, indices, values, P, offset, norm_max, offset_max, K, task * n // tasks,
                     (task + 1) * n // tasks, width, out)
