"""Multi-probe for SimHash: the code of a row, and those with the bits flipped whose projections are nearest to zero.

A. *Projections are float32 sums in the order of the coordinates*, not a BLAS product: the order of the probes depends on
   their sizes to the last bit, and must not depend on the batch, or on dense or sparse input. Eight rows share each pass
   over the functions. The signs are decided as in kernels.hashing, so that the first probe is the code of the row.
B. A flip costs the square of its projection (Lv et al. 2007, section 4, for hyperplanes as in FALCONN).
"""

import numpy as np
from numba import prange

from mongoose_nb.core.jit import strict_inline, strict_parallel
from mongoose_nb.kernels.hashing.codes import TASKS, store_rows
from mongoose_nb.kernels.hashing.probing import drop_set, first_set
from mongoose_nb.kernels.hashing.simhash import dot_exact, dot_exact_csr, sign_doubt

ROWS = 8


@strict_inline
def _add_four(a, b, c, d, at_a, at_b, at_c, at_d, total):
    for f in range(total.shape[0]):
        total[f] = (((total[f] + a * at_a[f]) + b * at_b[f]) + c * at_c[f]) + d * at_d[f]


@strict_inline
def _add_one(a, at_a, total):
    for f in range(total.shape[0]):
        total[f] += a * at_a[f]


@strict_inline
def _project(X, indptr, indices, values, P, lo, hi, S):
    """S[r] = row lo + r times P, each sum in the order of the coordinates; a zero adds nothing, so sparse rows agree."""
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
def _settle(X, indptr, indices, values, P, offset, row, first, gaps, doubt, code):
    """The code with those signs replaced that rounding leaves in doubt."""
    K = gaps.shape[0]
    for k in range(K):
        if not abs(gaps[k]) >= doubt:
            f = first + k
            if indptr.shape[0]:
                exact = dot_exact_csr(indices, values, indptr[row], indptr[row + 1], P, f)
            else:
                exact = dot_exact(X[row], P, f)
            bit = np.uint32(1) << np.uint32(K - 1 - k)
            code = (code | bit) if exact > offset[f] else code & ~bit
    return code


@strict_inline
def _flip_cheapest(gaps, costs, flips, heap_costs, heap_sets, codes):
    """codes[1:] from codes[0] by the cheapest sets of flips, a flip costing its gap (K,) squared."""
    K = gaps.shape[0]
    keep = min(K, codes.shape[0] - 1)  # a set with another part has at least so many cheaper ones
    held = 0
    for k in range(K):
        gap = np.float64(abs(gaps[k]))
        cost = gap * gap if gap < 1e38 else np.inf  # a sum that overflowed, or NaN
        if held == keep:
            if not cost < costs[keep - 1]:
                continue
            held -= 1
        at = held
        while at > 0 and costs[at - 1] > cost:
            costs[at], flips[at] = costs[at - 1], flips[at - 1]
            at -= 1
        costs[at], flips[at] = cost, np.uint32(1) << np.uint32(K - 1 - k)
        held += 1
    size = first_set(heap_costs, heap_sets, costs)
    for r in range(1, codes.shape[0]):
        chosen = heap_sets[0]
        size = drop_set(heap_costs, heap_sets, size, costs, keep, True)
        code = codes[0]
        for k in range(keep):
            code ^= flips[k] * np.uint32((chosen >> np.uint64(k)) & np.uint64(1))
        codes[r] = code


@strict_inline
def _simhash_probes(X, indptr, indices, values, P, offset, norm_max, offset_max, K, probes, first, last, width, out):
    F = P.shape[1]
    S = np.empty((ROWS, F), np.float32)
    codes = np.empty(probes, np.uint32)
    costs = np.empty(K, np.float64)
    flips = np.empty(K, np.uint32)
    heap_costs = np.empty(probes + 2, np.float64)
    heap_sets = np.empty(probes + 2, np.uint64)
    for lo in range(first, last, ROWS):
        hi = min(lo + ROWS, last)
        _project(X, indptr, indices, values, P, lo, hi, S)
        for row in range(lo, hi):
            total = S[row - lo]
            square = 0.0
            if indptr.shape[0]:
                terms = indptr[row + 1] - indptr[row]
                for e in range(indptr[row], indptr[row + 1]):
                    square += np.float64(values[e]) * np.float64(values[e])
            else:
                terms = X.shape[1]
                for i in range(terms):
                    square += np.float64(X[row, i]) * np.float64(X[row, i])
            doubt = sign_doubt(square, terms, norm_max, offset_max)
            for f in range(F):
                total[f] -= np.float32(offset[f])
            for t in range(out.shape[0]):
                gaps = total[t * K : t * K + K]
                code = np.uint32(0)
                nearest = np.float32(np.inf)
                for k in range(K):
                    code = (code << np.uint32(1)) | np.uint32(gaps[k] > 0)
                    nearest = min(nearest, abs(gaps[k]) if gaps[k] == gaps[k] else np.float32(-1.0))
                if not nearest >= doubt:
                    code = _settle(X, indptr, indices, values, P, offset, row, t * K, gaps, doubt, code)
                codes[0] = code
                _flip_cheapest(gaps, costs, flips, heap_costs, heap_sets, codes)
                store_rows(codes, probes, t, row * probes, width, out)


@strict_parallel
def simhash_probes(X, indptr, indices, values, P, offset, norm_max, offset_max, K, probes, width, out):
    """Codes of the rows of X (n, d), or of CSR rows where indptr is not empty: `probes` of every table, the cheapest flips first.

    P (d, F), offset (F,) float64, norm_max and offset_max as in kernels.hashing.simhash_dense. out: bytes
    (L, n * probes * width), `probes` codes per row.
    """
    n = indptr.shape[0] - 1 if indptr.shape[0] else X.shape[0]
    tasks = min((n + ROWS - 1) // ROWS, TASKS)
    for task in prange(tasks):
        _simhash_probes(X, indptr, indices, values, P, offset, norm_max, offset_max, K, probes, task * n // tasks,
                        (task + 1) * n // tasks, width, out)
