"""What a tile of queries against a run of keys needs, for every attention kernel: gathering rows, masking, exponentials.

A. Loops run from 0 over a slice, never from `lo` to `hi`: a start that may be negative, for all the compiler knows, costs the
   vectoriser its work (0.3 ns an exponential or 3.3).
B. A masked score is `MASKED`, finite, so that no difference of two of them is a NaN; its weight is set to zero by comparison, not by
   underflow.
C. A query's own key scores `OWN`, whatever the product: larger than any masked score and smaller than any other one, so a token
   attends to itself where there is nothing else (Reformer, section 2). It is a constant: no gradient passes through it.
"""

import math
from typing import NamedTuple

import numpy as np
from numba.core import types
from numba.extending import overload

from mongoose_nb.kernels._jit import inline
from mongoose_nb.kernels.fastmath import exp32

MASKED = -1e30
OWN = -1e5
#: scores below are masked
HALF = -1e29


class Heads(NamedTuple):
    """An array (batch, heads, tokens, d), whatever its layout: token t of head h in sequence b is row b * batch + h * head + t * token."""

    rows: np.ndarray  # (n, d)
    batch: int
    head: int
    token: int


def exp(x):
    """exp(x) in the precision of x."""
    return math.exp(x)


@overload(exp, inline="never", jit_options={"fastmath": True})
def _exp(x):
    if x == types.float32:
        return lambda x: exp32(x)
    return lambda x: math.exp(x)


@inline
def gather(heads, base, tokens, scale, out):
    """out[i] = scale * the row of tokens[i]; `base` is the row of token 0."""
    rows = heads.rows
    for i in range(tokens.shape[0]):
        x = rows[base + heads.token * tokens[i]]
        y = out[i]
        for e in range(x.shape[0]):
            y[e] = scale * x[e]


@inline
def gather_scaled(heads, base, tokens, scales, out):
    """out[i] = scales[tokens[i]] * the row of tokens[i]."""
    rows = heads.rows
    for i in range(tokens.shape[0]):
        x = rows[base + heads.token * tokens[i]]
        y = out[i]
        scale = scales[tokens[i]]
        for e in range(x.shape[0]):
            y[e] = scale * x[e]


@inline
def add_rows(part, out):
    """out += part, for the first rows of `out`."""
    for i in range(part.shape[0]):
        x = part[i]
        y = out[i]
        for e in range(x.shape[0]):
            y[e] += x[e]


@inline
def mask_own(s, tokens, query):
    """The query's own key, wherever it is, scores OWN."""
    for j in range(s.shape[0]):
        s[j] = OWN if tokens[j] == query else s[j]


@inline
def mask_later(s, tokens, query):
    """Mask the keys after the query."""
    for j in range(s.shape[0]):
        s[j] = MASKED if tokens[j] > query else s[j]


@inline
def mask_seen(s, slots, first, count):
    """Mask the keys that an earlier round has reached: those whose place there lies in the query's interval there."""
    first = np.uint32(first)
    count = np.uint32(count)
    for j in range(s.shape[0]):
        s[j] = MASKED if np.uint32(slots[j]) - first < count else s[j]


@inline
def top_of(s):
    """The largest score, MASKED where there is none."""
    top = s.dtype.type(MASKED)
    for j in range(s.shape[0]):
        top = s[j] if s[j] > top else top
    return top


@inline
def weigh(s, shift):
    """s = exp(s - shift), zero where masked; returns the sum."""
    zero = s.dtype.type(0)
    total = zero
    for j in range(s.shape[0]):
        p = exp(s[j] - shift)
        p = p if s[j] > HALF else zero
        s[j] = p
        total += p
    return total


@inline
def weigh_slope(s, slope, shift, mean):
    """s = exp(s - shift), zero where masked; slope = s * (slope - mean)."""
    zero = s.dtype.type(0)
    for j in range(s.shape[0]):
        p = exp(s[j] - shift)
        p = p if s[j] > HALF else zero
        s[j] = p
        slope[j] = p * (slope[j] - mean)
