"""Exact attention in blocks of queries and keys: memory linear in the length, forward and backward (Dao et al. 2022, algorithms 1, 4).

A. Tokens come as a list of the valid ones, so padding takes no part, and a causal mask cuts whole blocks.
B. A block of queries keeps a running maximum and sum while the blocks of keys pass by; backward computes scores again.
C. Backward, a task owns a group of a head's blocks of queries and a copy of the gradients of its keys and values; copies are summed in
   the order of groups. There are several groups only where heads are few: the same bits for any number of threads.
"""

import math

import numpy as np
from numba import prange

from mongoose_nb.kernels._jit import inline, parallel
from mongoose_nb.kernels.attention_tile import MASKED, OWN, add_rows, exp, gather, gather_scaled, top_of, weigh, weigh_slope

QUERIES = 64
KEYS = 128


def count_groups(n_heads):
    """Groups of blocks that share the work of one head backward."""
    return max(1, -(-8 // n_heads))


@inline
def _limit(s, query, lo, hi, causal, shared):
    """Set the score of the query's own key, and return the number of keys from lo to hi that the causal mask leaves."""
    if shared and lo <= query < hi:
        s[query - lo] = OWN
    return min(max(query + 1 - lo, 0), hi - lo) if causal else hi - lo


@parallel
def attend_exact(q, k, v, inverse, scale, counts, tokens, causal, shared, out, log_z):
    """Attention of every valid query to every valid key.

    Parameters
    ----------
    q, k, v, out : Heads
    inverse : (B, H, T)
        Factors of the keys.
    scale : (1,)
        Factor of the scores.
    counts : (B,) int64
        Valid tokens.
    tokens : (B, T) int32
        The valid tokens in order, first.
    log_z : (B, H, T)
        Filled with log-partitions of valid tokens.
    """
    B, H, T = log_z.shape
    d = q.rows.shape[1]
    dtype = q.rows.dtype
    blocks = (T + QUERIES - 1) // QUERIES
    for task in prange(B * H * blocks):
        # long rows first, so that under a causal mask no thread is left with the longest at the end
        first = (blocks - 1 - task // (B * H)) * QUERIES
        b = task % (B * H) // H
        h = task % H
        if first >= counts[b]:
            continue
        last = min(first + QUERIES, counts[b])
        n = last if causal else counts[b]
        m = last - first
        Q = np.empty((m, d), dtype)
        K = np.empty((KEYS, d), dtype)
        V = np.empty((KEYS, d), dtype)
        S = np.empty(m * KEYS, dtype)
        Y = np.zeros((m, d), dtype)
        part = np.empty((m, d), dtype)
        top = np.full(m, MASKED, dtype)
        total = np.zeros(m, dtype)
        gather(q, b * q.batch + h * q.head, tokens[b, first:last], scale[0], Q)
        for lo in range(0, n, KEYS):
            hi = min(lo + KEYS, n)
            w = hi - lo
            gather_scaled(k, b * k.batch + h * k.head, tokens[b, lo:hi], inverse[b, h], K)
            gather(v, b * v.batch + h * v.head, tokens[b, lo:hi], scale.dtype.type(1), V)
            P = S[:m * w].reshape(m, w)
            np.dot(Q, K[:w].T, P)
            for i in range(m):
                end = _limit(P[i], first + i, lo, hi, causal, shared)
                P[i, end:] = 0
                peak = top_of(P[i, :end])
                if peak > top[i]:
                    shrink = exp(top[i] - peak)
                    top[i] = peak
                    total[i] *= shrink
                    y = Y[i]
                    for c in range(d):
                        y[c] *= shrink
                total[i] += weigh(P[i, :end], top[i])
            np.dot(P, V[:w], part)
            add_rows(part, Y)
        for i in range(m):
            t = tokens[b, first + i]
            o = out.rows[b * out.batch + h * out.head + t * out.token]
            y = Y[i]
            share = scale.dtype.type(1) / total[i]
            for c in range(d):
                o[c] = share * y[c]
            log_z[b, h, t] = top[i] + math.log(total[i])


@parallel
def attend_exact_backward(q, k, v, g, inverse, scale, counts, tokens, causal, shared, log_z, delta, dq, dK, dV):
    """Gradients of `attend_exact`: dq rows like q's are written, dK, dV (groups, B, H, T, d) by place among the valid tokens are added
    to, dK of the keys as they are used, that is of length one where `inverse` makes them so.

    g: gradient of the output; log_z, delta (B, H, T): log-partitions, and inner products of output and its gradient.
    """
    B, H, T = log_z.shape
    groups = dK.shape[0]
    d = q.rows.shape[1]
    dtype = q.rows.dtype
    for task in prange(groups * B * H):
        group = task // (B * H)
        b = task // H % B
        h = task % H
        Q = np.empty((QUERIES, d), dtype)
        G = np.empty((QUERIES, d), dtype)
        K = np.empty((KEYS, d), dtype)
        V = np.empty((KEYS, d), dtype)
        S = np.empty(QUERIES * KEYS, dtype)
        D = np.empty(QUERIES * KEYS, dtype)
        dQ = np.empty((QUERIES, d), dtype)
        part = np.empty((max(QUERIES, KEYS), d), dtype)
        for first in range(group * QUERIES, counts[b], groups * QUERIES):
            last = min(first + QUERIES, counts[b])
            n = last if causal else counts[b]
            m = last - first
            gather(q, b * q.batch + h * q.head, tokens[b, first:last], scale[0], Q)
            gather(g, b * g.batch + h * g.head, tokens[b, first:last], scale.dtype.type(1), G)
            dQ[:] = 0
            for lo in range(0, n, KEYS):
                hi = min(lo + KEYS, n)
                w = hi - lo
                gather_scaled(k, b * k.batch + h * k.head, tokens[b, lo:hi], inverse[b, h], K)
                gather(v, b * v.batch + h * v.head, tokens[b, lo:hi], scale.dtype.type(1), V)
                P = S[:m * w].reshape(m, w)
                dP = D[:m * w].reshape(m, w)
                np.dot(Q[:m], K[:w].T, P)
                np.dot(G[:m], V[:w].T, dP)
                for i in range(m):
                    t = tokens[b, first + i]
                    end = _limit(P[i], first + i, lo, hi, causal, shared)
                    P[i, end:] = 0
                    dP[i, end:] = 0
                    weigh_slope(P[i, :end], dP[i, :end], log_z[b, h, t], delta[b, h, t])
                    if shared and lo <= first + i < hi:  # the own key's score is a constant
                        dP[i, first + i - lo] = 0
                np.dot(P.T, G[:m], part[:w])
                add_rows(part[:w], dV[group, b, h, lo:hi])
                np.dot(dP.T, Q[:m], part[:w])
                add_rows(part[:w], dK[group, b, h, lo:hi])
                np.dot(dP, K[:w], part[:m])
                add_rows(part[:m], dQ)
            for i in range(m):
                x = dq[b * q.batch + h * q.head + tokens[b, first + i] * q.token]
                y = dQ[i]
                for c in range(d):
                    x[c] = scale[0] * y[c]


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
