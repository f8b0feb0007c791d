"""Cross-polytope hashing: the largest coordinate of a pseudo-random rotation, and the next largest for multi-probe.

A. *Lanes are hash functions*, not rows: 16 functions rotate the same row side by side (kernels.hadamard). A single query
   is then as fast as a batch, and rows need no transposed copy.
B. *One kernel* serves dense and sparse rows, hashing and probing: all end in the same float32 vector, hence in the same
   code. Functions are numbered f = t * K + k, group f // 16, lane f % 16.
C. A coordinate's digit is its place, plus the number of coordinates if it is negative. The last hash of a table may look
   at the first coordinates only.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import prange

from mongoose_nb.core.jit import serial, strict_inline, strict_parallel
from mongoose_nb.kernels.common.random import below, key2
from mongoose_nb.kernels.hashing.codes import TASKS, store_rows
from mongoose_nb.kernels.hashing.hadamard import LANES, rotate
from mongoose_nb.kernels.hashing.probing import cheapest_sums


class Rotations(NamedTuple):
    """The functions: feature hashing, centre, signs, and how digits make a code."""

    slot: np.ndarray  # (dim,) int32: coordinate that is added to, or empty for no feature hashing
    sign: np.ndarray  # (dim,) float32
    center: np.ndarray  # (d,) float32
    flips: np.ndarray  # (groups, rounds, d * 16) int8
    K: int
    bits: int  # of a digit
    last_bits: int  # of the last digit of a table


class Near(NamedTuple):
    """Where the nearest coordinates are looked for: values that a few more coordinates than needed are expected to exceed, per norm."""

    floor: float
    last_floor: float  # for the last hash of a table


class Group(NamedTuple):
    """Sixteen functions of a row: their rotated coordinates, and which they are."""

    block: np.ndarray  # (d * 16,) float32
    last_dim: int
    K: int
    first: int  # function
    functions: int  # of all groups


@serial
def draw_flips(key, out):  # (groups, rounds, d * 16) int8
    """Signs +1 and -1, 64 per counter."""
    flat = out.ravel()
    for i in range(0, flat.size, 64):
        bits = key2(key, i // 64)
        for j in range(min(64, flat.size - i)):
            flat[i + j] = 1 if (bits >> np.uint64(j)) & np.uint64(1) else -1


@serial
def draw_features(key, size, slot, sign):  # (dim,) int32, (dim,) float32
    """Feature hashing: a slot below `size` and a sign for every coordinate."""
    for i in range(slot.shape[0]):
        bits = key2(key, i)
        slot[i] = below(bits, size)
        sign[i] = 1.0 if bits & np.uint64(1) else -1.0


@strict_inline
def _load(rows, row, slot, sign, center, x):
    """x (d,) = row, feature-hashed where `slot` is given, less the centre, scaled where float32 might not hold its rotation.

    Returns the norm of x.
    """
    X, indptr, indices, values = rows
    x[:] = np.float32(0.0)
    if indptr.shape[0] == 0:
        if slot.shape[0]:
            for i in range(X.shape[1]):
                x[slot[i]] += sign[i] * X[row, i]
        else:
            for i in range(X.shape[1]):
                x[i] = X[row, i]
    else:
        for e in range(indptr[row], indptr[row + 1]):
            i = indices[e]
            if slot.shape[0]:
                x[slot[i]] += sign[i] * values[e]
            else:
                x[i] = values[e]
    top = np.float32(0.0)
    for i in range(x.shape[0]):
        x[i] = min(max(np.float64(x[i]) - np.float64(center[i]), -3e38), 3e38)  # finite, so that all values have an order
        top = max(top, abs(x[i]))
    if top > 0.0 and not (1e-12 < top < 1e12):
        for i in range(x.shape[0]):
            x[i] = np.float32(np.float64(x[i]) / np.float64(top))
    square = np.float32(0.0)
    for i in range(x.shape[0]):
        square += x[i] * x[i]
    return np.float32(math.sqrt(square))


@strict_inline
def _largest(block, lo, hi, best, place):
    """Update the largest absolute coordinate of every lane, and its place, by those from lo to hi."""
    i = lo
    while i + 8 <= hi:
        v = block[i * LANES : (i + 8) * LANES]
        for j in range(LANES):
            top, where = best[j], place[j]
            for k in range(8):
                a = abs(v[k * LANES + j])
                larger = a > top
                top = a if larger else top
                where = np.int32(i + k) if larger else where
            best[j], place[j] = top, where
        i += 8
    while i < hi:
        for j in range(LANES):
            a = abs(block[i * LANES + j])
            if a > best[j]:
                best[j], place[j] = a, np.int32(i)
        i += 1


@strict_inline
def _hash_group(group, best, place, early, digits):
    """Digits of the functions first to first + 16, as far as there are so many."""
    block, last_dim, K, first, functions = group
    d = block.shape[0] // LANES
    best[:] = np.float32(0.0)
    place[:] = 0
    _largest(block, 0, last_dim, best, place)
    early[:] = place
    _largest(block, last_dim, d, best, place)
    for j in range(min(LANES, functions - first)):
        f = first + j
        i = place[j]
        size = d
        if (f + 1) % K == 0:
            i = early[j]
            size = last_dim
        digits[f] = i + size if block[i * LANES + j] < 0 else i


@strict_inline
def _sort(keys, n):
    """Sort keys[:n], falling (insertion sort, with wider steps before it where there are many)."""
    step = 1
    while step < n // 40:
        step = 3 * step + 1
    while step:
        for e in range(step, n):
            key = keys[e]
            at = e
            while at >= step and keys[at - step] < key:
                keys[at] = keys[at - step]
                at -= step
            keys[at] = key
        step //= 3


@strict_inline
def _rank_group(group, floor, last_floor, near, bits_of_near, place, keys, costs, digits):
    """Of the functions first to first + 16: the first costs.shape[1] digits by cost, and the costs, (largest - signed value)^2.

    Signed, a coordinate can be taken for itself or for its negative, so the order is that of the absolute values falling
    and then that of the negatives, absolute values rising. `floor` and `last_floor`: values that a few more coordinates
    than needed are expected to exceed; the others are left out of the sorting.
    """
    block, last_dim, K, first, functions = group
    d = block.shape[0] // LANES
    probes = costs.shape[1]
    for j in range(min(LANES, functions - first)):
        f = first + j
        size = last_dim if (f + 1) % K == 0 else d
        keep = min(probes, size)
        bound = last_floor if size < d else floor
        held = 0
        while held < keep:
            held = 0
            for i in range(size):
                place[held] = i
                held += abs(block[i * LANES + j]) > bound
            bound = bound * np.float32(0.5) if bound > 1e-30 else np.float32(-1.0)
        for e in range(held):
            # An absolute value in its bits has the order of its bits: one integer holds it and, below, the place.
            near[0] = abs(block[place[e] * LANES + j])
            keys[e] = (np.uint64(bits_of_near[0]) << np.uint64(32)) | np.uint64(0xFFFFFFFF - place[e])
        _sort(keys, held)
        top = abs(block[np.int64(0xFFFFFFFF - (keys[0] & np.uint64(0xFFFFFFFF))) * LANES + j])
        for r in range(min(probes, 2 * size)):
            flipped = r >= size
            at = 2 * size - 1 - r if flipped else r
            i = np.int64(0xFFFFFFFF - (keys[at] & np.uint64(0xFFFFFFFF)))
            value = block[i * LANES + j]
            gap = np.float64(top) + np.float64(abs(value)) if flipped else np.float64(top) - np.float64(abs(value))
            costs[f, r] = gap * gap
            digits[f, r] = i + size if (value < 0) != flipped else i


@strict_inline
def _combine(t, K, bits, last_bits, costs, digits, integers, numbers, both):
    """both[0, r], the cheapest combinations of the digits of table t: one list after the other is added."""
    probes = both.shape[1]
    following, first, second = integers[0], integers[1], integers[2]
    candidates, sums, total = numbers[0], numbers[1], numbers[2]
    codes, earlier = both[0], both[1]
    f = t * K
    shift = np.uint32(bits if K > 1 else last_bits)
    n = min(probes, 1 << np.int64(shift))
    for r in range(n):
        sums[r] = costs[f, r]
        codes[r] = digits[f, r]
    for k in range(1, K):
        shift = np.uint32(bits if k < K - 1 else last_bits)
        wide = min(probes, 1 << np.int64(shift))
        n = cheapest_sums(costs[f + k], wide, sums, n, probes, following, candidates, total, second, first)
        earlier[:] = codes
        for r in range(n):
            sums[r] = total[r]
            codes[r] = (earlier[first[r]] << shift) | np.uint32(digits[f + k, second[r]])


@strict_inline
def _cross_polytope(rows, rotations, near_values, probes, first, last, width, out):
    slot, sign, center, flips, K, bits, last_bits = rotations
    floor, last_floor = near_values
    d = center.shape[0]
    tables = out.shape[0]
    functions = tables * K
    last_dim = 1 << (last_bits - 1)
    x = np.empty(d, np.float32)
    block = np.empty(d * LANES, np.float32)
    scratch = np.empty(d * LANES, np.float32)
    best = np.empty(LANES, np.float32)
    early = np.empty(LANES, np.int32)
    place = np.empty(max(LANES, d + 1), np.int32)
    keys = np.empty(d, np.uint64)
    near = np.empty(1, np.float32)
    bits_of_near = near.view(np.uint32)
    costs = np.empty((functions if probes > 1 else 0, probes), np.float64)
    digits = np.empty((functions, probes), np.int32)
    integers = np.empty((3, probes), np.int64)
    numbers = np.empty((3, probes), np.float64)
    codes = np.empty((2, probes), np.uint32)
    for row in range(first, last):
        norm = _load(rows, row, slot, sign, center, x)
        for g in range(flips.shape[0]):
            rotate(x, flips[g], block, scratch)
            group = Group(block, last_dim, K, g * LANES, functions)
            if probes == 1:
                _hash_group(group, best, place[:LANES], early, digits[:, 0])
            else:
                _rank_group(group, floor * norm, last_floor * norm, near, bits_of_near, place, keys, costs, digits)
        for t in range(tables):
            if probes == 1:
                code = np.uint32(0)
                for k in range(K):
                    shift = np.uint32(bits if k < K - 1 else last_bits)
                    code = (code << shift) | np.uint32(digits[t * K + k, 0])
                codes[0, 0] = code
            else:
                _combine(t, K, bits, last_bits, costs, digits, integers, numbers, codes)
            store_rows(codes[0], probes, t, row * probes, width, out)


@strict_parallel
def cross_polytope(rows, rotations, near, probes, width, out):
    """Codes of `rows` (`codes.Rows`), the `probes` first of every table.

    rotations : Rotations; near : Near. out: bytes (L, n * probes * width), `probes` codes per row.
    """
    n = rows.indptr.shape[0] - 1 if rows.indptr.shape[0] else rows.X.shape[0]
    tasks = min(n, TASKS)
    for task in prange(tasks):
        _cross_polytope(rows, rotations, near, probes, task * n // tasks, (task + 1) * n // tasks, width, out)
