"""SimHash and DWTA: rows in, table codes out.

Every kernel writes `out`, (L, n): the codes of one table lie together, as the tables want them. Functions are numbered
f = t * K + k (table t, k-th hash), and the first hash of a table takes the most significant digits of its code. A code
takes `width` = 1, 2 or 4 bytes; `out` comes as bytes, (L, n * width), so that one compiled kernel serves all three.

A. *Signs are decided, not hoped for.* A projection near zero has a sign that depends on the order of summation, hence
   on the BLAS, on the number of rows in the call, and on dense or sparse input. So the fast sum only decides where it
   exceeds a bound on its own rounding error; the few others (1 in 20,000 at 128 coordinates) are summed again in
   float64, in the order of the coordinates. Products of two float32 are exact in float64, so fused and unfused code
   agree too. The codes are then those of one definition for every path; padding all blocks to one shape, the
   alternative, only serves one BLAS.
B. *The dense product is made transposed*, functions by rows of X: the packing of signs then runs along rows of X, which
   vectorises, and writes each table's codes in order.
C. *DWTA takes 64 rows at a time through a transposed block* that stays in the first-level cache, so that the argmax of
   a bin is eight vector compares for 64 rows and no gather.
D. *A centre never touches sparse rows.* SimHash compares with the projection of the centre; DWTA keeps one row that
   holds the negative centre and puts the stored entries in and out.
"""

import math

import numpy as np
from numba import prange

from mongoose_nb.core.jit import inline, parallel, serial, strict
from mongoose_nb.kernels.common.random import below, key2, mix64
from mongoose_nb.kernels.hashing.codes import store_rows, store_tables
from mongoose_nb.kernels.hashing.densify import fill_empty

BLOCK = 256  # rows of one matrix product; 450 functions x 256 rows fit the second-level cache
LANES = 64  # rows of one transposed block
TASKS = 128  # pieces of a call where each needs its own scratch; rows do not depend on each other
_UNIT = 2.0**-24  # rounding unit of float32
_TINY = 2.0**-149  # its smallest step


# --- drawing the functions --------------------------------------------------------------------------------------------


@serial
def draw_gaussian(key, out):  # (n, m) float32
    """Standard normal numbers, two per counter (Box-Muller)."""
    flat = out.ravel()
    for i in range(0, flat.size, 2):
        a = key2(key, i)
        radius = math.sqrt(-2.0 * math.log(((a >> np.uint64(11)) + np.uint64(1)) * 2.0**-53))
        angle = 2.0 * math.pi * ((mix64(a) >> np.uint64(11)) * 2.0**-53)
        flat[i] = radius * math.cos(angle)
        if i + 1 < flat.size:
            flat[i + 1] = radius * math.sin(angle)


@serial
def draw_choices(key, n, out):  # (rows, take) int32
    """Each row: `take` different integers below n in random order (the first steps of a Fisher-Yates shuffle)."""
    rows, take = out.shape
    pool = np.empty(n, np.int32)
    for row in range(rows):
        row_key = key2(key, row)
        for i in range(n):
            pool[i] = i
        for i in range(take):
            j = i + below(key2(row_key, i), n - i)
            pool[i], pool[j] = pool[j], pool[i]
            out[row, i] = pool[i]


# --- SimHash ----------------------------------------------------------------------------------------------------------


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


# --- DWTA -------------------------------------------------------------------------------------------------------------


@inline
def _dwta_dense(X, center, index, missing, bits, K, key, lanes, first, last, width, out):
    n, d = X.shape
    bins, size = index.shape
    shift = np.uint32(bits)
    T = np.zeros((d, lanes), np.float32)
    codes = np.empty((bins, lanes), np.int32)
    best = np.empty(lanes, np.float32)
    packed = np.empty(lanes, np.uint32)
    for block in range(first, last):
        lo = block * lanes
        rows = min(lanes, n - lo)
        for r in range(rows):
            if missing:
                for i in range(d):
                    value = X[lo + r, i]
                    T[i, r] = value - center[i] if value != 0 else np.float32(-np.inf)
            else:
                for i in range(d):
                    T[i, r] = X[lo + r, i] - center[i]
        for b in range(bins):
            code = codes[b]
            top = T[index[b, 0]]
            for r in range(lanes):
                best[r] = top[r]
                code[r] = -1 if missing and top[r] == -np.inf else 0
            for j in range(1, size):
                other = T[index[b, j]]
                for r in range(lanes):
                    larger = other[r] > best[r]
                    best[r] = other[r] if larger else best[r]
                    code[r] = j if larger else code[r]
        if missing:
            for r in range(lanes):
                packed[r] = 0
            for b in range(bins):
                for r in range(lanes):
                    packed[r] |= np.uint32(codes[b, r] < 0)
            for r in range(rows):
                if packed[r]:
                    fill_empty(codes, r, key)
        for t in range(out.shape[0]):
            for r in range(lanes):
                packed[r] = 0
            for b in range(t * K, t * K + K):
                for r in range(lanes):
                    digit = codes[b, r]
                    packed[r] = (packed[r] << shift) | np.uint32(digit if digit >= 0 else -2 - digit)
            store_rows(packed, rows, t, lo, width, out)


@parallel
def dwta_dense(X, center, index, missing, bits, K, key, width, out):  # (n, d), (d,), (K * L, m) int32
    """Codes of dense rows. Bin b reads the coordinates index[b]; its code is the position of the largest."""
    lanes = LANES if X.shape[1] <= 512 else LANES // 4
    blocks = (X.shape[0] + lanes - 1) // lanes
    tasks = min(blocks, TASKS)
    for task in prange(tasks):
        _dwta_dense(X, center, index, missing, bits, K, key, lanes, task * blocks // tasks,
                    (task + 1) * blocks // tasks, width, out)


@inline
def _dwta_csr(indptr, indices, values, center, index, slots, base, missing, bits, K, key, first, last, width, out):
    d = center.shape[0]
    bins, size = index.shape
    shift = np.uint32(bits)
    mask = (1 << bits) - 1
    x = np.empty(d, np.float32)
    for i in range(d):
        x[i] = np.float32(0.0) - center[i]
    codes = np.empty((bins, 1), np.int32)
    best = np.empty(bins, np.float32)
    packed = np.empty(out.shape[0], np.uint32)
    for row in range(first, last):
        for b in range(bins):
            codes[b, 0] = -1
            best[b] = -np.inf
        for e in range(indptr[row], indptr[row + 1]):
            if values[e] == 0:
                continue
            i = indices[e]
            value = values[e] - center[i]
            x[i] = value
            for p in range(slots.shape[1]):
                slot = slots[i, p]
                if slot < 0:
                    continue
                b = slot >> bits
                j = slot & mask
                if value > best[b] or (value == best[b] and j < codes[b, 0]):
                    best[b] = value
                    codes[b, 0] = j
        if missing:
            fill_empty(codes, 0, key)
        else:
            for b in range(bins):
                i = index[b, base[b]]
                absent = np.float32(0.0) - center[i]
                if codes[b, 0] < 0:
                    codes[b, 0] = base[b]
                elif best[b] > absent:
                    pass
                elif best[b] < absent and x[i] == absent:
                    codes[b, 0] = base[b]
                else:
                    top = 0
                    for j in range(1, size):
                        if x[index[b, j]] > x[index[b, top]]:
                            top = j
                    codes[b, 0] = top
        for e in range(indptr[row], indptr[row + 1]):
            i = indices[e]
            x[i] = np.float32(0.0) - center[i]
        for t in range(out.shape[0]):
            code = np.uint32(0)
            for b in range(t * K, t * K + K):
                digit = codes[b, 0]
                code = (code << shift) | np.uint32(digit if digit >= 0 else -2 - digit)
            packed[t] = code
        store_tables(packed, row, width, out)


@parallel
def dwta_csr(indptr, indices, values, center, index, slots, base, missing, bits, K, key, width, out):
    """Codes of sparse rows, equal to those of the same rows made dense.

    slots[i], (n_permutations,): where coordinate i stands, bin * 2**bits + position, or -1. base[b]: the code of bin b
    for a row without entries. Where zeros are values, a bin is settled without reading it if its largest stored entry
    beats all absent ones, or if the best absent one is indeed absent and beats the stored ones; otherwise the bin is
    read.
    """
    n = indptr.shape[0] - 1
    tasks = min(n, TASKS)
    for task in prange(tasks):
        _dwta_csr(indptr, indices, values, center, index, slots, base, missing, bits, K, key, task * n // tasks,
                  (task + 1) * n // tasks, width, out)
