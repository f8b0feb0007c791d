"""Attention of queries, one after the other, to the keys of a cache.

A. No product goes through BLAS, and one piece of code attends for one query and for many: a query has the same bits in any call.
B. Scores and their exponentials have the precision of the arrays; a head is one task, since a query's marks follow those before it.
"""

import numpy as np
from numba import prange

from mongoose_nb.core.jit import inline, parallel, serial
from mongoose_nb.kernels.attention.tile import exp
from mongoose_nb.kernels.common.row_products import dot, multiply


@inline
def _reach(codes, own, last, n, reached):
    """reached (n,): keys whose buckets codes (n, R) share one of own (R,), of those of a round the last `last`."""
    for s in range(n):
        reached[s] = False
    for r in range(own.shape[0]):
        left = last
        for s in range(n - 1, -1, -1):
            if left == 0:
                break
            if codes[s, r] == own[r]:
                reached[s] = True
                left -= 1


@serial
def reach_row(codes, own, last, allowed):
    """allowed (H, n): keys whose buckets codes (H, C, R) share one of own (H, R), of those of a round the last `last`."""
    H, n = allowed.shape
    for h in range(H):
        _reach(codes[h], own[h], last, n, allowed[h])


@inline
def _mark(w, n, step, first, last):
    """Put `step` into first and last (n,) where the weight of a key of n is above 1 / n."""
    for s in range(n):
        if w[s] * n > 1:
            last[s] = step
            if first[s] < 0:
                first[s] = step


@serial
def mark_row(weights, step, first, last):
    """Put `step` into first and last (H, C), the first and last queries to which a key was important, for weights (H, n) above 1 / n."""
    H, n = weights.shape
    for h in range(H):
        _mark(weights[h], n, step, first[h], last[h])


@inline
def _attend(q, keys, values, found, count, scale, z, out):
    """Softmax weights z (count,) of the query q (d,) for the keys `found` (count,), and out (d,)."""
    d = q.shape[0]
    top = dot(q, keys[found[0]]) * scale
    for i in range(count):
        x = dot(q, keys[found[i]]) * scale
        z[i] = x
        top = x if x > top else top
    mass = q.dtype.type(0)
    for i in range(count):
        x = exp(z[i] - top)
        z[i] = x
        mass += x
    share = q.dtype.type(1) / mass
    for i in range(count):
        z[i] *= share
    for c in range(d):
        out[c] = 0
    whole = count - count % 4
    for i in range(0, whole, 4):
        v0, v1, v2, v3 = values[found[i]], values[found[i + 1]], values[found[i + 2]], values[found[i + 3]]
        z0, z1, z2, z3 = z[i], z[i + 1], z[i + 2], z[i + 3]
        for c in range(d):
            out[c] += z0 * v0[c] + z1 * v1[c] + z2 * v2[c] + z3 * v3[c]
    for i in range(whole, count):
        v0 = values[found[i]]
        z0 = z[i]
        for c in range(d):
            out[c] += z0 * v0[c]


@parallel
def attend_row(q, keys, values, allowed, n, scale, out, weights):
    """Softmax weights (H, n) of the queries q (H, d) for the first n keys (H, C, d) that `allowed` (H, n) marks, and out (H, d).

    Weights and output of a head without any such key are zero.
    """
    H, d = q.shape
    for h in prange(H):
        found, z = np.empty(n, np.int64), np.empty(n, q.dtype)
        count = 0
        for s in range(n):
            weights[h, s] = 0.0
            if allowed[h, s]:
                found[count] = s
                count += 1
        for c in range(d):
            out[h, c] = 0
        if count > 0:
            _attend(q[h], keys[h], values[h], found, count, q.dtype.type(scale), z, out[h])
            for i in range(count):
                weights[h, found[i]] = z[i]


@parallel
def attend_rows(q, k, v, codes, keys, values, buckets, positions, first, last, place, scale, out, weights):
    """Tokens (n, H, ...) one after the other: the query attends to the keys before it, as `attend_row` does, then its key is added.

    Parameters
    ----------
    q, k, v : (n, H, d)
    codes : (n, H, R) int32
        Buckets; with R = 0 all keys are reached.
    keys, values, buckets : (H, C, ...)
        Those of earlier tokens, to which these are added.
    positions, first, last : (H, C) int64
        Numbers of the tokens, and first and last queries to which they were important (`mark_row`).
    place : (int, int, int)
        Tokens that are kept; tokens seen; of a bucket's keys in a round, so many are reached, the last ones.
    out : (n, H, d)
        The own value where no key is reached.
    weights : (H, C) float64
        Filled with those of the last query.
    """
    n, H, d = q.shape
    R = codes.shape[2]
    kept, seen, nearest = place
    for h in prange(H):
        found, z, w = np.empty(kept + n, np.int64), np.empty(kept + n, q.dtype), np.empty(kept + n, q.dtype)
        reached = np.empty(kept + n, np.bool_)
        for s in range(kept + n):
            found[s] = s
        for i in range(n):
            m = kept + i
            count = m
            if R > 0:
                _reach(buckets[h], codes[i, h], nearest, m, reached)
                count = 0
                for s in range(m):
                    w[s] = 0
                    found[count] = s
                    count += reached[s]
            o = out[i, h]
            if count == 0:
                mark = dot(q[i, h], q[i, h])
                for c in range(d):
                    o[c] = v[i, h, c] if mark == mark else mark  # NaN stays
            else:
                _attend(q[i, h], keys[h], values[h], found, count, q.dtype.type(scale), z, o)
                for j in range(count):
                    w[found[j]] = z[j]
                _mark(w, m, seen + i, first[h], last[h])
            if i == n - 1:
                for s in range(m):
                    weights[h, s] = w[s]
            for c in range(d):
                keys[h, m, c] = k[i, h, c]
                values[h, m, c] = v[i, h, c]
            for r in range(R):
                buckets[h, m, r] = codes[i, h, r]
            positions[h, m] = seen + i
            first[h, m] = -1
            last[h, m] = -1


@serial
def unit_rows(x, out):
    """out (n, H, d): rows of length one; rows of zeros stay."""
    n, H, d = x.shape
    for i in range(n):
        for h in range(H):
            u, y = x[i, h], out[i, h]
            length = np.sqrt(dot(u, u))
            factor = x.dtype.type(1) / length if length > 0 else x.dtype.type(1)
            for c in range(d):
                y[c] = factor * u[c]


@parallel
def hash_rows(x, directions, codes):
    """Buckets codes (n, H, R) int32 of rows x (n, H, d), as `rotation_hash.hash_tokens` has them, for directions (H, d, R * C)."""
    n, H, R = codes.shape
    C = directions.shape[2] // R
    for h in prange(H):
        row, y = np.empty((1, x.shape[2]), x.dtype), np.empty((1, R * C), x.dtype)
        for i in range(n):
            row[0] = x[i, h]
            multiply(row, directions[h], y)
            for r in range(R):
                best = x.dtype.type(-1)
                place = 0
                for c in range(C):
                    a = y[0, r * C + c]
                    if abs(a) > best:
                        best = abs(a)
                        place = c if a >= 0 else c + C
                codes[i, h, r] = place
