"""What a tile of queries against a run of sorted keys needs, for every attention kernel: gathering, masking, exponentials.

A. A masked score is `MASKED`, finite, so that no difference of two of them is a NaN; its weight is set to zero by comparison, not by
   underflow.
B. A query's own key scores `OWN`, whatever the product: larger than any masked score and smaller than any other one, so a token
   attends to itself where there is nothing else (Reformer, section 2). It is a constant: no gradient passes through it.
"""

import math

import numpy as np
from numba.core import types
from numba.extending import overload

from mongoose_nb.kernels._jit import inline
from mongoose_nb.kernels.fastmath import exp32

MASKED = -1e30
OWN = -1e5
#: scores below are masked
HALF = -1e29


def exp(x):
    """exp(x) in the precision of x."""
    return math.exp(x)


@overload(exp, inline="never", jit_options={"fastmath": True})
def _exp(x):
    if x == types.float32:
        return lambda x: exp32(x)
    return lambda x: math.exp(x)


@inline
def gather(rows, base, step, tokens, scale, out):
    """out[i] = scale * rows[base + step * tokens[i]]."""
    for i in range(tokens.shape[0]):
        row = base + step * tokens[i]
        for e in range(rows.shape[1]):
            out[i, e] = scale * rows[row, e]


@inline
def gather_scaled(rows, base, step, tokens, scales, out):
    """out[i] = scales[tokens[i]] * rows[base + step * tokens[i]]."""
    for i in range(tokens.shape[0]):
        row = base + step * tokens[i]
        scale = scales[tokens[i]]
        for e in range(rows.shape[1]):
            out[i, e] = scale * rows[row, e]


@inline
def mask_row(s, lo, hi, tokens, query, own, causal, across):
    """Mask what the interval does not: a query's own key at place `own` (-1: none), and with `across` by the position of every key."""
    if across:
        if causal:
            for j in range(lo, hi):
                s[j] = MASKED if tokens[j] > query else s[j]
        if own >= 0:
            for j in range(lo, hi):
                s[j] = OWN if tokens[j] == query else s[j]
    elif own >= 0:
        s[own] = OWN


@inline
def mask_seen(s, lo, hi, slots, first, count):
    """Mask the keys that an earlier round has reached: those whose place there lies in the query's interval there."""
    first = np.uint32(first)
    count = np.uint32(count)
    for j in range(lo, hi):
        s[j] = MASKED if np.uint32(slots[j]) - first < count else s[j]


@inline
def top_of(s, lo, hi):
    """The largest score."""
    top = s[lo] if hi > lo else s.dtype.type(MASKED)
    for j in range(lo, hi):
        top = s[j] if s[j] > top else top
    return top


@inline
def weigh(s, lo, hi, shift):
    """s[j] = exp(s[j] - shift) for lo <= j < hi, zero elsewhere; returns the sum."""
    total = s.dtype.type(0)
    zero = s.dtype.type(0)
    s[:lo] = zero
    s[hi:] = zero
    for j in range(lo, hi):
        p = exp(s[j] - shift)
        p = p if s[j] > HALF else zero
        s[j] = p
        total += p
    return total
