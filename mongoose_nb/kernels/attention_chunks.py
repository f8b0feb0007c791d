"""Attention of sorted queries to the keys of their intervals, forward and backward (Reformer, section 2; MONGOOSE, section 4.2).

A. *One softmax over all rounds.* The rounds' outputs, joined by their log-partitions, are the softmax over the pairs that any round
   reaches; a running maximum and sum per query, carried from round to round, give it without storing one output a round. Backward
   needs the final log-partition alone.
B. *A pair counts once*, in the first round that reaches it: the same sum as in every round with weight 1 / N, and the later rounds
   need no logarithm. Whether round r reached it is one subtraction and one comparison (`attention_tile.mask_seen`).
C. *Tiles of `TILE` queries* against the keys between the first one's interval and the last one's: matrix products by BLAS, one thread
   each; products of 32 x 96 x 64 run at 60 to 95 % of the processor's peak. Scores never leave the cache and are computed again
   backward.
D. *Backward without races*: a task owns a run of chunks of one head. Its keys reach one chunk into the run before, so even runs go
   first, odd ones after. Where queries are not the keys, windows overlap as they like and one task owns a head. Runs depend on the
   shape alone: the same bits for any number of threads.
E. *The first chunk looks back* to nothing, or with `wrap` to the last chunk of the round before, as in the released code, where all
   rounds are one list. Backward these chunks come last, by themselves.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import prange

from mongoose_nb.kernels._jit import inline, parallel
from mongoose_nb.kernels.attention_tile import (
    OWN,
    add_rows,
    exp,
    gather,
    gather_scaled,
    mask_later,
    mask_own,
    mask_seen,
    top_of,
    weigh,
    weigh_slope,
)

TILE = 32
#: chunks of a run
RUN = 8


class Rules(NamedTuple):
    """Which keys of a window count."""

    chunk: int  # queries of a chunk
    shared: bool  # whether queries are the keys
    causal: bool
    across: bool  # whether intervals are whole windows, and the causal mask goes by position
    distinct: bool  # whether a pair that several rounds reach counts once
    wrap: bool  # whether the first chunk looks back to the last one of the round before


class Plan(NamedTuple):
    """Orders of the tokens and intervals of keys: see `attention_sort.sort_tokens`."""

    counts: np.ndarray  # (B,) int64, valid tokens
    order_q: np.ndarray  # (B, H, R, T) int32
    order_k: np.ndarray
    slot_k: np.ndarray
    reach: np.ndarray  # (B, H, R, T, 2) int32


class _Head(NamedTuple):
    """The plan of one head in one round."""

    round: int
    n: int
    order_q: np.ndarray  # (R, T)
    order_k: np.ndarray
    slot_k: np.ndarray
    reach: np.ndarray  # (R, T, 2)


class _Keys(NamedTuple):
    """Buffers for the keys of a chunk."""

    tokens: np.ndarray  # (most,) int32
    slots: np.ndarray  # (R, most) int32, places in every round
    K: np.ndarray  # (most, d)
    V: np.ndarray


@inline
def _head_of(plan, b, h, r):
    return _Head(r, plan.counts[b], plan.order_q[b, h], plan.order_k[b, h], plan.slot_k[b, h], plan.reach[b, h])


@inline
def _new_keys(rules, rounds, rows):
    most = 3 * rules.chunk
    return _Keys(np.empty(most, np.int32), np.empty((rounds, most), np.int32), np.empty((most, rows.shape[1]), rows.dtype),
                 np.empty((most, rows.shape[1]), rows.dtype))


@inline
def _list_keys(head, rules, first, last, keys):
    """List the keys of a chunk of queries; returns the place of the first one, their number, and how many are wrapped."""
    r = head.round
    low = np.int64(head.reach[r, head.order_q[r, first], 0])
    high = low
    for s in range(first, last):
        t = head.order_q[r, s]
        low = min(low, np.int64(head.reach[r, t, 0]))
        high = max(high, np.int64(head.reach[r, t, 0]) + head.reach[r, t, 1])
    count = high - low
    keys.tokens[:count] = head.order_k[r, low:high]
    own = count
    if rules.wrap and first == 0 and head.n > rules.chunk:
        before = r - 1 if r > 0 else head.order_k.shape[0] - 1
        for s in range((head.n - 1) // rules.chunk * rules.chunk, head.n):
            keys.tokens[count] = head.order_k[before, s]
            count += 1
    if rules.distinct:
        for p in range(r):
            for j in range(count):
                keys.slots[p, j] = head.slot_k[p, keys.tokens[j]]
    return low, count, count - own


@inline
def _span(head, tokens, low, count, wrapped):
    """The columns that a tile of queries needs: first, last + 1."""
    if wrapped > 0:
        return np.int64(0), np.int64(count)
    a, z = np.int64(count), np.int64(0)
    for i in range(tokens.shape[0]):
        lo = head.reach[head.round, tokens[i], 0] - low
        a = min(a, lo)
        z = max(z, lo + head.reach[head.round, tokens[i], 1])
    return a, z


@inline
def _interval(head, t, low, wrapped, a, z):
    """The interval of query t in the columns a to z of its tile."""
    if wrapped > 0:
        return np.int64(0), np.int64(z)
    lo = head.reach[head.round, t, 0] - low - a
    return lo, lo + head.reach[head.round, t, 1]


@inline
def _mask(head, rules, keys, t, own, s, lo, hi, at):
    """Mask scores s of query t for the keys listed from `at` on; `own` is its own place in `s`."""
    if rules.across:
        if rules.causal:
            mask_later(s, keys.tokens[at:at + s.shape[0]], t)
        mask_own(s, keys.tokens[at:at + s.shape[0]], t)
    elif rules.shared:
        s[own] = OWN
    if rules.distinct:
        for p in range(head.round):
            mask_seen(s, keys.slots[p, at:at + s.shape[0]], head.reach[p, t, 0], head.reach[p, t, 1])


@inline
def _attend_chunk(head, rules, first, q, base_q, k, base_k, v, base_v, inverse, scale, out, base_out, top, total, keys, Q, S, part):
    r = head.round
    last = min(first + rules.chunk, head.n)
    low, count, wrapped = _list_keys(head, rules, first, last, keys)
    gather_scaled(k, base_k, keys.tokens[:count], inverse, keys.K)
    gather(v, base_v, keys.tokens[:count], scale.dtype.type(1), keys.V)
    for s in range(first, last, TILE):
        tokens = head.order_q[r, s:min(s + TILE, last)]
        m = tokens.shape[0]
        a, z = _span(head, tokens, low, count, wrapped)
        w = z - a
        if w <= 0:
            continue
        gather(q, base_q, tokens, scale[0], Q)
        P = S[:m * w].reshape(m, w)
        np.dot(Q[:m], keys.K[a:z].T, P)
        for i in range(m):
            t = tokens[i]
            lo, hi = _interval(head, t, low, wrapped, a, z)
            P[i, :lo] = 0
            P[i, hi:] = 0
            row = P[i, lo:hi]
            _mask(head, rules, keys, t, s + i - low - a - lo, row, lo, hi, a + lo)
            peak = top_of(row)
            if peak > top[t]:
                shrink = exp(top[t] - peak)
                top[t] = peak
                total[t] *= shrink
                o = out.rows[base_out + out.token * t]
                for c in range(o.shape[0]):
                    o[c] *= shrink
            total[t] += weigh(row, top[t])
        np.dot(P, keys.V[a:z], part[:m])
        for i in range(m):
            o = out.rows[base_out + out.token * tokens[i]]
            x = part[i]
            for c in range(o.shape[0]):
                o[c] += x[c]


@inline
def _finish(head, first, last, out, base, top, total):
    for s in range(first, last):
        t = head.order_q[head.round, s]
        if total[t] > 0:
            o = out.rows[base + out.token * t]
            inverse = o.dtype.type(1) / total[t]
            for c in range(o.shape[0]):
                o[c] *= inverse
            top[t] += math.log(total[t])


@parallel
def attend(q, k, v, inverse, scale, plan, rules, r, out, top, total):
    """Round r of attention: to be called for all rounds in order, on `out` and `total` of zeros and `top` of MASKED.

    Parameters
    ----------
    q, k, v, out : Heads
    inverse : (B, H, T)
        Factors of the keys.
    scale : (1,)
        Factor of the scores.
    plan : Plan
    rules : Rules
    top, total : (B, H, T)
        Running maximum and sum; after the last round `top` is the log-partition.
    """
    B, H, R, T = plan.order_q.shape
    length = RUN * rules.chunk
    runs = (T + length - 1) // length
    for task in prange(B * H * runs):
        b = task // (H * runs)
        h = task // runs % H
        head = _head_of(plan, b, h, r)
        keys = _new_keys(rules, R, q.rows)
        Q = np.empty((TILE, q.rows.shape[1]), q.rows.dtype)
        S = np.empty(TILE * 3 * rules.chunk, q.rows.dtype)
        part = np.empty_like(Q)
        lo = task % runs * length
        hi = min(lo + length, head.n)
        base = b * out.batch + h * out.head
        for first in range(lo, hi, rules.chunk):
            _attend_chunk(head, rules, first, q, b * q.batch + h * q.head, k, b * k.batch + h * k.head, v, b * v.batch + h * v.head,
                          inverse[b, h], scale, out, base, top[b, h], total[b, h], keys, Q, S, part)
        if r == R - 1:
            _finish(head, lo, hi, out, base, top[b, h], total[b, h])


class _Slopes(NamedTuple):
    """Buffers for the backward pass of a chunk."""

    Q: np.ndarray  # (TILE, d)
    G: np.ndarray
    dQ: np.ndarray
    S: np.ndarray  # (TILE * most,)
    D: np.ndarray
    part: np.ndarray  # (most, d)
    dK: np.ndarray
    dV: np.ndarray


@inline
def _new_slopes(rules, rows):
    d = rows.shape[1]
    most = 3 * rules.chunk
    tile = np.empty((3, TILE, d), rows.dtype)
    scores = np.empty((2, TILE * most), rows.dtype)
    whole = np.empty((3, most, d), rows.dtype)
    return _Slopes(tile[0], tile[1], tile[2], scores[0], scores[1], whole[0], whole[1], whole[2])


@inline
def _backward_chunk(head, rules, first, q, base_q, k, base_k, v, base_v, g, base_g, inverse, scale, log_z, delta, dq, dk, dv, keys, own):
    r = head.round
    last = min(first + rules.chunk, head.n)
    low, count, wrapped = _list_keys(head, rules, first, last, keys)
    one = scale.dtype.type(1)
    gather_scaled(k, base_k, keys.tokens[:count], inverse, keys.K)
    gather(v, base_v, keys.tokens[:count], one, keys.V)
    own.dK[:count] = 0
    own.dV[:count] = 0
    for s in range(first, last, TILE):
        tokens = head.order_q[r, s:min(s + TILE, last)]
        m = tokens.shape[0]
        a, z = _span(head, tokens, low, count, wrapped)
        w = z - a
        if w <= 0:
            continue
        gather(q, base_q, tokens, scale[0], own.Q)
        gather(g, base_g, tokens, one, own.G)
        P = own.S[:m * w].reshape(m, w)
        dP = own.D[:m * w].reshape(m, w)
        np.dot(own.Q[:m], keys.K[a:z].T, P)
        np.dot(own.G[:m], keys.V[a:z].T, dP)
        for i in range(m):
            t = tokens[i]
            lo, hi = _interval(head, t, low, wrapped, a, z)
            P[i, :lo] = 0
            P[i, hi:] = 0
            dP[i, :lo] = 0
            dP[i, hi:] = 0
            row = P[i, lo:hi]
            place = s + i - low - a - lo
            _mask(head, rules, keys, t, place, row, lo, hi, a + lo)
            weigh_slope(row, dP[i, lo:hi], log_z[t], delta[t])
            if rules.across:
                for j in range(w):  # the own key's score is a constant
                    dP[i, j] = 0 if keys.tokens[a + j] == t else dP[i, j]
            elif rules.shared:
                dP[i, place + lo] = 0
        np.dot(P.T, own.G[:m], own.part[:w])
        add_rows(own.part[:w], own.dV[a:z])
        np.dot(dP.T, own.Q[:m], own.part[:w])
        add_rows(own.part[:w], own.dK[a:z])
        np.dot(dP, keys.K[a:z], own.dQ[:m])
        for i in range(m):
            x = dq[base_q + q.token * tokens[i]]
            y = own.dQ[i]
            for c in range(x.shape[0]):
                x[c] += scale[0] * y[c]
    for j in range(count):
        t = keys.tokens[j]
        x = dv[base_v + v.token * t]
        y = own.dV[j]
        for c in range(x.shape[0]):
            x[c] += y[c]
        x = dk[base_k + k.token * t]
        y = own.dK[j]
        if rules.shared:  # through the scaling to length one
            u = keys.K[j]
            along = one - one
            for c in range(x.shape[0]):
                along += u[c] * y[c]
            for c in range(x.shape[0]):
                x[c] += inverse[t] * (y[c] - along * u[c])
        else:
            for c in range(x.shape[0]):
                x[c] += y[c]


@parallel
def attend_backward(q, k, v, g, inverse, scale, plan, rules, r, run, parity, log_z, delta, dq, dk, dv):
    """Add the gradients of round r to dq, dk (the same array where queries are keys) and dv: runs of `run` chunks of one parity.

    With parity 2: the first chunks alone, which the other two leave out under `wrap`. g: gradient of the output. log_z, delta
    (B, H, T): the log-partitions, and inner products of output and its gradient. dq, dk, dv: rows like those of q, k, v.
    """
    B, H, R, T = plan.order_q.shape
    length = run * rules.chunk
    runs = (T + length - 1) // length
    mine = 1 if parity == 2 else (runs + 1 - parity) // 2
    for task in prange(B * H * mine):
        b = task // (H * mine)
        h = task // mine % H
        head = _head_of(plan, b, h, r)
        keys = _new_keys(rules, R, q.rows)
        own = _new_slopes(rules, q.rows)
        lo = 0 if parity == 2 else (2 * (task % mine) + parity) * length
        hi = min(head.n, rules.chunk if parity == 2 else lo + length)
        if rules.wrap and parity < 2 and lo == 0:
            lo = rules.chunk
        for first in range(lo, hi, rules.chunk):
            _backward_chunk(head, rules, first, q, b * q.batch + h * q.head, k, b * k.batch + h * k.head, v, b * v.batch + h * v.head,
                            g, b * g.batch + h * g.head, inverse[b, h], scale, log_z[b, h], delta[b, h], dq, dk, dv, keys, own)
