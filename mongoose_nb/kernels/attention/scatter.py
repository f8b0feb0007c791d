"""Attention as the sum of a sparse part and positive random features (Chen et al., "Scatterbrain", NeurIPS 2021), forward and backward.

A. Everything is computed in float64, head by head, one query after the other. A feature of a key, exp(w . k - |k|^2 / 2), is at most
   exp(|w|^2 / 2), which float64 holds for any width in use: keys need no scale in common, and so no later key changes an earlier output.
   A query's features and scores carry a scale of its own.
B. Under a causal mask the sums over keys are prefix sums; the own key is added after the query has read them where queries are keys.
C. On the support the estimate is taken off again and the exact weight is added: nothing counts twice.
D. No product goes through BLAS, so a query has the same bits whatever follows it and for any number of threads.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import prange

from mongoose_nb.core.jit import inline, parallel, serial


class Inputs(NamedTuple):
    """What attention reads; n = batch * heads."""

    q: np.ndarray  # (n, T, d) float64, scaled by width ** -0.25 as keys are
    k: np.ndarray
    v: np.ndarray
    omega: np.ndarray  # (heads, m, d) float64
    valid: np.ndarray  # (batch, T) bool
    start: np.ndarray  # (n, T + 1) int64, places in `keys`
    keys: np.ndarray  # int32, keys of the support


@inline
def _features(x, omega, out, logs):
    """out (T, m) = exp(x . omega - logs), where logs (T,) are the largest products; |x|^2 / 2 is taken off `logs` afterwards."""
    T, d = x.shape
    m = omega.shape[0]
    for t in range(T):
        y = out[t]
        largest = -np.inf
        for r in range(m):
            total = 0.0
            w = omega[r]
            u = x[t]
            for c in range(d):
                total += w[c] * u[c]
            y[r] = total
            largest = max(largest, total)
        half = 0.0
        for c in range(d):
            half += 0.5 * x[t, c] * x[t, c]
        for r in range(m):
            y[r] = math.exp(y[r] - largest)
        logs[t] = largest - half


@inline
def _load(inputs, n, A, B, logs):
    """Features A of queries, up to the scales exp(logs), and B of keys, all with their scale and 1 / m."""
    m = inputs.omega.shape[1]
    if m == 0:
        logs[:] = -np.inf
        return
    omega = inputs.omega[n % inputs.omega.shape[0]]
    _features(inputs.k[n], omega, B, logs)
    for t in range(B.shape[0]):
        factor = math.exp(logs[t]) / m
        for r in range(m):
            B[t, r] *= factor
    _features(inputs.q[n], omega, A, logs)


@inline
def _add_key(Z, b, v):
    """Z (m, d + 1) += the outer product of b and [v, 1]."""
    d = v.shape[0]
    for r in range(Z.shape[0]):
        z = Z[r]
        f = b[r]
        for c in range(d):
            z[c] += f * v[c]
        z[d] += f


@inline
def _dot(a, b):
    total = 0.0
    for c in range(a.shape[0]):
        total += a[c] * b[c]
    return total


@inline
def _positive(mass):
    """A sum of weights to divide by: cancellation may leave nothing, or less; NaN stays."""
    return 1e-300 if mass < 1e-300 else mass


@parallel
def attend(inputs, causal, shared, out, top, total):
    """Fill out (n, T, d), and of every query the log-scale `top` and the sum `total` of its weights over exp(top), (n, T).

    `total` is 0 where a query sees nothing, and -1 where it sees its own key alone, by the rule of shared queries and keys.
    """
    N, T, d = inputs.q.shape
    m = inputs.omega.shape[1]
    for n in prange(N):
        valid = inputs.valid[n // (N // inputs.valid.shape[0])]
        A, B, logs = np.empty((T, m)), np.empty((T, m)), np.empty(T)
        _load(inputs, n, A, B, logs)
        q, k, v, start = inputs.q[n], inputs.k[n], inputs.v[n], inputs.start[n]
        Z = np.zeros((m, d + 1))
        weights = np.empty(T)
        count = 0
        if not causal:
            for t in range(T):
                if valid[t]:
                    _add_key(Z, B[t], v[t])
                    count += 1
        for t in range(T):
            if not valid[t]:
                continue
            if causal and not shared:
                _add_key(Z, B[t], v[t])
                count += 1
            others = count - 1 if shared and not causal else count
            n_keys = start[t + 1] - start[t]
            high = logs[t] if others > 0 else -np.inf
            for i in range(n_keys):
                weights[i] = _dot(q[t], k[inputs.keys[start[t] + i]])
                if not weights[i] <= high:
                    high = weights[i]
            o = out[n, t]
            if high == -np.inf:
                if shared:
                    mark = _dot(q[t], q[t])
                    for c in range(d):
                        o[c] = v[t, c] if mark == mark else mark  # NaN stays
                    total[n, t] = -1.0
            else:
                fa = math.exp(logs[t] - high) if m > 0 and others > 0 else 0.0
                mass = 0.0
                if fa != 0:  # NaN stays
                    for r in range(m):
                        f = fa * A[t, r]
                        z = Z[r]
                        for c in range(d):
                            o[c] += f * z[c]
                        mass += f * z[d]
                    if shared and not causal:
                        f = -fa * _dot(A[t], B[t])
                        for c in range(d):
                            o[c] += f * v[t, c]
                        mass += f
                for i in range(n_keys):
                    s = inputs.keys[start[t] + i]
                    f = math.exp(weights[i] - high) - fa * _dot(A[t], B[s])
                    for c in range(d):
                        o[c] += f * v[s, c]
                    mass += f
                mass = _positive(mass)
                for c in range(d):
                    o[c] /= mass
                top[n, t] = high
                total[n, t] = mass
            if causal and shared:
                _add_key(Z, B[t], v[t])
                count += 1


@serial
def add_token(k, v, omega, Z, features, place):
    """Z (H, m, d + 1) += the sums of the next token, of keys k (H, d), scaled, and values v (H, d).

    Features of its keys are put into features (H, C, m) at this place, where it has so many.
    """
    H, m, d = omega.shape
    B, logs = np.empty((1, m)), np.empty(1)
    for h in range(H):
        _features(k[h:h + 1], omega[h], B, logs)
        factor = math.exp(logs[0]) / m
        for r in range(m):
            B[0, r] *= factor
        _add_key(Z[h], B[0], v[h])
        if place < features.shape[1]:
            features[h, place] = B[0]


@serial
def attend_token(q, keys, values, allowed, n, scale, omega, Z, features, out, weights):
    """As `attend`, of one token a head: `keys` and `values` (H, C, d) of the support, where `allowed` (H, n) says so, and sums Z over all.

    Weights (H, n) are those of the support; `scale` is that of the keys, whose features (H, C, m) are computed again where C = 0.
    """
    H, d = q.shape
    m = omega.shape[1]
    A, B, k, v, log, other = np.empty((1, m)), np.empty((1, m)), np.empty((1, d)), np.empty(d), np.empty(1), np.empty(1)
    for h in range(H):
        o, w = out[h], weights[h]
        high = -np.inf
        if m > 0:
            _features(q[h:h + 1], omega[h], A, log)
            high = log[0]
        for s in range(n):
            w[s] = 0.0
            if allowed[h, s]:
                for c in range(d):
                    w[s] += q[h, c] * keys[h, s, c] * scale
                if not w[s] <= high:
                    high = w[s]
        mass = 0.0
        if m > 0:
            fa = math.exp(log[0] - high)
            for r in range(m):
                A[0, r] *= fa
                z = Z[h, r]
                for c in range(d):
                    o[c] += A[0, r] * z[c]
                mass += A[0, r] * z[d]
        for s in range(n):
            if not allowed[h, s]:
                continue
            for c in range(d):
                k[0, c] = keys[h, s, c] * scale
                v[c] = values[h, s, c]
            f = math.exp(w[s] - high)
            w[s] = f
            if features.shape[1] > 0:
                f -= _dot(A[0], features[h, s])
            elif m > 0:
                _features(k, omega[h], B, other)
                f -= math.exp(other[0]) / m * _dot(A[0], B[0])
            for c in range(d):
                o[c] += f * v[c]
            mass += f
        if mass == 0.0 and high == -np.inf:
            continue
        mass = _positive(mass)
        for c in range(d):
            o[c] /= mass
        for s in range(n):
            w[s] /= mass


@parallel
def attend_backward(inputs, causal, shared, out, top, total, g, dq, dk, dv):
    """Gradients of `attend`, added to dq, dk and dv (n, T, d), for the gradient g of the output."""
    N, T, d = inputs.q.shape
    m = inputs.omega.shape[1]
    for n in prange(N):
        valid = inputs.valid[n // (N // inputs.valid.shape[0])]
        A, B, logs = np.empty((T, m)), np.empty((T, m)), np.empty(T)
        _load(inputs, n, A, B, logs)
        q, k, v, start = inputs.q[n], inputs.k[n], inputs.v[n], inputs.start[n]
        dA, dB = np.zeros((T, m)), np.zeros((T, m))
        slope = np.zeros((T, d + 1))
        for t in range(T):
            if not total[n, t] <= 0:
                along = 0.0
                for c in range(d):
                    slope[t, c] = g[n, t, c] / total[n, t]
                    along += slope[t, c] * out[n, t, c]
                slope[t, d] = -along
                fa = math.exp(logs[t] - top[n, t]) if m > 0 else 0.0
                for r in range(m):
                    A[t, r] *= fa
            else:
                A[t] = 0.0
                if total[n, t] < 0:
                    for c in range(d):
                        dv[n, t, c] += g[n, t, c]
        # pairs of the support, and the own pair that the sums over all keys hold: forward's coefficient is exact minus estimate
        for t in range(T):
            if total[n, t] <= 0:
                continue
            n_keys = start[t + 1] - start[t]
            for i in range(n_keys + (1 if shared and not causal and m > 0 else 0)):
                own = i == n_keys
                s = t if own else inputs.keys[start[t] + i]
                e = slope[t, d]
                for c in range(d):
                    e += slope[t, c] * v[s, c]
                exact = 0.0 if own else math.exp(_dot(q[t], k[s]) - top[n, t])
                f = exact - _dot(A[t], B[s])
                for c in range(d):
                    dv[n, s, c] += f * slope[t, c]
                    dq[n, t, c] += exact * e * k[s, c]
                    dk[n, s, c] += exact * e * q[t, c]
                for r in range(m):
                    dA[t, r] -= e * B[s, r]
                    dB[s, r] -= e * A[t, r]
        if m == 0:
            continue
        # the sums over all keys: a sweep of keys before each query for dA, and one back, of queries after each key, for dB and dv
        Z = np.zeros((m, d + 1))
        if not causal:
            for t in range(T):
                if valid[t]:
                    _add_key(Z, B[t], v[t])
        for t in range(T):
            if not valid[t]:
                continue
            if causal and not shared:
                _add_key(Z, B[t], v[t])
            if not total[n, t] <= 0:
                for r in range(m):
                    dA[t, r] += _dot(Z[r], slope[t])
            if causal and shared:
                _add_key(Z, B[t], v[t])
        Z[:] = 0.0
        if not causal:
            for t in range(T):
                for r in range(m):
                    for c in range(d + 1):
                        Z[r, c] += A[t, r] * slope[t, c]
        for s in range(T - 1, -1, -1):
            if not valid[s]:
                continue
            for late in range(2):  # whether the own query is added before or after the key reads
                if causal and late == (1 if shared else 0):
                    for r in range(m):
                        f = A[s, r]
                        for c in range(d + 1):
                            Z[r, c] += f * slope[s, c]
                if late == 0:
                    for r in range(m):
                        z = Z[r]
                        e = z[d]
                        for c in range(d):
                            e += z[c] * v[s, c]
                            dv[n, s, c] += B[s, r] * z[c]
                        dB[s, r] += e
        omega = inputs.omega[n % inputs.omega.shape[0]]
        for t in range(T):
            for r in range(m):
                a = dA[t, r] * A[t, r]
                b = dB[t, r] * B[t, r]
                for c in range(d):
                    dq[n, t, c] += a * (omega[r, c] - q[t, c])
                    dk[n, t, c] += b * (omega[r, c] - k[t, c])


@inline
def _reached(order, slot, reach, r, t, i, causal, shared):
    """The key at place i of round r that query t adds to its support, -1 if it has it already or must not see it."""
    s = order[r, reach[r, t, 0] + i]
    if (causal and s > t) or (shared and s == t):
        return -1
    for before in range(r):
        place = slot[before, s] - reach[before, t, 0]
        if 0 <= place < reach[before, t, 1]:
            return -1
    return s


@parallel
def collect(order, slot, reach, valid, causal, shared, fill, start, keys):
    """Union of the rounds as rows of keys, from the intervals of hashing: counts into start[:, 1:] first, then, with `fill`, the keys."""
    B, H, R, T = order.shape
    for n in prange(B * H):
        b = n // H
        h = n % H
        for t in range(T):
            count = 0
            if valid[b, t]:
                for r in range(R):
                    for i in range(reach[b, h, r, t, 1]):
                        s = _reached(order[b, h], slot[b, h], reach[b, h], r, t, i, causal, shared)
                        if s >= 0:
                            if fill:
                                keys[start[n, t] + count] = s
                            count += 1
            if not fill:
                start[n, t + 1] = count
