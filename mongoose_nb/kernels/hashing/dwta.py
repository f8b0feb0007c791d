"""DWTA: rows in, table codes out.

A. *Dense rows go 64 at a time through a transposed block* that stays in the first-level cache, so that the argmax of a bin is eight vector
   compares for 64 rows and no gather.
B. *Sparse rows keep one dense row* that holds the negative centre; the stored entries are put in and taken out again.
"""

from typing import NamedTuple

import numpy as np
from numba import prange

from mongoose_nb.core.jit import inline, parallel
from mongoose_nb.kernels.hashing.codes import TASKS, store_rows, store_tables
from mongoose_nb.kernels.hashing.densify import fill_empty

LANES = 64  # rows of one transposed block


class Bins(NamedTuple):
    """The functions, as sparse rows need them."""

    center: np.ndarray  # (d,) float32
    index: np.ndarray  # (K * L, m) int32: the coordinates that a bin reads
    slots: np.ndarray  # (d, permutations) int32: where coordinate i is read, bin * 2**bits + position, or -1
    base: np.ndarray  # (K * L,) int32: the code of a bin for a row without entries
    missing: bool  # whether zeros are no candidates
    bits: int  # of a hash
    K: int
    key: int  # uint64, of the donors of empty bins


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
def _dwta_csr(indptr, indices, values, functions, first, last, width, out):
    center, index, slots, base, missing, bits, K, key = functions
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
def dwta_csr(indptr, indices, values, functions, width, out):
    """Codes of sparse rows, equal to those of the same rows made dense.

    Where zeros are values, a bin is settled without reading it if its largest stored entry
    beats all absent ones, or if the best absent one is indeed absent and beats the stored ones; otherwise the bin is
    read.
    """
    n = indptr.shape[0] - 1
    tasks = min(n, TASKS)
    for task in prange(tasks):
        _dwta_csr(indptr, indices, values, functions, task * n // tasks, (task + 1) * n // tasks, width, out)
