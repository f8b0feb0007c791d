"""Figures of single rows that attention needs: lengths of keys, inner products of an output and its gradient."""

import math

from numba import prange

from mongoose_nb.core.jit import parallel

BLOCK = 256


@parallel
def invert_lengths(heads, out):
    """out (B, H, T): 1 / length of every row, 1 for rows of zeros, NaN where there is one."""
    B, H, T = out.shape
    blocks = (T + BLOCK - 1) // BLOCK
    for task in prange(B * H * blocks):
        b = task // (H * blocks)
        h = task // blocks % H
        lo = task % blocks * BLOCK
        for t in range(lo, min(lo + BLOCK, T)):
            x = heads.rows[b * heads.batch + h * heads.head + t * heads.token]
            total = out.dtype.type(0)
            for e in range(x.shape[0]):
                total += x[e] * x[e]
            out[b, h, t] = 1.0 if total == 0 else 1.0 / math.sqrt(total)


@parallel
def dot_rows(first, second, out):
    """out (B, H, T): inner products of the rows of two arrays."""
    B, H, T = out.shape
    blocks = (T + BLOCK - 1) // BLOCK
    for task in prange(B * H * blocks):
        b = task // (H * blocks)
        h = task // blocks % H
        lo = task % blocks * BLOCK
        for t in range(lo, min(lo + BLOCK, T)):
            x = first.rows[b * first.batch + h * first.head + t * first.token]
            y = second.rows[b * second.batch + h * second.head + t * second.token]
            total = out.dtype.type(0)
            for e in range(x.shape[0]):
                total += x[e] * y[e]
            out[b, h, t] = total
