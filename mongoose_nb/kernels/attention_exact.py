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
from mongoose_nb.kernels.attention_tile import MASKED, OWN, exp, gather, gather_scaled, top_of, weigh

QUERIES = 64
KEYS = 128


def count_groups(n_heads):
    """Groups of blocks that share the work of one head backward."""
    return max(1, -(-8 // n_heads))


@parallel
def attend_exact(q, sq, k, sk, v, sv, inverse, scale, counts, tokens, causal, shared, out, so, log_z):
    """Attention of every valid query to every valid key.

    tokens (B, T) int32: the valid ones in order, counts (B,) of them. Other arguments as in `attention_chunks.attend`; `out` and
    log_z (B, H, T) are written for valid tokens.
    """
    B, H, T = log_z.shape
    d = q.shape[1]
    blocks = (T + QUERIES - 1) // QUERIES
    for task in prange(B * H * blocks):
        # long rows first, so that under a causal mask no thread is left with the longest at the end
        first = (blocks - 1 - task // (B * H)) * QUERIES
        b = task % (B * H) // H
        h = task % H
        n = counts[b]
        if first >= n:
            continue
        last = min(first + QUERIES, n)
        m = last - first
        Q = np.empty((m, d), q.dtype)
        K = np.empty((KEYS, d), q.dtype)
        V = np.empty((KEYS, d), q.dtype)
        S = np.empty(m * KEYS, q.dtype)
        Y = np.zeros((m, d), q.dtype)
        part = np.empty((m, d), q.dtype)
        top = np.full(m, MASKED, q.dtype)
        total = np.zeros(m, q.dtype)
        gather(q, b * sq[0] + h * sq[1], sq[2], tokens[b, first:last], scale, Q)
        for lo in range(0, last if causal else n, KEYS):
            hi = min(lo + KEYS, last if causal else n)
            w = hi - lo
            gather_scaled(k, b * sk[0] + h * sk[1], sk[2], tokens[b, lo:hi], inverse[b, h], K)
            gather(v, b * sv[0] + h * sv[1], sv[2], tokens[b, lo:hi], v.dtype.type(1), V)
            P = S[:m * w].reshape(m, w)
            np.dot(Q, K[:w].T, P)
            for i in range(m):
                end = _mask(P[i], first + i, lo, hi, causal, shared)
                peak = top_of(P[i], 0, end)
                if peak > top[i]:
                    shrink = exp(top[i] - peak)
                    total[i] *= shrink
                    for c in range(d):
                        Y[i, c] *= shrink
                    top[i] = peak
                total[i] += weigh(P[i], 0, end, top[i])
            np.dot(P, V[:w], part)
            for i in range(m):
                for c in range(d):
                    Y[i, c] += part[i, c]
        for i in range(m):
            t = tokens[b, first + i]
            o = out[b * so[0] + h * so[1] + t * so[2]]
            for c in range(d):
                o[c] = Y[i, c] / total[i]
            log_z[b, h, t] = top[i] + math.log(total[i])


@inline
def _mask(s, query, lo, hi, causal, shared):
    """Score of the query's own key, and the end of what the causal mask leaves, for keys lo to hi."""
    if shared and lo <= query < hi:
        s[query - lo] = OWN
    return min(max(query + 1 - lo, 0), hi - lo) if causal else hi - lo


@parallel
def attend_exact_backward(q, sq, k, sk, v, sv, g, sg, inverse, scale, counts, tokens, causal, shared, log_z, delta, dq, dK, dV):
    """Gradients of `attend_exact`: dq rows like q are written, dK, dV (groups, B, H, T, d) by place among the valid tokens are added to,
    dK of the keys as they are used, that is of length one where `inverse` makes them so.

    g: gradient of the output; log_z, delta (B, H, T): log-partitions, and inner products of output and its gradient.
    """
    B, H, T = log_z.shape
    groups = dK.shape[0]
    d = q.shape[1]
    for task in prange(groups * B * H):
        group = task // (B * H)
        b = task // H % B
        h = task % H
        n = counts[b]
        Q = np.empty((QUERIES, d), q.dtype)
        G = np.empty((QUERIES, d), q.dtype)
        K = np.empty((KEYS, d), q.dtype)
        V = np.empty((KEYS, d), q.dtype)
        S = np.empty(QUERIES * KEYS, q.dtype)
        D = np.empty(QUERIES * KEYS, q.dtype)
        dQ = np.empty((QUERIES, d), q.dtype)
        part = np.empty((max(QUERIES, KEYS), d), q.dtype)
        for first in range(group * QUERIES, n, groups * QUERIES):
            last = min(first + QUERIES, n)
            m = last - first
            gather(q, b * sq[0] + h * sq[1], sq[2], tokens[b, first:last], scale, Q)
            gather(g, b * sg[0] + h * sg[1], sg[2], tokens[b, first:last], g.dtype.type(1), G)
            dQ[:] = 0
            for lo in range(0, last if causal else n, KEYS):
                hi = min(lo + KEYS, last if causal else n)
                w = hi - lo
                gather_scaled(k, b * sk[0] + h * sk[1], sk[2], tokens[b, lo:hi], inverse[b, h], K)
                gather(v, b * sv[0] + h * sv[1], sv[2], tokens[b, lo:hi], v.dtype.type(1), V)
                P = S[:m * w].reshape(m, w)
                dP = D[:m * w].reshape(m, w)
                np.dot(Q[:m], K[:w].T, P)
                np.dot(G[:m], V[:w].T, dP)
                for i in range(m):
                    t = tokens[b, first + i]
                    end = _mask(P[i], first + i, lo, hi, causal, shared)
                    weigh(P[i], 0, end, log_z[b, h, t])
                    mean = delta[b, h, t]
                    for j in range(w):
                        dP[i, j] = P[i, j] * (dP[i, j] - mean)
                    if shared and lo <= first + i < hi:  # the own key's score is a constant
                        dP[i, first + i - lo] = 0
                np.dot(P.T, G[:m], part[:w])
                for j in range(w):
                    for c in range(d):
                        dV[group, b, h, lo + j, c] += part[j, c]
                np.dot(dP.T, Q[:m], part[:w])
                for j in range(w):
                    for c in range(d):
                        dK[group, b, h, lo + j, c] += part[j, c]
                np.dot(dP, K[:w], part[:m])
                for i in range(m):
                    for c in range(d):
                        dQ[i, c] += part[i, c]
            for i in range(m):
                x = dq[b * sq[0] + h * sq[1] + tokens[b, first + i] * sq[2]]
                for c in range(d):
                    x[c] = scale * dQ[i, c]


@parallel
def scatter_keys(k, sk, inverse, normalise, counts, tokens, dK, dV, dk, dv, sv):
    """Add gradients by place, summed over groups, to rows by token; through the normalisation where there is one."""
    groups, B, H, T, d = dK.shape
    for task in prange(B * H):
        b = task // H
        h = task % H
        for j in range(counts[b]):
            t = tokens[b, j]
            for group in range(1, groups):
                for c in range(d):
                    dK[0, b, h, j, c] += dK[group, b, h, j, c]
                    dV[0, b, h, j, c] += dV[group, b, h, j, c]
            x = dv[b * sv[0] + h * sv[1] + t * sv[2]]
            for c in range(d):
                x[c] += dV[0, b, h, j, c]
            row = b * sk[0] + h * sk[1] + t * sk[2]
            along = dK.dtype.type(0)
            if normalise:
                for c in range(d):
                    along += k[row, c] * dK[0, b, h, j, c]
                along *= inverse[b, h, t] * inverse[b, h, t]
            for c in range(d):
                dk[row, c] += inverse[b, h, t] * (dK[0, b, h, j, c] - along * k[row, c])
