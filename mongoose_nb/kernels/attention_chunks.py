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

import numpy as np
from numba import prange

from mongoose_nb.kernels._jit import inline, parallel
from mongoose_nb.kernels.attention_tile import exp, gather, gather_scaled, mask_row, mask_seen, top_of, weigh

TILE = 32
#: chunks of a run
RUN = 8


@parallel
def prepare_keys(rows, strides, normalise, inverse):
    """inverse (B, H, T): 1 / length of every key, or 1; keys of zeros stay zero."""
    B, H, T = inverse.shape
    for task in prange(B * H):
        base = task // H * strides[0] + task % H * strides[1]
        for t in range(T):
            total = 0.0
            if normalise:
                row = rows[base + t * strides[2]]
                for e in range(row.shape[0]):
                    total += row[e] * row[e]
            inverse[task // H, task % H, t] = 1.0 / math.sqrt(total) if total > 0 else 1.0


@inline
def _keys_of(r, first, last, chunk, n, order_q, order_k, reach, wrap, keys):
    """List the keys of the chunk of queries first to last; returns (place of the first one, number, without those wrapped)."""
    R = order_k.shape[0]
    low = np.int64(reach[r, order_q[r, first], 0])
    high = low
    for s in range(first, last):
        t = order_q[r, s]
        low = min(low, np.int64(reach[r, t, 0]))
        high = max(high, np.int64(reach[r, t, 0]) + reach[r, t, 1])
    count = high - low
    keys[:count] = order_k[r, low:high]
    own = count
    if wrap and first == 0 and n > chunk:
        before = r - 1 if r > 0 else R - 1
        for s in range((n - 1) // chunk * chunk, n):
            keys[count] = order_k[before, s]
            count += 1
    return low, own, count


@inline
def _mask_tile(r, s, n_rows, first, last_wrapped, low, a, z, keys, slots, order_q, slot_k, reach, shared, causal, across, distinct, i, S):
    """Mask row i of the tile; returns the bounds of its interval in the tile's columns."""
    t = order_q[r, s + i]
    lo = reach[r, t, 0] - low
    hi = lo + reach[r, t, 1]
    if last_wrapped:
        lo = 0
        hi = z
    lo -= a
    hi -= a
    row = S[i]
    own = s + i - low - a if shared else -1
    mask_row(row, lo, hi, keys[a:z], t, own, causal, across)
    if distinct:
        for p in range(r):
            mask_seen(row, lo, hi, slots[p, a:z], reach[p, t, 0], reach[p, t, 1])
    return lo, hi


@inline
def _attend_chunk(r, first, n, chunk, q, sq, bq, k, sk, bk, v, sv, bv, inverse, scale, order_q, order_k, slot_k, reach, shared, causal,
                  across, distinct, wrap, out, so, bo, top, total, keys, slots, K, V, Q, S, Y):
    e = v.shape[1]
    R = order_q.shape[0]
    last = min(first + chunk, n)
    low, own, count = _keys_of(r, first, last, chunk, n, order_q, order_k, reach, wrap, keys)
    if count == 0:
        if r == R - 1:
            for s in range(first, last):
                _finish(order_q[r, s], out, so, bo, top, total)
        return
    gather_scaled(k, bk, sk, keys[:count], inverse, K)
    gather(v, bv, sv, keys[:count], v.dtype.type(1), V)
    if distinct:
        for p in range(r):
            for j in range(count):
                slots[p, j] = slot_k[p, keys[j]]
    s = first
    while s < last:
        end = min(s + TILE, last)
        m = end - s
        tokens = order_q[r, s:end]
        a, z = count, np.int64(0)
        for i in range(m):
            lo = reach[r, tokens[i], 0] - low
            a = min(a, lo)
            z = max(z, lo + reach[r, tokens[i], 1])
        if count > own:
            a, z = np.int64(0), count
        w = z - a
        if w > 0:
            gather(q, bq, sq, tokens, scale, Q)
            P = S[:m * w].reshape(m, w)
            np.dot(Q[:m], K[a:z].T, P)
            for i in range(m):
                lo, hi = _mask_tile(r, s, m, first, count > own, low, a, z, keys, slots, order_q, slot_k, reach, shared, causal, across,
                                    distinct, i, P)
                peak = top_of(P[i], lo, hi)
                t = tokens[i]
                if peak > top[t]:
                    total[t] *= exp(top[t] - peak)
                    shrink = exp(top[t] - peak)
                    o = out[bo + so * t]
                    for c in range(e):
                        o[c] *= shrink
                    top[t] = peak
                total[t] += weigh(P[i], lo, hi, top[t])
            np.dot(P, V[a:z], Y[:m])
            for i in range(m):
                o = out[bo + so * tokens[i]]
                for c in range(e):
                    o[c] += Y[i, c]
        if r == R - 1:
            for i in range(m):
                _finish(tokens[i], out, so, bo, top, total)
        s = end


@inline
def _finish(t, out, so, bo, top, total):
    o = out[bo + so * t]
    if total[t] > 0:
        inverse = o.dtype.type(1) / total[t]
        for c in range(o.shape[0]):
            o[c] *= inverse
        top[t] += math.log(total[t])


@parallel
def attend(q, sq, k, sk, v, sv, inverse, scale, counts, order_q, order_k, slot_k, reach, r, chunk, shared, causal, across, distinct, wrap,
           out, so, top, total):
    """Round r of attention: to be called for all rounds in order, on `out` and `total` of zeros and `top` of MASKED.

    Parameters
    ----------
    q, k, v, out : (n, d) rows
        With strides sq, sk, sv, so (3,) of batch, head and token, in rows.
    inverse : (B, H, T)
        Factors of the keys.
    counts : (B,) int64
        Valid tokens.
    order_q, order_k, slot_k, reach
        See `attention_sort.sort_tokens`.
    top, total : (B, H, T)
        Running maximum and sum; after the last round `top` is the log-partition.
    """
    B, H, R, T = order_q.shape
    runs = (T + RUN * chunk - 1) // (RUN * chunk)
    for task in prange(B * H * runs):
        b = task // (H * runs)
        h = task // runs % H
        n = counts[b]
        most = 3 * chunk
        keys = np.empty(most, np.int32)
        slots = np.empty((R, most), np.int32)
        K = np.empty((most, q.shape[1]), q.dtype)
        V = np.empty((most, v.shape[1]), q.dtype)
        Q = np.empty((TILE, q.shape[1]), q.dtype)
        S = np.empty(TILE * most, q.dtype)
        Y = np.empty((TILE, v.shape[1]), q.dtype)
        lo = task % runs * RUN * chunk
        for first in range(lo, min(lo + RUN * chunk, n), chunk):
            _attend_chunk(r, first, n, chunk, q, sq[2], b * sq[0] + h * sq[1], k, sk[2], b * sk[0] + h * sk[1], v, sv[2],
                          b * sv[0] + h * sv[1], inverse[b, h], scale, order_q[b, h], order_k[b, h], slot_k[b, h], reach[b, h], shared,
                          causal, across, distinct, wrap, out, so[2], b * so[0] + h * so[1], top[b, h], total[b, h], keys, slots, K, V,
                          Q, S, Y)


@parallel
def dot_rows(x, sx, y, sy, out):
    """out (B, H, T): inner products of the rows of two arrays."""
    B, H, T = out.shape
    for task in prange(B * H):
        b = task // H
        h = task % H
        for t in range(T):
            u = x[b * sx[0] + h * sx[1] + t * sx[2]]
            w = y[b * sy[0] + h * sy[1] + t * sy[2]]
            total = out.dtype.type(0)
            for e in range(u.shape[0]):
                total += u[e] * w[e]
            out[b, h, t] = total


@inline
def _backward_chunk(r, first, n, chunk, q, sq, bq, k, sk, bk, v, sv, bv, g, sg, bg, inverse, normalise, scale, order_q, order_k, slot_k,
                    reach, shared, causal, across, distinct, wrap, log_z, delta, dq, dk, dv, keys, slots, K, V, Q, G, S, D, dK, dV, dQ):
    d = q.shape[1]
    e = v.shape[1]
    last = min(first + chunk, n)
    low, own, count = _keys_of(r, first, last, chunk, n, order_q, order_k, reach, wrap, keys)
    if count == 0:
        return
    gather_scaled(k, bk, sk, keys[:count], inverse, K)
    gather(v, bv, sv, keys[:count], v.dtype.type(1), V)
    if distinct:
        for p in range(r):
            for j in range(count):
                slots[p, j] = slot_k[p, keys[j]]
    dK[:count] = 0
    dV[:count] = 0
    s = first
    while s < last:
        end = min(s + TILE, last)
        m = end - s
        tokens = order_q[r, s:end]
        a, z = count, np.int64(0)
        for i in range(m):
            lo = reach[r, tokens[i], 0] - low
            a = min(a, lo)
            z = max(z, lo + reach[r, tokens[i], 1])
        if count > own:
            a, z = np.int64(0), count
        w = z - a
        if w > 0:
            gather(q, bq, sq, tokens, scale, Q)
            gather(g, bg, sg, tokens, v.dtype.type(1), G)
            P = S[:m * w].reshape(m, w)
            dP = D[:m * w].reshape(m, w)
            np.dot(Q[:m], K[a:z].T, P)
            np.dot(G[:m], V[a:z].T, dP)
            for i in range(m):
                lo, hi = _mask_tile(r, s, m, first, count > own, low, a, z, keys, slots, order_q, slot_k, reach, shared, causal, across,
                                    distinct, i, P)
                weigh(P[i], lo, hi, log_z[tokens[i]])
                mean = delta[tokens[i]]
                for j in range(w):
                    dP[i, j] = P[i, j] * (dP[i, j] - mean)
                if shared:  # the own key's score is a constant
                    if across:
                        for j in range(w):
                            dP[i, j] = 0 if keys[a + j] == tokens[i] else dP[i, j]
                    else:
                        dP[i, s + i - low - a] = 0
            part = dK[chunk * 3:]
            np.dot(P.T, G[:m], part[:w])
            for j in range(w):
                for c in range(e):
                    dV[a + j, c] += part[j, c]
            np.dot(dP.T, Q[:m], part[:w])
            for j in range(w):
                for c in range(d):
                    dK[a + j, c] += part[j, c]
            np.dot(dP, K[a:z], dQ[:m])
            for i in range(m):
                x = dq[bq + sq * tokens[i]]
                for c in range(d):
                    x[c] += scale * dQ[i, c]
        s = end
    for j in range(count):
        t = keys[j]
        x = dv[bv + sv * t]
        for c in range(e):
            x[c] += dV[j, c]
        x = dk[bk + sk * t]
        along = K.dtype.type(0)
        if normalise:
            for c in range(d):
                along += K[j, c] * dK[j, c]
        for c in range(d):
            x[c] += inverse[t] * (dK[j, c] - along * K[j, c])


@parallel
def attend_backward(q, sq, k, sk, v, sv, g, sg, inverse, normalise, scale, counts, order_q, order_k, slot_k, reach, r, run, parity, chunk,
                    shared, causal, across, distinct, wrap, log_z, delta, dq, dk, dv):
    """Add the gradients of round r to dq, dk (the same array where queries are keys) and dv: runs of `run` chunks of one parity.

    With parity 2: the first chunks alone, which the other two leave out under `wrap`. g: gradient of the output. log_z, delta
    (B, H, T): the log-partitions, and inner products of output and its gradient. dq, dk, dv: rows like q, k, v.
    """
    B, H, R, T = order_q.shape
    runs = (T + run * chunk - 1) // (run * chunk)
    mine = 1 if parity == 2 else (runs + 1 - parity) // 2
    for task in prange(B * H * mine):
        b = task // (H * mine)
        h = task // mine % H
        n = counts[b]
        most = 3 * chunk
        keys = np.empty(most, np.int32)
        slots = np.empty((R, most), np.int32)
        K = np.empty((most, q.shape[1]), q.dtype)
        V = np.empty((most, v.shape[1]), q.dtype)
        Q = np.empty((TILE, q.shape[1]), q.dtype)
        G = np.empty((TILE, v.shape[1]), q.dtype)
        S = np.empty(TILE * most, q.dtype)
        D = np.empty(TILE * most, q.dtype)
        dK = np.empty((2 * most, q.shape[1]), q.dtype)
        dV = np.empty((most, v.shape[1]), q.dtype)
        dQ = np.empty((TILE, q.shape[1]), q.dtype)
        lo = 0 if parity == 2 else (2 * (task % mine) + parity) * run * chunk
        hi = min(n, chunk if parity == 2 else lo + run * chunk)
        if wrap and parity < 2 and lo == 0:
            lo = chunk
        for first in range(lo, hi, chunk):
            _backward_chunk(r, first, n, chunk, q, sq[2], b * sq[0] + h * sq[1], k, sk[2], b * sk[0] + h * sk[1], v, sv[2],
                            b * sv[0] + h * sv[1], g, sg[2], b * sg[0] + h * sg[1], inverse[b, h], normalise, scale, order_q[b, h],
                            order_k[b, h], slot_k[b, h], reach[b, h], shared, causal, across, distinct, wrap, log_z[b, h], delta[b, h],
                            dq, dk, dv, keys, slots, K, V, Q, G, S, D, dK, dV, dQ)
