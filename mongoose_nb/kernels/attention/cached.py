"""Attention of one query a head to the keys of a cache. No product goes through BLAS: a query has the same bits in any call."""

import math

import numpy as np

from mongoose_nb.core.jit import serial


@serial
def reach_row(codes, own, last, allowed):
    """allowed (H, n): keys whose buckets codes (H, C, R) share one of own (H, R), of those of a round the last `last`."""
    H, n = allowed.shape
    for h in range(H):
        for s in range(n):
            allowed[h, s] = False
        for r in range(own.shape[1]):
            left = last
            for s in range(n - 1, -1, -1):
                if left == 0:
                    break
                if codes[h, s, r] == own[h, r]:
                    allowed[h, s] = True
                    left -= 1


@serial
def mark_row(weights, step, first, last):
    """Put `step` into first and last (H, C), the first and last queries to which a key was important, for weights (H, n) above 1 / n."""
    H, n = weights.shape
    for h in range(H):
        for s in range(n):
            if weights[h, s] * n > 1:
                last[h, s] = step
                if first[h, s] < 0:
                    first[h, s] = step


@serial
def attend_row(q, keys, values, allowed, n, scale, out, weights):
    """Softmax weights (H, n) of the queries q (H, d) for the first n keys (H, C, d) that `allowed` (H, n) marks, and out (H, d).

    Weights and output of a head without any such key are zero.
    """
    H, d = q.shape
    zero = q.dtype.type(0)  # sums in the precision of the arrays: a literal would make them float64
    found = np.empty(n, np.int64)
    for h in range(H):
        w = weights[h]
        count = 0
        for s in range(n):
            w[s] = 0.0
            found[count] = s
            count += allowed[h, s]
        top = -math.inf
        for i in range(count):
            s = found[i]
            total = zero
            for c in range(d):
                total += q[h, c] * keys[h, s, c]
            w[s] = total * scale
            top = max(top, w[s])
        mass = 0.0
        for i in range(count):
            s = found[i]
            w[s] = math.exp(w[s] - top)
            mass += w[s]
        for i in range(count):
            s = found[i]
            w[s] /= mass
            share = q.dtype.type(w[s])
            for c in range(d):
                out[h, c] += share * values[h, s, c]
