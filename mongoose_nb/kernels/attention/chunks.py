"""Attention of sorted queries to the keys of their intervals, forward and backward (Reformer, section 2; MONGOOSE, section 4.2).

A. *One softmax over all rounds.* The rounds' outputs, joined by their log-partitions, are the softmax over the pairs that any round
   reaches; a running maximum and sum per query, carried from round to round, give it without storing one output a round. Backward
   needs the final maximum and sum alone.
B. *A pair counts once*, in the first round that reaches it: the same sum as in every round with weight 1 / N, and the later rounds
   need no logarithm. Whether round r reached it is one subtraction and one comparison (`tile.mask_seen`).
C. *Tiles* of queries against the keys between the first one's interval and the last one's: matrix products by BLAS, one thread
   each (`tile`). Scores never leave the cache and are computed again backward.
D. *Backward without races*: a task owns a run of chunks of one head. Its keys reach one chunk into the run before, so even runs go
   first, odd ones after. Where queries are not the keys, windows overlap as they like and one task owns a head. Runs depend on the
   shape alone: the same bits for any number of threads.
E. *The first chunk looks back* to nothing, or with `wrap` to the last chunk of the round before, as in the released code, where all
   rounds are one list. Backward these chunks come last, by themselves.
"""

from typing import NamedTuple

import numpy as np
from numba import prange

from mongoose_nb.core.jit import inline, parallel
from mongoose_nb.kernels.attention.tile import (
    LANES,
    Lanes,
    add_rows,
    gather,
    gather_scaled,
    head_inputs,
    head_saved,
    mask_interval,
    mask_later,
    mask_seen,
    new_lanes,
    one_head,
    raise_tops,
    sum_values,
    transpose,
    weigh,
    weigh_slope,
)

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
    strict: bool  # whether a query sees the last `chunk` keys of its bucket, wherever chunks begin


class Plan(NamedTuple):
    """Orders of the tokens and intervals of keys: see `sort.sort_tokens`."""

    counts: np.ndarray  # (B,) int64, valid tokens
    order_q: np.ndarray  # (B, H, R, T) int32
    order_k: np.ndarray
    slot_k: np.ndarray
    reach: np.ndarray  # (B, H, R, T, 2) int32


class Gradients(NamedTuple):
    """Gradients of queries, keys (the same array where queries are keys) and values: rows like those of the inputs."""

    q: np.ndarray
    k: np.ndarray
    v: np.ndarray


class _Plan(NamedTuple):
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
def _plan_of(plan, b, h, r):
    return _Plan(r, plan.counts[b], plan.order_q[b, h], plan.order_k[b, h], plan.slot_k[b, h], plan.reach[b, h])


@inline
def _new_keys(rules, rounds, rows):
    most = 3 * rules.chunk
    return _Keys(np.empty(most, np.int32), np.empty((rounds, most), np.int32), np.empty((most, rows.shape[1]), rows.dtype),
                 np.empty((most, rows.shape[1]), rows.dtype))


@inline
def _list_keys(head, rules, start, last, keys):
    """List the keys of a chunk of queries; returns the place of the first one, their number, and how many are wrapped."""
    r = head.round
    low = np.int64(head.reach[r, head.order_q[r, start], 0])
    high = low
    for s in range(start, last):
        t = head.order_q[r, s]
        low = min(low, np.int64(head.reach[r, t, 0]))
        high = max(high, np.int64(head.reach[r, t, 0]) + head.reach[r, t, 1])
    count = high - low
    keys.tokens[:count] = head.order_k[r, low:high]
    own = count
    if rules.wrap and start == 0 and head.n > rules.chunk:
        before = r - 1 if r > 0 else head.order_k.shape[0] - 1
        for s in range((head.n - 1) // rules.chunk * rules.chunk, head.n):
            keys.tokens[count] = head.order_k[before, s]
            count += 1
    if rules.distinct:
        for p in range(r):
            for j in range(count):
                keys.slots[p, j] = head.slot_k[p, keys.tokens[j]]
    return low, count, count - own


class _Tile(NamedTuple):
    """Buffers for a tile of queries; the last ones for the backward pass alone."""

    Q: np.ndarray  # (LANES, d)
    QT: np.ndarray  # (d, LANES)
    Y: np.ndarray  # (LANES, d)
    S: np.ndarray  # (most, LANES)
    G: np.ndarray  # like Q
    GT: np.ndarray
    D: np.ndarray  # like S
    part: np.ndarray  # (most, d)
    dK: np.ndarray
    dV: np.ndarray


@inline
def _new_tile(rules, rows, backward):
    d = rows.shape[1]
    most = 3 * rules.chunk if backward else 0
    queries = np.zeros((3, LANES, d), rows.dtype)
    turned = np.empty((2, d, LANES), rows.dtype)
    keys = np.empty((3, most, d), rows.dtype)
    return _Tile(queries[0], turned[0], queries[1], np.empty((3 * rules.chunk, LANES), rows.dtype), queries[2], turned[1],
                 np.empty((most, LANES), rows.dtype), keys[0], keys[1], keys[2])


class _Work(NamedTuple):
    """Buffers of one task."""

    keys: _Keys
    lanes: Lanes
    first: np.ndarray  # (R, LANES) int32, the queries' intervals in every round
    seen: np.ndarray  # (R, LANES) uint32
    tile: _Tile


@inline
def _new_work(rules, rounds, rows, backward):
    return _Work(_new_keys(rules, rounds, rows), new_lanes(rows.dtype), np.empty((rounds, LANES), np.int32),
                 np.empty((rounds, LANES), np.uint32), _new_tile(rules, rows, backward))


@inline
def _load_lanes(head, rules, tokens, low, count, wrapped, work):
    """Load the intervals of a tile's queries; returns the columns from the first one's to the last one's."""
    r = head.round
    lanes, first, seen = work.lanes, work.first, work.seen
    a, z = np.int64(count), np.int64(0)
    if wrapped > 0:
        a, z = z, a
    for i in range(LANES):
        lanes.own[i] = -1
        lanes.lo[i] = 0
        lanes.count[i] = 0
        if i < tokens.shape[0]:
            t = tokens[i]
            lo = np.int64(head.reach[r, t, 0]) - low
            width = np.int64(head.reach[r, t, 1])
            if wrapped > 0:
                lo = np.int64(0)
                width = z
            lanes.lo[i] = lo
            lanes.count[i] = width
            if rules.shared:
                lanes.own[i] = t
            if width > 0:
                a = min(a, lo)
                z = max(z, lo + width)
            if rules.distinct:
                for p in range(r):
                    first[p, i] = head.reach[p, t, 0]
                    seen[p, i] = head.reach[p, t, 1]
    for i in range(LANES):
        lanes.lo[i] -= a
    return a, z


@inline
def _mask(head, rules, work, a, z, S):
    keys, lanes, first, seen = work.keys, work.lanes, work.first, work.seen
    mask_interval(S, lanes, keys.tokens[a:z])
    if rules.across and rules.causal:
        mask_later(S, lanes, keys.tokens[a:z])
    if rules.distinct:
        for p in range(head.round):
            mask_seen(S, keys.slots[p, a:z], first[p], seen[p])


@inline
def _attend_chunk(head, rules, start, inputs, out, top, total, work):
    q, k, v, inverse, scale = inputs
    keys, lanes, tile = work.keys, work.lanes, work.tile
    last = min(start + rules.chunk, head.n)
    low, count, wrapped = _list_keys(head, rules, start, last, keys)
    gather_scaled(k, keys.tokens[:count], inverse, keys.K)
    gather(v, keys.tokens[:count], scale.dtype.type(1), keys.V)
    for s in range(start, last, LANES):
        tokens = head.order_q[head.round, s:min(s + LANES, last)]
        a, z = _load_lanes(head, rules, tokens, low, count, wrapped, work)
        if z <= a:
            continue
        gather(q, tokens, scale[0], tile.Q)
        transpose(tile.Q, tile.QT)
        S = tile.S[:z - a]
        np.dot(keys.K[a:z], tile.QT, S)
        _mask(head, rules, work, a, z, S)
        for i in range(tokens.shape[0]):
            lanes.top[i] = top[tokens[i]]
            lanes.total[i] = total[tokens[i]]
        raise_tops(S, lanes)
        weigh(S, lanes)
        sum_values(S, keys.V[a:z], tile.Y)
        for i in range(tokens.shape[0]):
            t = tokens[i]
            top[t] = lanes.top[i]
            total[t] = lanes.total[i]
            shrink = lanes.shrink[i]
            o = out.rows[out.first + out.token * t]
            y = tile.Y[i]
            for c in range(o.shape[0]):
                o[c] = shrink * o[c] + y[c]


@inline
def _finish(head, first, last, inverse_lengths, out, top, total):
    for s in range(first, last):
        t = head.order_q[head.round, s]
        if inverse_lengths[t] != inverse_lengths[t]:  # NaN in a query that may see its own key alone
            total[t] = inverse_lengths[t]
        if total[t] != 0:  # NaN stays
            o = out.rows[out.first + out.token * t]
            inverse = o.dtype.type(1) / total[t]
            for c in range(o.shape[0]):
                o[c] *= inverse
            total[t] = inverse


@parallel
def attend(q, k, v, factors, plan, rules, r, out, top, total):
    """Round r of attention: to be called for all rounds in order, on `out` and `total` of zeros and `top` of MASKED.

    Parameters
    ----------
    q, k, v, out : tile.Heads
    factors : tile.Factors
    plan : Plan
    rules : Rules
    top, total : (B, H, T)
        Running maximum and sum of exponentials; after the last round `total` is one over the sum, 0 where there was none.
    """
    B, H, R, T = plan.order_q.shape
    length = RUN * rules.chunk
    runs = (T + length - 1) // length
    for task in prange(B * H * runs):
        b = task // (H * runs)
        h = task // runs % H
        head = _plan_of(plan, b, h, r)
        work = _new_work(rules, R, q.rows, False)
        mine = head_inputs(q, k, v, factors, b, h)
        where = one_head(out, b, h)
        lo = task % runs * length
        hi = min(lo + length, head.n)
        for start in range(lo, hi, rules.chunk):
            _attend_chunk(head, rules, start, mine, where, top[b, h], total[b, h], work)
        if r == R - 1:
            _finish(head, lo, hi, mine.inverse, where, top[b, h], total[b, h])


@inline
def _backward_chunk(head, rules, start, inputs, g, saved, gradients, work):
    q, k, v, inverse, scale = inputs
    top, share, delta = saved
    dq, dk, dv = gradients
    keys, lanes, tile = work.keys, work.lanes, work.tile
    last = min(start + rules.chunk, head.n)
    low, count, wrapped = _list_keys(head, rules, start, last, keys)
    one = scale.dtype.type(1)
    gather_scaled(k, keys.tokens[:count], inverse, keys.K)
    gather(v, keys.tokens[:count], one, keys.V)
    tile.dK[:count] = 0
    tile.dV[:count] = 0
    for s in range(start, last, LANES):
        tokens = head.order_q[head.round, s:min(s + LANES, last)]
        a, z = _load_lanes(head, rules, tokens, low, count, wrapped, work)
        if z <= a:
            continue
        gather(q, tokens, scale[0], tile.Q)
        gather(g, tokens, one, tile.G)
        transpose(tile.Q, tile.QT)
        transpose(tile.G, tile.GT)
        S, D, part = tile.S[:z - a], tile.D[:z - a], tile.part[:z - a]
        np.dot(keys.K[a:z], tile.QT, S)
        np.dot(keys.V[a:z], tile.GT, D)
        _mask(head, rules, work, a, z, S)
        for i in range(tokens.shape[0]):
            lanes.top[i] = top[tokens[i]]
            lanes.shrink[i] = share[tokens[i]]
            lanes.total[i] = delta[tokens[i]]
        weigh_slope(S, D, lanes, keys.tokens[a:z])
        np.dot(S, tile.G, part)
        add_rows(part, tile.dV[a:z])
        np.dot(D, tile.Q, part)
        add_rows(part, tile.dK[a:z])
        np.dot(D.T, keys.K[a:z], tile.Y)
        for i in range(tokens.shape[0]):
            x = dq[q.first + q.token * tokens[i]]
            y = tile.Y[i]
            for c in range(x.shape[0]):
                x[c] += scale[0] * y[c]
    for j in range(count):
        t = keys.tokens[j]
        x = dv[v.first + v.token * t]
        y = tile.dV[j]
        for c in range(x.shape[0]):
            x[c] += y[c]
        x = dk[k.first + k.token * t]
        y = tile.dK[j]
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
def attend_backward(q, k, v, g, factors, plan, rules, r, run, parity, saved, gradients):
    """Add the gradients of round r: runs of `run` chunks of one parity.

    Parameters
    ----------
    q, k, v, g : tile.Heads
        Queries, keys, values, and the gradient of the output.
    factors : tile.Factors
    plan : Plan
    rules : Rules
    parity : int
        0 or 1; 2 for the first chunks alone, which the other two leave out under ``rules.wrap``.
    saved : tile.Saved
        What `attend` left in `top` and `total`, and the inner products of the output and its gradient.
    gradients : Gradients
    """
    B, H, R, T = plan.order_q.shape
    length = run * rules.chunk
    runs = (T + length - 1) // length
    mine = 1 if parity == 2 else (runs + 1 - parity) // 2
    for task in prange(B * H * mine):
        b = task // (H * mine)
        h = task // mine % H
        head = _plan_of(plan, b, h, r)
        work = _new_work(rules, R, q.rows, True)
        read = head_inputs(q, k, v, factors, b, h)
        slope = one_head(g, b, h)
        figures = head_saved(saved, b, h)
        lo = 0 if parity == 2 else (2 * (task % mine) + parity) * length
        hi = min(head.n, rules.chunk if parity == 2 else lo + length)
        if rules.wrap and parity < 2 and lo == 0:
            lo = rules.chunk
        for start in range(lo, hi, rules.chunk):
            _backward_chunk(head, rules, start, read, slope, figures, gradients, work)
