"""Sparse gradient and optimiser step in one pass over the touched rows: one owner per row.

The gradient of a row of weights is ``sum_j coef[j] * V[sample[j]]`` over the samples in which the row is active. For the
output layer `coef` is d loss / d logit and V the activations; for the input layer `coef` is the feature value and V the
gradient of the layer above. So one pair of kernels trains both.

A. *Row owner, not scatter.* `sort_pairs` turns "samples -> rows" into "rows -> samples" by a two-level counting sort (ranges of
   rows, then rows); `apply_rows` gives each range to one thread, which gathers a row's gradient in registers and applies the
   optimiser at once. No gradient buffer for the layer, no atomics, and sums run in sample order: any number of threads, same
   bits. Rejected: scattering into a dense gradient (writes N x D floats), HOGWILD (not reproducible).
B. Within a range rows are visited in order of first touch, without a pass over untouched rows, however many there are. Where many
   are touched, they are visited in order of ids, which takes a third less time per row. `cursor` (N,) is zero before and after.
C. A row-wise second moment (v of length 1) moves a third fewer bytes. Rejected: moments side by side, (N, 2 D), which were slower.
D. The optimiser is chosen by a number inside the row loop: one compilation serves all. An optimiser without a state passes
   the weights in its place; they are not read as such.
E. Arrays are taken from a bundle by their names. `a, b = bundle` hides from Numba that a loop which writes to `a` has an effect, and the
   loop is removed (0.68).
"""

from typing import NamedTuple

import numpy as np
from numba import prange

from mongoose_nb.core.jit import inline, parallel, serial
from mongoose_nb.kernels.common.prefetch import prefetch_state

SGD, ADAGRAD, ADAM, ROWADAM = 0, 1, 2, 3
# places in the vector of optimiser constants
LR, BETA1, BETA2, EPS, DECAY, CORR1, CORR2, SCALE = range(8)
CHUNKS = 16
# rows to prefetch before their turn
AHEAD = 4
# a range of which more than one in so many is touched is visited in order of ids
DENSE = 8


class Pairs(NamedTuple):
    """Pairs (row, sample) of a batch: those of sample i are ``ids[start[i] : start[i] + count[i]]``, with their coefficients."""

    start: np.ndarray  # (B,) int64
    count: np.ndarray  # (B,) int64
    ids: np.ndarray  # int32, read-only
    coef: np.ndarray  # as ids, float32, read-only


class Groups(NamedTuple):
    """Pairs grouped by row, in ranges of rows.

    ``rows[part_ptr[p] : part_ptr[p] + part_rows[p]]`` are the touched rows of range p. The pairs of the k-th of them end at
    ``ends[part_ptr[p] + k]`` and begin where those of the one before end; those of the first begin at ``part_ptr[p]``.
    """

    sample: np.ndarray  # (m,) int32
    value: np.ndarray  # (m,) float32
    rows: np.ndarray  # (m,) int32
    ends: np.ndarray  # (m,) int64
    part_ptr: np.ndarray  # (n_parts + 1,) int64
    part_rows: np.ndarray  # (n_parts,) int64


class SortScratch(NamedTuple):
    """Scratch memory of `sort_pairs`."""

    cursor: np.ndarray  # (N,) int32, zeros before and after
    hist: np.ndarray  # (CHUNKS, n_parts) int64
    key: np.ndarray  # (m,) int32
    sample: np.ndarray  # (m,) int32
    value: np.ndarray  # (m,) float32


class State(NamedTuple):
    """What an optimiser step changes: an array and its moments, which are the array itself where they are not kept."""

    value: np.ndarray
    m: np.ndarray
    v: np.ndarray


@inline
def step_row(kind, hyper, w, m, v, g):
    """One optimiser step on one row, in place; `g` is the gradient, scaled here by hyper[SCALE] (clipping)."""
    D = w.shape[0]
    lr, decay, scale, eps = hyper[LR], hyper[DECAY], hyper[SCALE], hyper[EPS]
    if kind == ADAM or (kind == ROWADAM and v.shape[0] == D):
        b1, b2 = hyper[BETA1], hyper[BETA2]
        a1, a2 = np.float32(1.0) - b1, np.float32(1.0) - b2
        step, c2 = lr * hyper[CORR1], hyper[CORR2]
        for d in range(D):
            gd = scale * g[d]
            md = b1 * m[d] + a1 * gd
            vd = b2 * v[d] + a2 * gd * gd
            m[d] = md
            v[d] = vd
            w[d] = decay * w[d] - step * md / (np.sqrt(vd) * c2 + eps)
    elif kind == ROWADAM:
        b1, b2 = hyper[BETA1], hyper[BETA2]
        square = np.float32(0.0)
        for d in range(D):
            square += g[d] * g[d]
        v[0] = b2 * v[0] + (np.float32(1.0) - b2) * scale * scale * square / np.float32(D)
        step = lr * hyper[CORR1] / (np.sqrt(v[0]) * hyper[CORR2] + eps)
        a1 = (np.float32(1.0) - b1) * scale
        for d in range(D):
            md = b1 * m[d] + a1 * g[d]
            m[d] = md
            w[d] = decay * w[d] - step * md
    elif kind == ADAGRAD:
        for d in range(D):
            gd = scale * g[d]
            vd = v[d] + gd * gd
            v[d] = vd
            w[d] = decay * w[d] - lr * gd / (np.sqrt(vd) + eps)
    elif hyper[BETA1] != np.float32(0.0):
        b1 = hyper[BETA1]
        for d in range(D):
            md = b1 * m[d] + scale * g[d]
            m[d] = md
            w[d] = decay * w[d] - lr * md
    else:
        for d in range(D):
            w[d] = decay * w[d] - lr * scale * g[d]


@parallel
def sort_pairs(pairs, shift, scratch, groups):
    """Fill `groups` with the pairs of a batch by row. A range is the ids that share ``id >> shift``."""
    start = pairs.start
    count = pairs.count
    ids = pairs.ids
    coef = pairs.coef
    cursor = scratch.cursor
    hist = scratch.hist
    key = scratch.key
    first_sample = scratch.sample
    first_value = scratch.value
    sample = groups.sample
    value = groups.value
    rows = groups.rows
    ends = groups.ends
    part_ptr = groups.part_ptr
    part_rows = groups.part_rows
    n_parts = part_rows.shape[0]
    B = start.shape[0]
    for c in prange(CHUNKS):
        for p in range(n_parts):
            hist[c, p] = 0
        for i in range(c * B // CHUNKS, (c + 1) * B // CHUNKS):
            for j in range(start[i], start[i] + count[i]):
                hist[c, ids[j] >> shift] += 1
    total = 0
    for p in range(n_parts):
        part_ptr[p] = total
        for c in range(CHUNKS):
            n = hist[c, p]
            hist[c, p] = total
            total += n
    part_ptr[n_parts] = total
    for c in prange(CHUNKS):
        for i in range(c * B // CHUNKS, (c + 1) * B // CHUNKS):
            for j in range(start[i], start[i] + count[i]):
                row = ids[j]
                q = hist[c, row >> shift]
                hist[c, row >> shift] = q + 1
                key[q] = row
                first_sample[q] = i
                first_value[q] = coef[j]
    for p in prange(n_parts):
        lo, hi = part_ptr[p], part_ptr[p + 1]
        n_rows = 0
        for q in range(lo, hi):
            row = key[q]
            if cursor[row] == 0:
                rows[lo + n_rows] = row
                n_rows += 1
            cursor[row] += 1
        first = p << shift
        last = min(cursor.shape[0], (p + 1) << shift)
        if n_rows * DENSE > last - first:
            n_rows = 0
            for row in range(first, last):
                if cursor[row] > 0:
                    rows[lo + n_rows] = row
                    n_rows += 1
        at = lo
        for k in range(lo, lo + n_rows):
            n = cursor[rows[k]]
            cursor[rows[k]] = at
            at += n
        for q in range(lo, hi):
            row = key[q]
            at = cursor[row]
            cursor[row] = at + 1
            sample[at] = first_sample[q]
            value[at] = first_value[q]
        for k in range(lo, lo + n_rows):
            ends[k] = cursor[rows[k]]
            cursor[rows[k]] = 0
        part_rows[p] = n_rows


@serial
def list_rows(groups, out):
    """The touched rows of all ranges side by side."""
    rows, part_ptr, part_rows = groups.rows, groups.part_ptr, groups.part_rows
    n = 0
    for p in range(part_rows.shape[0]):
        for q in range(part_ptr[p], part_ptr[p] + part_rows[p]):
            out[n] = rows[q]
            n += 1


@inline
def _gather(g, V, sample, value):
    """g = sum_j value[j] * V[sample[j]]; returns the sum of the values (the gradient of a bias)."""
    D = g.shape[0]
    n = sample.shape[0]
    total = np.float32(0.0)
    c0 = value[0]
    v0 = V[sample[0]]
    for d in range(D):
        g[d] = c0 * v0[d]
    total += c0
    j = 1
    while j + 4 <= n:
        c0, c1, c2, c3 = value[j], value[j + 1], value[j + 2], value[j + 3]
        v0, v1, v2, v3 = V[sample[j]], V[sample[j + 1]], V[sample[j + 2]], V[sample[j + 3]]
        for d in range(D):
            g[d] += (c0 * v0[d] + c1 * v1[d]) + (c2 * v2[d] + c3 * v3[d])
        total += (c0 + c1) + (c2 + c3)
        j += 4
    while j < n:
        c0 = value[j]
        v0 = V[sample[j]]
        for d in range(D):
            g[d] += c0 * v0[d]
        total += c0
        j += 1
    return total


@parallel
def apply_rows(V, groups, kind, hyper, bias_hyper, weights, has_bias, bias, g):
    """Optimiser step on every touched row of `weights`, and of `bias` if there is one (`State`). g (n_parts, D) is scratch."""
    sample = groups.sample
    value = groups.value
    rows = groups.rows
    ends = groups.ends
    part_ptr = groups.part_ptr
    part_rows = groups.part_rows
    W = weights.value
    M = weights.m
    S = weights.v
    b = bias.value
    bm = bias.m
    bs = bias.v
    n_parts = part_ptr.shape[0] - 1
    for p in prange(n_parts):
        at = part_ptr[p]
        last = part_ptr[p] + part_rows[p]
        for k in range(part_ptr[p], last):
            if k + AHEAD < last:
                prefetch_state(rows[k + AHEAD], W, M, S)
                if has_bias:
                    prefetch_state(rows[k + AHEAD], b, bm, bs)
            end = ends[k]
            row = rows[k]
            total = _gather(g[p], V, sample[at:end], value[at:end])
            at = end
            step_row(kind, hyper, W[row], M[row], S[row], g[p])
            if has_bias:
                g[p, 0] = total
                step_row(kind, bias_hyper, b[row:row + 1], bm[row:row + 1], bs[row:row + 1], g[p, :1])


@parallel
def sum_groups(V, groups, first, out, totals):
    """The gradient of every touched row, and of its bias; those of range p begin at ``first[p]``, in the order of `list_rows`."""
    sample = groups.sample
    value = groups.value
    ends = groups.ends
    part_ptr = groups.part_ptr
    part_rows = groups.part_rows
    for p in prange(part_rows.shape[0]):
        at = part_ptr[p]
        for k in range(part_rows[p]):
            end = ends[part_ptr[p] + k]
            totals[first[p] + k] = _gather(out[first[p] + k], V, sample[at:end], value[at:end])
            at = end


@parallel
def square_rows(V, groups, has_bias, g, out):
    """out[p] = squared norm of the gradient of range p, for clipping by the global norm."""
    sample = groups.sample
    value = groups.value
    ends = groups.ends
    part_ptr = groups.part_ptr
    part_rows = groups.part_rows
    n_parts = part_ptr.shape[0] - 1
    for p in prange(n_parts):
        at = part_ptr[p]
        square = 0.0
        for k in range(part_ptr[p], part_ptr[p] + part_rows[p]):
            end = ends[k]
            total = _gather(g[p], V, sample[at:end], value[at:end])
            at = end
            for d in range(g.shape[1]):
                square += g[p, d] * g[p, d]
            if has_bias:
                square += total * total
        out[p] = square


@serial
def apply_dense(G, kind, hyper, state):
    """Optimiser step on all rows of a dense matrix (`State`)."""
    W, M, S = state
    for r in range(W.shape[0]):
        step_row(kind, hyper, W[r], M[r], S[r], G[r])
