"""Attention of one query a head to the keys of a cache. No product goes through BLAS: a query has the same bits in any call."""

import math

from mongoose_nb.core.jit import serial


@serial
def attend_row(q, keys, values, allowed, n, scale, out, weights):
    """Softmax weights (H, n) of the queries q (H, d) for the first n keys (H, C, d) that `allowed` (H, n) marks, and out (H, d).

    Weights and output of a head without any such key are zero.
    """
    H, d = q.shape
    for h in range(H):
        top = -math.inf
        w = weights[h]
        for s in range(n):
            total = 0.0
            if allowed[h, s]:
                for c in range(d):
                    total += q[h, c] * keys[h, s, c]
                total *= scale
                top = max(top, total)
            w[s] = total
        mass = 0.0
        for s in range(n):
            w[s] = math.exp(w[s] - top) if allowed[h, s] else 0.0
            mass += w[s]
        for s in range(n):
            if w[s] > 0:
                w[s] /= mass
                for c in range(d):
                    out[h, c] += w[s] * values[h, s, c]
