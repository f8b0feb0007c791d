"""A tile of queries against a run of keys: what every attention kernel does with one.

A. *Lanes are queries.* Scores lie as (keys, LANES): maxima, sums, masks and exponentials run over 16 queries side by side, without
   horizontal sums, and however few keys a query has. Along the keys, rows of 10 to 100 scores spent most of their time in the scalar
   remainder of the vector loop.
B. Products are taken as K (w, d) @ Q' (d, LANES) and S' @ V: BLAS multiplies small matrices at 50 to 57 billion a second like this on
   one thread, at 33 as Q @ K' (AVX-512, products of 32 x 96 x 64).
C. Loops run from 0 to a constant, or over a slice, never from `lo` to `hi`: a start that may be negative, for all the compiler knows,
   costs the vectoriser its work (0.3 ns an exponential or 3.3).
D. A masked score is `MASKED`, finite, so that no difference of two of them is a NaN; its weight is zero by comparison, not by
   underflow. Lanes without a query have an empty interval of keys.
E. A query's own key scores `OWN`, whatever the product: larger than any masked score and smaller than any other one, so a token
   attends to itself where there is nothing else (Reformer, section 2). It is a constant: no gradient passes through it.
F. Log-partitions are kept as two numbers, largest score and sum of exponentials. Their sum -1e5 + log 3 would lose 0.4 % of a weight
   in float32.
"""

import math
from typing import NamedTuple

import numpy as np
from numba.core import types
from numba.extending import overload

from mongoose_nb.core.jit import inline
from mongoose_nb.kernels.common.fastmath import exp32

LANES = 32
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


class Head(NamedTuple):
    """One head of `Heads`: token t is row first + t * token."""

    rows: np.ndarray  # (n, d)
    first: int
    token: int


class Factors(NamedTuple):
    """Factors of the keys and of the scores."""

    inverse: np.ndarray  # (B, H, T)
    scale: np.ndarray  # (1,)


class Valid(NamedTuple):
    """The tokens that count, of every sequence."""

    counts: np.ndarray  # (B,) int64
    tokens: np.ndarray  # (B, T) int32, the valid ones in order, first


class HeadInputs(NamedTuple):
    """What attention reads, of one head."""

    q: Head
    k: Head
    v: Head
    inverse: np.ndarray  # (T,)
    scale: np.ndarray  # (1,)


class Saved(NamedTuple):
    """What the backward pass needs of the forward pass, (B, H, T), or (T,) for one head."""

    top: np.ndarray  # largest scores
    share: np.ndarray  # one over sums of exp(score - top)
    delta: np.ndarray  # inner products of the output and its gradient


class Lanes(NamedTuple):
    """The queries of a tile."""

    own: np.ndarray  # (LANES,) int32, the token that is the query's own key; -1: none
    lo: np.ndarray  # (LANES,) int32, first key
    count: np.ndarray  # (LANES,) uint32, number of keys
    top: np.ndarray  # (LANES,), largest score so far, MASKED where there was none
    total: np.ndarray  # (LANES,), sum of exp(score - top)
    shrink: np.ndarray  # (LANES,), what sums so far were multiplied by


def exp(x):
    """exp(x) in the precision of x."""
    return math.exp(x)


@overload(exp, inline="never", jit_options={"fastmath": True})
def _exp(x):
    if x == types.float32:
        return lambda x: exp32(x)
    return lambda x: math.exp(x)


@inline
def new_lanes(dtype):
    """Memory for the queries of a tile."""
    figures = np.zeros((3, LANES), dtype)  # lanes without a query stay finite
    return Lanes(np.empty(LANES, np.int32), np.empty(LANES, np.int32), np.empty(LANES, np.uint32), figures[0], figures[1], figures[2])


@inline
def one_head(heads, b, h):
    """Head h of sequence b."""
    return Head(heads.rows, b * heads.batch + h * heads.head, heads.token)


@inline
def head_inputs(q, k, v, factors, b, h):
    """`HeadInputs` of head h of sequence b."""
    return HeadInputs(one_head(q, b, h), one_head(k, b, h), one_head(v, b, h), factors.inverse[b, h], factors.scale)


@inline
def head_saved(saved, b, h):
    """`Saved` of head h of sequence b."""
    return Saved(saved.top[b, h], saved.share[b, h], saved.delta[b, h])


@inline
def gather(head, tokens, scale, out):
    """out[i] = scale * the row of tokens[i]."""
    rows = head.rows
    for i in range(tokens.shape[0]):
        x = rows[head.first + head.token * tokens[i]]
        y = out[i]
        for e in range(x.shape[0]):
            y[e] = scale * x[e]


@inline
def gather_scaled(head, tokens, scales, out):
    """out[i] = scales[tokens[i]] * the row of tokens[i]."""
    rows = head.rows
    for i in range(tokens.shape[0]):
        x = rows[head.first + head.token * tokens[i]]
        y = out[i]
        scale = scales[tokens[i]]
        for e in range(x.shape[0]):
            y[e] = scale * x[e]


@inline
def transpose(rows, out):
    """out (d, LANES) = the transpose of rows (LANES, d)."""
    for e in range(out.shape[0]):
        y = out[e]
        for i in range(LANES):
            y[i] = rows[i, e]


@inline
def add_rows(part, out):
    """out += part, for the first rows of `out`."""
    for i in range(part.shape[0]):
        x = part[i]
        y = out[i]
        for e in range(x.shape[0]):
            y[e] += x[e]


@inline
def mask_interval(S, lanes, tokens):
    """Mask what is outside of the queries' intervals of keys, and set the scores of own keys."""
    own, lo, count = lanes.own, lanes.lo, lanes.count
    for j in range(S.shape[0]):
        s = S[j]
        token = tokens[j]
        for i in range(LANES):
            x = OWN if own[i] == token else s[i]
            s[i] = x if np.uint32(np.int32(j) - lo[i]) < count[i] else MASKED


@inline
def mask_later(S, lanes, tokens):
    """Mask the keys after the query."""
    own = lanes.own
    for j in range(S.shape[0]):
        s = S[j]
        token = tokens[j]
        for i in range(LANES):
            s[i] = MASKED if token > own[i] else s[i]


@inline
def mask_seen(S, slots, first, count):
    """Mask the keys that an earlier round has reached: those whose place there, `slots`, lies in the query's interval there."""
    for j in range(S.shape[0]):
        s = S[j]
        slot = slots[j]
        for i in range(LANES):
            s[i] = MASKED if np.uint32(slot - first[i]) < count[i] else s[i]


@inline
def raise_tops(S, lanes):
    """Update the largest scores, and the sums so far for them."""
    top, total, shrink = lanes.top, lanes.total, lanes.shrink
    for i in range(LANES):
        shrink[i] = top[i]
    for j in range(S.shape[0]):
        s = S[j]
        for i in range(LANES):
            top[i] = s[i] if s[i] > top[i] else top[i]
    for i in range(LANES):
        shrink[i] = exp(shrink[i] - top[i])
        total[i] *= shrink[i]


@inline
def weigh(S, lanes):
    """S = exp(S - top), zero where masked, and add it to the sums; a score of NaN makes the sum NaN, and with it the whole output."""
    top, total = lanes.top, lanes.total
    zero = S.dtype.type(0)
    for j in range(S.shape[0]):
        s = S[j]
        for i in range(LANES):
            x = s[i]
            p = exp(x - top[i])
            p = p if x > HALF else zero
            s[i] = p
            total[i] += x if x != x else p


@inline
def sum_values(S, V, out):
    """out (LANES, d) = S' @ V. A value whose weight is zero takes no part, not even NaN or infinity: a token may not see it."""
    np.dot(S.T, V, out)
    zero = V.dtype.type(0)
    check = zero
    for i in range(LANES):
        y = out[i]
        for c in range(y.shape[0]):
            check += zero * y[c]
    if check != zero:  # NaN
        _sum_values(S, V, out)


@inline
def _sum_values(S, V, out):
    """`sum_values`, of which some are not finite: the product of all others, with the same bits, then these where they have a weight."""
    given = V.copy()
    for j in range(V.shape[0]):
        for c in range(V.shape[1]):
            if not math.isfinite(V[j, c]):
                V[j, c] = 0
    np.dot(S.T, V, out)
    for j in range(V.shape[0]):
        for c in range(V.shape[1]):
            x = given[j, c]
            if not math.isfinite(x):
                V[j, c] = x
                for i in range(LANES):
                    if S[j, i] != 0:
                        out[i, c] += S[j, i] * x


@inline
def weigh_slope(S, D, lanes, tokens):
    """S = shrink * exp(S - top), zero where masked; D = S * (D - total), zero for the own key and where S is zero, whatever D.

    Here `shrink` holds one over the sums of exponentials, and `total` mean slopes.
    """
    top, total, share, own = lanes.top, lanes.total, lanes.shrink, lanes.own
    zero = S.dtype.type(0)
    for j in range(S.shape[0]):
        s = S[j]
        x = D[j]
        token = tokens[j]
        for i in range(LANES):
            p = share[i] * exp(s[i] - top[i])
            p = zero if s[i] <= HALF else p
            s[i] = p
            x[i] = zero if own[i] == token or p == zero else p * (x[i] - total[i])
