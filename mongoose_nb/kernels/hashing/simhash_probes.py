"""Multi-probe for SimHash: the code of a row, and those with the signs flipped whose projections are nearest to zero.

A. *One order of flips for all rows*, over the ranks of the margins (Lv et al. 2007, section 4.5; `mongoose_nb.hashing.flips`): no heap
   at query time.
B. *Two precisions of the signs.* `probe_rows` decides signs as kernels.hashing does, so that the first probe is the code of the row.
   Its projections are float32 sums in the order of the coordinates, not a BLAS product: margins must not depend on the batch, or on
   dense or sparse input. `probe_signs` takes the signs of plain float32 sums, on one thread: for searches, which hash one query at a
   time and whose rows are projections already.
"""

from typing import NamedTuple

import numpy as np
from numba import prange

from mongoose_nb.core.jit import inline, serial, strict_inline, strict_parallel
from mongoose_nb.kernels.hashing.codes import TASKS, store_rows
from mongoose_nb.kernels.hashing.simhash import dot_exact, dot_exact_csr, sign_doubt

ROWS = 8


class Rows(NamedTuple):
    """Dense rows, or CSR rows where `indptr` is not empty."""

    X: np.ndarray  # (n, d) float32
    indptr: np.ndarray  # (n + 1,) int64
    indices: np.ndarray  # int32
    values: np.ndarray  # float32


class Signs(NamedTuple):
    """SimHash functions, as kernels.hashing.simhash_dense takes them."""

    P: np.ndarray  # (d, F) float32
    offset: np.ndarray  # (F,) float64
    norm_max: float
    offset_max: float
    K: int


@strict_inline
def _add_four(a, b, c, d, at_a, at_b, at_c, at_d, total):
    for f in range(total.shape[0]):
        total[f] = (((total[f] + a * at_a[f]) + b * at_b[f]) + c * at_c[f]) + d * at_d[f]


@strict_inline
def _add_one(a, at_a, total):
    for f in range(total.shape[0]):
        total[f] += a * at_a[f]


@strict_inline
def _project(rows, P, lo, hi, S):
    """S[r] = row lo + r times P, each sum in the order of the coordinates; a zero adds nothing, so sparse rows agree."""
    X, indptr, indices, values = rows
    S[:] = np.float32(0.0)
    if indptr.shape[0]:
        for row in range(lo, hi):
            e, end = indptr[row], indptr[row + 1]
            while e + 4 <= end:
                _add_four(values[e], values[e + 1], values[e + 2], values[e + 3], P[indices[e]], P[indices[e + 1]],
                          P[indices[e + 2]], P[indices[e + 3]], S[row - lo])
                e += 4
            while e < end:
                _add_one(values[e], P[indices[e]], S[row - lo])
                e += 1
    else:
        i, end = 0, X.shape[1]
        while i + 4 <= end:
            for row in range(lo, hi):
                _add_four(X[row, i], X[row, i + 1], X[row, i + 2], X[row, i + 3], P[i], P[i + 1], P[i + 2], P[i + 3], S[row - lo])
            i += 4
        while i < end:
            for row in range(lo, hi):
                _add_one(X[row, i], P[i], S[row - lo])
            i += 1


@strict_inline
def _doubt(rows, signs, row):
    """The margin below which the sign of a float32 sum may be wrong."""
    square = 0.0
    if rows.indptr.shape[0]:
        terms = rows.indptr[row + 1] - rows.indptr[row]
        for e in range(rows.indptr[row], rows.indptr[row + 1]):
            square += np.float64(rows.values[e]) * np.float64(rows.values[e])
    else:
        terms = rows.X.shape[1]
        for i in range(terms):
            square += np.float64(rows.X[row, i]) * np.float64(rows.X[row, i])
    return sign_doubt(square, terms, signs.norm_max, signs.offset_max)


@strict_inline
def _settle(rows, signs, row, first, margins, doubt, code):
    """The code of one table with those signs replaced that rounding leaves in doubt."""
    K = margins.shape[0]
    for k in range(K):
        if not margins[k] >= doubt:
            f = first + k
            if rows.indptr.shape[0]:
                exact = dot_exact_csr(rows.indices, rows.values, rows.indptr[row], rows.indptr[row + 1], signs.P, f)
            else:
                exact = dot_exact(rows.X[row], signs.P, f)
            bit = np.uint32(1) << np.uint32(K - 1 - k)
            code = (code | bit) if exact > signs.offset[f] else code & ~bit
    return code


@strict_inline
def _rank(margins, order):
    """The code of the signs of margins (K,); margins become sizes, and order[r] the place of the one of rank r, the least first."""
    code = np.uint32(0)
    for k in range(margins.shape[0]):
        value = margins[k]
        code = (code << np.uint32(1)) | np.uint32(value > 0)
        value = abs(value)
        margins[k] = value
        p = k
        while p > 0 and margins[order[p - 1]] > value:
            order[p] = order[p - 1]
            p -= 1
        order[p] = k
    return code


@strict_inline
def _flip(code, order, flips, out):
    """out[p] = the code with the signs flipped whose ranks are the bits of flips[p]."""
    one = np.uint32(1)
    K = order.shape[0]
    for p in range(out.shape[0]):
        mask = np.uint32(0)
        left = flips[p]
        r = 0
        while left:
            mask |= (left & one) << np.uint32(K - 1 - order[r])
            left >>= one
            r += 1
        out[p] = code ^ mask


@strict_inline
def _probe_rows(rows, signs, flips, first, last, width, out):
    K, F = signs.K, signs.P.shape[1]
    probes = flips.shape[0]
    S = np.empty((ROWS, F), np.float32)
    codes = np.empty(probes, np.uint32)
    order = np.empty(K, np.int64)
    for lo in range(first, last, ROWS):
        hi = min(lo + ROWS, last)
        _project(rows, signs.P, lo, hi, S)
        for row in range(lo, hi):
            total = S[row - lo]
            doubt = _doubt(rows, signs, row)
            for f in range(F):
                total[f] -= np.float32(signs.offset[f])
            for t in range(out.shape[0]):
                margins = total[t * K : t * K + K]
                code = _rank(margins, order)
                code = _settle(rows, signs, row, t * K, margins, doubt, code)
                _flip(code, order, flips, codes)
                store_rows(codes, probes, t, row * probes, width, out)


@strict_parallel
def probe_rows(rows, signs, flips, width, out):
    """Codes of `Rows` by `Signs`: for every table the code and those with signs flipped, in the order of `flips` (probes,) uint32.

    out: bytes (L, n * probes * width), `probes` codes per row.
    """
    n = rows.indptr.shape[0] - 1 if rows.indptr.shape[0] else rows.X.shape[0]
    tasks = min((n + ROWS - 1) // ROWS, TASKS)
    for task in prange(tasks):
        _probe_rows(rows, signs, flips, task * n // tasks, (task + 1) * n // tasks, width, out)


@inline
def project_signs(y, functions, margins):
    """margins (F,) = the first coordinates of y times functions (h, F)."""
    for f in range(functions.shape[1]):
        margins[f] = np.float32(0)
    for j in range(functions.shape[0]):
        a = y[j]
        for f in range(functions.shape[1]):
            margins[f] += a * functions[j, f]


@serial
def probe_signs(Y, functions, flips, K, out):
    """Codes out (n, L, P) uint32 by the first coordinates of rows Y: the signs of y @ functions (h, K * L), and those with signs
    flipped, in the order of `flips` (P,) uint32."""
    margins = np.empty(functions.shape[1], np.float32)
    order = np.empty(K, np.int64)
    for i in range(Y.shape[0]):
        project_signs(Y[i], functions, margins)
        for t in range(out.shape[1]):
            code = _rank(margins[t * K:t * K + K], order)
            _flip(code, order, flips, out[i, t])
