"""p-stable hashing: projections rounded down to slots, the slots of a table folded into one code, and their neighbours.

A. *Projections are sums in float64, in the order of the coordinates*, rows by rows, so that a slot depends on nothing but
   the row. Products of two float32 are exact, so each sum has one value. Eight rows share each pass over the functions.
B. *Slots are integers without bounds; a code has few bits.* Each slot is mixed with the key of its function, the mixed
   numbers are added, and the sum is mixed again. Another slot then costs one subtraction and one addition, and two lists
   of slots that differ share a code with probability 2^-bits.
C. *Probing* (Lv et al. 2007, section 4): moving to the slot below or above costs the squared distance to the wall between.
   Of the 2 K moves of a table, sets in increasing order of cost; those that move a function both ways are passed over.
"""

import math

import numpy as np
from numba import prange

from mongoose_nb.core.jit import serial, strict_inline, strict_parallel
from mongoose_nb.kernels.common.random import key2, mix64
from mongoose_nb.kernels.hashing.codes import TASKS, store_rows
from mongoose_nb.kernels.hashing.probing import drop_set, first_set

ROWS = 8


@serial
def draw_offsets(key, out):  # (F,) float64
    """Uniform numbers in [0, 1)."""
    for f in range(out.shape[0]):
        out[f] = (key2(key, f) >> np.uint64(11)) * 2.0**-53


@strict_inline
def _add_row(value, functions, total):
    for f in range(total.shape[0]):
        total[f] += value * np.float64(functions[f])


@strict_inline
def _project(X, indptr, indices, values, P, offset, lo, hi, S):
    """S[r] = offset + row lo + r times P."""
    for row in range(lo, hi):
        S[row - lo] = offset
    if indptr.shape[0]:
        for row in range(lo, hi):
            for e in range(indptr[row], indptr[row + 1]):
                _add_row(np.float64(values[e]), P[indices[e]], S[row - lo])
    else:
        for i in range(X.shape[1]):
            for row in range(lo, hi):
                _add_row(np.float64(X[row, i]), P[i], S[row - lo])


@strict_inline
def _slot(value):
    """The slot below a number, as far as int64 reaches."""
    return np.int64(math.floor(min(max(value, -9e18), 9e18)))


@strict_inline
def _part(key, f, slot):
    return mix64(key2(key, f) ^ np.uint64(slot))


@strict_inline
def _probe(at, key, first, bits, costs, moves, heap_costs, heap_sets, codes):
    """codes: that of the slots of `at` (K,), then those of the cheapest moves to neighbouring slots."""
    K = at.shape[0]
    probes = codes.shape[0]
    down = np.uint64(64 - bits)
    base = np.uint64(0)
    for k in range(K):
        base += _part(key, first + k, _slot(at[k]))
    codes[0] = np.uint32(mix64(base) >> down)
    if probes == 1:
        return
    for k in range(K):
        below = at[k] - math.floor(at[k])
        for step in range(2):
            gap = below if step == 0 else 1.0 - below
            cost = gap * gap
            place = 2 * k + step
            while place > 0 and costs[place - 1] > cost:
                costs[place], moves[place] = costs[place - 1], moves[place - 1]
                place -= 1
            costs[place], moves[place] = cost, 2 * k + step
    size = first_set(heap_costs, heap_sets, costs)
    held, taken = 1, 0
    while held < probes and size > 0 and taken < heap_sets.shape[0] - 2:
        chosen = heap_sets[0]
        total = base
        moved = np.uint64(0)
        valid = True
        for place in range(2 * K):
            if (chosen >> np.uint64(place)) & np.uint64(1):
                k = moves[place] >> 1
                bit = np.uint64(1) << np.uint64(k)
                valid = valid and not moved & bit
                moved |= bit
                slot = _slot(at[k])
                total -= _part(key, first + k, slot)
                total += _part(key, first + k, slot + (1 if moves[place] & 1 else -1))
        # Only the last part of a set on the heap can be at odds with the others, so the set with the next one instead may be valid.
        size = drop_set(heap_costs, heap_sets, size, costs, 2 * K, valid)
        if valid:
            taken += 1
            held = _add_code(np.uint32(mix64(total) >> down), held, codes)
    code = np.uint32(0)
    while held < probes:  # so few codes, or so few bits, that the moves do not reach all: any others
        held = _add_code(code, held, codes)
        code += np.uint32(1)


@strict_inline
def _add_code(code, held, codes):
    for r in range(held):
        if codes[r] == code:
            return held
    codes[held] = code
    return held + 1


@strict_inline
def _pstable(rows, P, offset, key, K, bits, probes, first, last, width, out):
    X, indptr, indices, values = rows
    S = np.empty((ROWS, P.shape[1]), np.float64)
    codes = np.empty(probes, np.uint32)
    costs = np.empty(2 * K, np.float64)
    moves = np.empty(2 * K, np.int64)
    room = 1 if probes == 1 else 4 * probes + 66
    heap_costs = np.empty(room, np.float64)
    heap_sets = np.empty(room, np.uint64)
    for lo in range(first, last, ROWS):
        hi = min(lo + ROWS, last)
        _project(X, indptr, indices, values, P, offset, lo, hi, S)
        for row in range(lo, hi):
            for t in range(out.shape[0]):
                _probe(S[row - lo, t * K : t * K + K], key, t * K, bits, costs, moves, heap_costs, heap_sets, codes)
                store_rows(codes, probes, t, row * probes, width, out)


@strict_parallel
def pstable(rows, P, offset, key, K, bits, probes, width, out):
    """Codes of `rows` (`codes.Rows`): `probes` of every table.

    P (d, F) float32 and offset (F,) float64, in widths of a slot. out: bytes (L, n * probes * width), `probes` codes per row.
    """
    n = rows.indptr.shape[0] - 1 if rows.indptr.shape[0] else rows.X.shape[0]
    tasks = min((n + ROWS - 1) // ROWS, TASKS)
    for task in prange(tasks):
        _pstable(rows, P, offset, key, K, bits, probes, task * n // tasks, (task + 1) * n // tasks, width, out)
