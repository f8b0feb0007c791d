"""Layer normalisation (Ba, Kiros and Hinton, 2016): rows to mean 0 and variance 1, then a gain and a bias for every column.

A. Two passes over a row that is in cache: mean, then squares of what is left. One pass with sums of squares loses digits where the mean
   is large.
B. Gradients of gain and bias are summed by blocks of rows whose number the number of rows decides, then in order: the same bits for any
   number of threads.
C. Nothing is re-ordered (no fastmath): Numba compiles the body of a parallel loop once for the process that compiles it and once for the
   cache, and sums that may be re-ordered came out with other last bits in the first process of a machine.
D. Constants come in the arrays' precision (`one` is 1): a literal would turn float32 loops into float64 ones.
"""

import numpy as np
from numba import prange

from mongoose_nb.core.jit import strict_parallel

BLOCK = 128


def count_blocks(n):
    """Blocks of rows that sum gradients of gain and bias."""
    return max(1, min(16, n // BLOCK))


@strict_parallel
def layer_norm(x, gain, bias, eps, one, normal, inverse, out):
    """out = normal * gain + bias, normal = (x - mean) * inverse; x, normal, out (n, d), inverse (n,)."""
    n, d = x.shape
    share = one / x.dtype.type(d)
    for i in prange(n):
        total = one - one
        for j in range(d):
            total += x[i, j]
        mean = total * share
        square = one - one
        for j in range(d):
            square += (x[i, j] - mean) * (x[i, j] - mean)
        scale = one / np.sqrt(square * share + eps)
        inverse[i] = scale
        for j in range(d):
            v = (x[i, j] - mean) * scale
            normal[i, j] = v
            out[i, j] = v * gain[j] + bias[j]


@strict_parallel
def layer_norm_backward(g, gain, normal, inverse, one, parts, dx):
    """dx (n, d) from g = d loss / d out; parts (blocks, 2, d): sums of g * normal and of g over every block of rows."""
    n, d = g.shape
    share = one / g.dtype.type(d)
    blocks = parts.shape[0]
    for b in prange(blocks):
        for j in range(d):
            parts[b, 0, j] = one - one
            parts[b, 1, j] = one - one
        for i in range(b * n // blocks, (b + 1) * n // blocks):
            first, second = one - one, one - one
            for j in range(d):
                v = g[i, j] * gain[j]
                first += v
                second += v * normal[i, j]
            first *= share
            second *= share
            for j in range(d):
                dx[i, j] = (g[i, j] * gain[j] - first - normal[i, j] * second) * inverse[i]
                parts[b, 0, j] += g[i, j] * normal[i, j]
                parts[b, 1, j] += g[i, j]
