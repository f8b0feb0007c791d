"""Exact attention in blocks of queries and keys: memory linear in the length, forward and backward (Dao et al. 2022, algorithms 1, 4).

A. Tokens come as a list of the valid ones, so padding takes no part, and a causal mask cuts whole blocks.
B. A block of queries keeps a running maximum and sum while the blocks of keys pass by; backward computes scores again.
C. Backward, a task owns a group of a head's blocks of queries and a copy of the gradients of its keys and values; copies are summed in
   the order of groups. There are several groups only where heads are few: the same bits for any number of threads.
"""

from typing import NamedTuple

import numpy as np
from numba import prange

from mongoose_nb.core.jit import inline, parallel
from mongoose_nb.kernels.attention.tile import (
    LANES,
    MASKED,
    Lanes,
    add_rows,
    gather,
    gather_scaled,
    head_inputs,
    head_saved,
    mask_interval,
    new_lanes,
    one_head,
    raise_tops,
    sum_values,
    transpose,
    weigh,
    weigh_slope,
)

KEYS = 128
#: tiles of queries that one task takes
TILES = 4


def count_groups(n_heads):
    """Groups of blocks that share the work of one head backward."""
    return max(1, -(-8 // n_heads))


@inline
def _load_lanes(lanes, tokens, first, last, lo, w, causal, shared):
    """Load the intervals of queries first to last among w keys from place lo on; `tokens` are places to tokens."""
    for i in range(LANES):
        lanes.own[i] = -1
        lanes.lo[i] = 0
        lanes.count[i] = 0
        if first + i < last:
            if shared:
                lanes.own[i] = tokens[first + i]
            lanes.count[i] = min(max(first + i + 1 - lo, 0), w) if causal else w


class _Block(NamedTuple):
    """Buffers for a tile of queries and a block of keys."""

    Q: np.ndarray  # (LANES, d)
    G: np.ndarray
    Y: np.ndarray
    QT: np.ndarray  # (d, LANES)
    GT: np.ndarray
    K: np.ndarray  # (KEYS, d)
    V: np.ndarray
    part: np.ndarray
    S: np.ndarray  # (KEYS, LANES)
    D: np.ndarray
    lanes: Lanes


@inline
def _new_block(rows):
    d = rows.shape[1]
    queries = np.zeros((3, LANES, d), rows.dtype)
    turned = np.empty((2, d, LANES), rows.dtype)
    keys = np.empty((3, KEYS, d), rows.dtype)
    scores = np.empty((2, KEYS, LANES), rows.dtype)
    return _Block(queries[0], queries[1], queries[2], turned[0], turned[1], keys[0], keys[1], keys[2], scores[0], scores[1],
                  new_lanes(rows.dtype))


@inline
def _load_keys(inputs, tokens, block):
    gather_scaled(inputs.k, tokens, inputs.inverse, block.K)
    gather(inputs.v, tokens, inputs.scale.dtype.type(1), block.V)


@inline
def _attend_tile(inputs, tokens, first, n, causal, shared, out, top, share, block):
    scale, lanes = inputs.scale, block.lanes
    last = min(first + LANES, n)
    end = last if causal else n
    Y = block.Y
    Y[:] = 0
    lanes.top[:] = MASKED
    lanes.total[:] = 0
    gather(inputs.q, tokens[first:last], scale[0], block.Q)
    transpose(block.Q, block.QT)
    for lo in range(0, end, KEYS):
        w = min(KEYS, end - lo)
        _load_keys(inputs, tokens[lo:lo + w], block)
        S, part = block.S[:w], block.part[:LANES]
        np.dot(block.K[:w], block.QT, S)
        _load_lanes(lanes, tokens, first, last, lo, w, causal, shared)
        mask_interval(S, lanes, tokens[lo:lo + w])
        raise_tops(S, lanes)
        weigh(S, lanes)
        sum_values(S, block.V[:w], part)
        for i in range(LANES):
            y = Y[i]
            x = part[i]
            shrink = lanes.shrink[i]
            for c in range(y.shape[0]):
                y[c] = shrink * y[c] + x[c]
    for i in range(last - first):
        t = tokens[first + i]
        o = out.rows[out.first + t * out.token]
        y = Y[i]
        inverse_total = scale.dtype.type(1) / lanes.total[i]
        if inputs.inverse[t] != inputs.inverse[t]:  # NaN in a query that may see its own key alone
            inverse_total = inputs.inverse[t]
        for c in range(y.shape[0]):
            o[c] = inverse_total * y[c]
        top[t] = lanes.top[i]
        share[t] = inverse_total


@parallel
def attend_exact(q, k, v, factors, valid, causal, shared, out, top, share):
    """Attention of every valid query to every valid key.

    Parameters
    ----------
    q, k, v, out : tile.Heads
    factors : tile.Factors
    valid : tile.Valid
    top, share : (B, H, T)
        Filled with the largest score of every valid token, and with one over its sum of exp(score - top).
    """
    counts, tokens = valid
    B, H, T = top.shape
    tiles = (T + LANES - 1) // LANES
    groups = (tiles + TILES - 1) // TILES
    for task in prange(B * H * groups):
        # long rows first, so that under a causal mask no thread is left with the longest at the end
        group = groups - 1 - task // (B * H)
        b = task % (B * H) // H
        h = task % H
        block = _new_block(q.rows)
        mine = head_inputs(q, k, v, factors, b, h)
        where = one_head(out, b, h)
        for first in range(group * TILES * LANES, min((group + 1) * TILES * LANES, counts[b]), LANES):
            _attend_tile(mine, tokens[b], first, counts[b], causal, shared, where, top[b, h], share[b, h], block)


@inline
def _backward_tile(inputs, g, tokens, first, n, causal, shared, saved, dq, dK, dV, block):
    q, scale, lanes = inputs.q, inputs.scale, block.lanes
    top, share, delta = saved
    last = min(first + LANES, n)
    end = last if causal else n
    dQ = block.Y
    dQ[:] = 0
    gather(q, tokens[first:last], scale[0], block.Q)
    gather(g, tokens[first:last], scale.dtype.type(1), block.G)
    transpose(block.Q, block.QT)
    transpose(block.G, block.GT)
    for i in range(last - first):
        lanes.top[i] = top[tokens[first + i]]
        lanes.shrink[i] = share[tokens[first + i]]
        lanes.total[i] = delta[tokens[first + i]]
    for lo in range(0, end, KEYS):
        w = min(KEYS, end - lo)
        _load_keys(inputs, tokens[lo:lo + w], block)
        S, D, part = block.S[:w], block.D[:w], block.part[:w]
        np.dot(block.K[:w], block.QT, S)
        np.dot(block.V[:w], block.GT, D)
        _load_lanes(lanes, tokens, first, last, lo, w, causal, shared)
        mask_interval(S, lanes, tokens[lo:lo + w])
        weigh_slope(S, D, lanes, tokens[lo:lo + w])
        np.dot(S, block.G, part)
        add_rows(part, dV[lo:lo + w])
        np.dot(D, block.Q, part)
        add_rows(part, dK[lo:lo + w])
        part = block.part[:LANES]
        np.dot(D.T, block.K[:w], part)
        add_rows(part, dQ)
    for i in range(last - first):
        x = dq[q.first + tokens[first + i] * q.token]
        y = dQ[i]
        for c in range(x.shape[0]):
            x[c] = scale[0] * y[c]


@parallel
def attend_exact_backward(q, k, v, g, factors, valid, causal, shared, saved, dq, dK, dV):
    """Gradients of `attend_exact`: dq, rows like those of the queries, is written; dK and dV (groups, B, H, T, d), by place among the
    valid tokens, are added to. dK is that of the keys as they are used, which have length one where `inverse` makes them so.

    g: gradient of the output (`tile.Heads`); saved: `tile.Saved`.
    """
    counts, tokens = valid
    B, H, T = saved.top.shape
    groups = dK.shape[0]
    for task in prange(groups * B * H):
        group = task // (B * H)
        b = task // H % B
        h = task % H
        block = _new_block(q.rows)
        mine = head_inputs(q, k, v, factors, b, h)
        slope = one_head(g, b, h)
        figures = head_saved(saved, b, h)
        for first in range(group * LANES, counts[b], groups * LANES):
            _backward_tile(mine, slope, tokens[b], first, counts[b], causal, shared, figures, dq, dK[group, b, h], dV[group, b, h], block)


@parallel
def scatter_keys(k, v, inverse, normalise, counts, tokens, dK, dV, dk, dv):
    """Add gradients by place, summed over groups, to rows by token; through the scaling to length one where there is one."""
    groups, B, H, T, d = dK.shape
    for task in prange(B * H):
        b = task // H
        h = task % H
        for j in range(counts[b]):
            t = tokens[b, j]
            y = dK[0, b, h, j]
            for group in range(1, groups):
                add_rows(dK[group, b, h, j:j + 1], dK[0, b, h, j:j + 1])
                add_rows(dV[group, b, h, j:j + 1], dV[0, b, h, j:j + 1])
            row = b * v.batch + h * v.head + t * v.token
            add_rows(dV[0, b, h, j:j + 1], dv[row:row + 1])
            row = b * k.batch + h * k.head + t * k.token
            x = dk[row]
            u = k.rows[row]
            along = dK.dtype.type(0)
            if normalise:
                for c in range(d):
                    along += u[c] * y[c]
                along *= inverse[b, h, t] * inverse[b, h, t]
            for c in range(d):
                x[c] += inverse[b, h, t] * (y[c] - along * u[c])
