"""Layers on per-sample active sets: each sample touches only the output rows on its own list.

The active set of sample i is the slice ``ids[start[i] : start[i] + count[i]]``: true labels first (``n_label[i]``), then retrieved
candidates, then uniform candidates from position ``n_exact[i]`` on, whose logits carry the correction ``shift[i]``. Corrections that
differ by output are in `shifts`, as long as `ids`; it is empty where there are none.

A. *Fused online softmax.* A sample's rows are walked in blocks of 16: logits, running maximum and the running sum of
   exp(z) * row together, so forward and the gradient to the layer below read each weight row once (the second use finds it in
   L1). Two passes, logits first and gradient after, read every row twice from memory: the random row is the cost here.
B. One sample has one writer, and its arithmetic does not depend on the other samples: any number of threads, same bits.
"""

from typing import NamedTuple

import numpy as np
from numba import prange

from mongoose_nb.core.jit import inline, parallel
from mongoose_nb.kernels.common.fastmath import exp32, sigmoid32, softplus32
from mongoose_nb.kernels.common.prefetch import prefetch_line, prefetch_row

GROUP = 16
# Rows and biases are prefetched so many places ahead, one at a time: 16 at once fill the buffers of the processor.
AHEAD = 16


class Lists(NamedTuple):
    """Active sets of a batch, as the top of the file describes them."""

    start: np.ndarray  # (B,) int64
    count: np.ndarray  # (B,) int64
    ids: np.ndarray  # int32, read-only
    n_label: np.ndarray  # (B,) int64
    n_exact: np.ndarray  # (B,) int64
    shift: np.ndarray  # (B,) float32
    shifts: np.ndarray  # as ids, zero for labels; or empty
    n_target: np.ndarray  # (B,) int64, labels of the sample in all: more than n_label where the layer is in several places


@inline
def _dot(h, w):
    s = np.float32(0.0)
    for d in range(h.shape[0]):
        s += h[d] * w[d]
    return s


@inline
def _add_rows(acc, W, ids, coef):
    """acc += sum_j coef[j] * W[ids[j]], four rows at a time."""
    n = ids.shape[0]
    D = acc.shape[0]
    j = 0
    while j + 4 <= n:
        c0, c1, c2, c3 = coef[j], coef[j + 1], coef[j + 2], coef[j + 3]
        w0, w1, w2, w3 = W[ids[j]], W[ids[j + 1]], W[ids[j + 2]], W[ids[j + 3]]
        for d in range(D):
            acc[d] += (c0 * w0[d] + c1 * w1[d]) + (c2 * w2[d] + c3 * w3[d])
        j += 4
    while j < n:
        c0 = coef[j]
        w0 = W[ids[j]]
        for d in range(D):
            acc[d] += c0 * w0[d]
        j += 1


@inline
def _softmax_sample(h, W, bias, ids, n_label, n_target, n_exact, shift, shifts, scale, delta, grad):
    """(log Z, share of the label logits) of one sample; `delta` receives d loss / d logits and `grad` d loss / d h, both times `scale`."""
    n = ids.shape[0]
    D = h.shape[0]
    biases = bias.reshape(1, -1)
    top = np.float32(-np.inf)
    total = np.float32(0.0)
    e = np.empty(GROUP, np.float32)
    for d in range(D):
        grad[d] = np.float32(0.0)
    for lo in range(0, n, GROUP):
        hi = min(n, lo + GROUP)
        block_top = top
        for j in range(lo, hi):
            if j + AHEAD < n:
                prefetch_row(W, ids[j + AHEAD])
                prefetch_line(biases, 0, ids[j + AHEAD])
            row = ids[j]
            z = _dot(h, W[row]) + bias[row]
            if j >= n_exact:
                z += shift
            delta[j] = z
        if shifts.shape[0] > 0:  # outside the loop above, which is the hot one
            for j in range(lo, hi):
                delta[j] += shifts[j]
        for j in range(lo, hi):
            # written so that a NaN becomes the maximum and reaches the loss
            if not delta[j] <= block_top:
                block_top = delta[j]
        if not block_top <= top:
            shrink = exp32(top - block_top)
            total *= shrink
            for d in range(D):
                grad[d] *= shrink
            top = block_top
        for j in range(hi - lo):
            e[j] = exp32(delta[lo + j] - top)
            total += e[j]
        _add_rows(grad, W, ids[lo:hi], e[: hi - lo])
    log_z = top + np.float32(np.log(total))
    target = np.float32(1.0) / np.float32(n_target)
    mean_label_logit = np.float32(0.0)
    for j in range(n_label):
        mean_label_logit += delta[j] * target
    for j in range(n):
        delta[j] = scale * exp32(delta[j] - log_z)
    factor = scale / total
    for d in range(D):
        grad[d] *= factor
    for j in range(n_label):
        delta[j] -= scale * target
        row = ids[j]
        for d in range(D):
            grad[d] -= scale * target * W[row, d]
    return log_z, mean_label_logit


@inline
def _logistic_sample(h, W, bias, ids, n_label, n_exact, shift, shifts, scale, delta, grad):
    """As `_softmax_sample` for one-vs-all logistic loss: what is sampled stands for the rest with weight exp(shift)."""
    n = ids.shape[0]
    biases = bias.reshape(1, -1)
    for d in range(h.shape[0]):
        grad[d] = np.float32(0.0)
    tail_weight = np.float32(np.exp(shift))
    loss = np.float32(0.0)
    for lo in range(0, n, GROUP):
        hi = min(n, lo + GROUP)
        for j in range(lo, hi):
            if j + AHEAD < n:
                prefetch_row(W, ids[j + AHEAD])
                prefetch_line(biases, 0, ids[j + AHEAD])
            row = ids[j]
            z = _dot(h, W[row]) + bias[row]
            weight = tail_weight if j >= n_exact else np.float32(1.0)
            if shifts.shape[0] > 0:
                weight *= np.float32(np.exp(shifts[j]))
            if j < n_label:
                loss += softplus32(-z)
                delta[j] = scale * (sigmoid32(z) - np.float32(1.0))
            else:
                loss += weight * softplus32(z)
                delta[j] = scale * weight * sigmoid32(z)
        _add_rows(grad, W, ids[lo:hi], delta[lo:hi])
    return loss


@parallel
def loss_active(H, W, bias, lists, logistic, scale, delta, grad, loss, log_z):
    """Forward and backward of the output layer on per-sample active sets (`Lists`).

    H (B, D) activations; W (N, D), bias (N,); `scale` (B,) the share of every sample in the mean. Out: `delta` (as ``lists.ids``),
    `grad` (B, D), `loss` (B,), and, under the softmax, the logarithm of the normaliser `log_z` (B,). A sample without labels has no target
    there: all of these are zero. A part of a layer (`n_target`) may list no outputs of a sample: then its log_z is minus infinity.
    """
    start = lists.start
    count = lists.count
    ids = lists.ids
    n_label = lists.n_label
    n_exact = lists.n_exact
    shift = lists.shift
    shifts = lists.shifts
    n_target = lists.n_target
    for i in prange(H.shape[0]):
        s, n = start[i], count[i]
        log_z[i] = np.float32(0.0)
        if logistic:
            loss[i] = _logistic_sample(H[i], W, bias, ids[s:s + n], n_label[i], n_exact[i], shift[i], shifts[s:s + n], scale[i],
                                       delta[s:s + n], grad[i])
        elif n_target[i] > 0 and n > 0:
            log_z[i], mean_label_logit = _softmax_sample(H[i], W, bias, ids[s:s + n], n_label[i], n_target[i], n_exact[i], shift[i],
                                                         shifts[s:s + n], scale[i], delta[s:s + n], grad[i])
            loss[i] = log_z[i] - mean_label_logit
        else:
            if n_target[i] > 0:
                log_z[i] = np.float32(-np.inf)
            loss[i] = np.float32(0.0)
            delta[s:s + n] = np.float32(0.0)
            grad[i] = np.float32(0.0)


@parallel
def logits_active(H, W, bias, start, count, ids, out):
    """out[j] = H[i] . W[ids[j]] + bias[ids[j]] for every active j of every sample i."""
    for i in prange(H.shape[0]):
        for j in range(start[i], start[i] + count[i]):
            row = ids[j]
            out[j] = _dot(H[i], W[row]) + bias[row]


@parallel
def sum_rows(start, count, ids, coef, W, bias, out):
    """out[i] = bias + sum_j coef[j] * W[ids[j]]: a sparse row times a matrix, or a gradient through active rows."""
    for i in prange(out.shape[0]):
        for d in range(out.shape[1]):
            out[i, d] = bias[d]
        last = start[i] + count[i]
        c = np.empty(GROUP, np.float32)  # so that `_add_rows` is compiled once, for coefficients that may be written
        for j in range(start[i], min(last, start[i] + AHEAD)):
            prefetch_row(W, ids[j])
        for lo in range(start[i], last, GROUP):
            hi = min(last, lo + GROUP)
            for j in range(lo, hi):
                if j + AHEAD < last:
                    prefetch_row(W, ids[j + AHEAD])
                c[j - lo] = coef[j]
            _add_rows(out[i], W, ids[lo:hi], c[: hi - lo])


@parallel
def dot_rows(G, W, start, count, ids, out):
    """out[j] = G[i] . W[ids[j]]: the gradient of a sparse row's values."""
    for i in prange(G.shape[0]):
        for j in range(start[i], start[i] + count[i]):
            out[j] = _dot(G[i], W[ids[j]])


@inline
def insert_best(scores, ids, score, row):
    """Put (score, row) into a list sorted by falling score, of fixed length; equal scores keep the lower id first."""
    j = scores.shape[0] - 1
    while j > 0 and (scores[j - 1] < score or (scores[j - 1] == score and ids[j - 1] > row)):
        scores[j] = scores[j - 1]
        ids[j] = ids[j - 1]
        j -= 1
    scores[j] = score
    ids[j] = row


@parallel
def topk_active(H, W, bias, start, count, ids, scores, best):
    """Best outputs of each sample among those on its list: scores, best (n, k); -inf and -1 where it lists fewer."""
    biases = bias.reshape(1, -1)
    for i in prange(H.shape[0]):
        scores[i] = np.float32(-np.inf)
        best[i] = -1
        end = start[i] + count[i]
        for j in range(start[i], min(start[i] + AHEAD, end)):
            prefetch_row(W, ids[j])
            prefetch_line(biases, 0, ids[j])
        for j in range(start[i], end):
            if j + AHEAD < end:
                prefetch_row(W, ids[j + AHEAD])
                prefetch_line(biases, 0, ids[j + AHEAD])
            row = ids[j]
            z = _dot(H[i], W[row]) + bias[row]
            last = scores.shape[1] - 1
            if z > scores[i, last] or (z == scores[i, last] and row < best[i, last]):
                insert_best(scores[i], best[i], z, row)
