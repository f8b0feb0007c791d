"""The wide output layer when all samples of a batch share one list of outputs: blocks of rows, matrix products, two passes.

With ``ids`` the shared candidates, without (``n_rows`` first rows of W) the exact layer: the same code, so the exact layer is the
twin of the sampled one.

A. First pass: logits of a block of rows for all samples, Z (M, B) row by row, and each sample's maximum and sum of exponentials
   over the block. The partial sums are joined in block order. Second pass: gradient of the logits, of the activations and of the
   rows. Third: the optimiser step.
B. Z is kept between the passes. Recomputing it costs a third product; at 100,000 outputs storing was as fast and simpler.
C. Listed rows are gathered once, into R, and read from there by the second pass: they fit the cache, the weights do not.
D. Gradients to the activations are summed by a fixed number of groups of blocks and then in group order. Numbers of blocks and
   groups depend on the length of the list alone, and are multiples of 8, so that 2, 4 or 8 threads have equal shares: the same
   bits for any number of threads.
E. Corrections are a list, `shifts`, as long as the list of outputs or empty. A sample's own labels are in the list for certain: where
   a column is corrected, its pairs with the samples that have it as a label are not.
F. Targets are pairs (column of the list, sample), grouped by column with a counting sort: NumPy's sort and search took longer than
   one of the products.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import get_thread_id, prange

from mongoose_nb.core.jit import inline, parallel, serial
from mongoose_nb.kernels.common.fastmath import exp32, sigmoid32, softplus32
from mongoose_nb.kernels.common.prefetch import prefetch_row, prefetch_state
from mongoose_nb.kernels.layers.active import insert_best
from mongoose_nb.kernels.layers.rows import step_row

BLOCK = 256
# rows to prefetch before their turn, where they are only copied
AHEAD = 8


class Shared(NamedTuple):
    """The outputs that a batch computes."""

    ids: np.ndarray  # int32; empty where `contiguous`
    contiguous: bool  # whether the list is the first `n_rows` outputs, and no copy of the rows is made
    n_rows: int  # length of the list
    shifts: np.ndarray  # (n_rows,) float32 corrections of the logits, or empty


class Targets(NamedTuple):
    """Labels of a batch by column of the list: column r has pairs ``ptr[r]`` to ``ptr[r + 1]``."""

    count: np.ndarray  # (B,) int64, labels of each sample
    ptr: np.ndarray  # (n_rows + 1,) int64
    sample: np.ndarray  # int32
    value: np.ndarray  # float32, the target's weight: 1 / count under the softmax, 1 under the logistic loss


class Sums(NamedTuple):
    """Maximum and sum of exponentials of every sample, by block; under the logistic loss the sum of weight * softplus(z)."""

    top: np.ndarray  # (blocks, B)
    total: np.ndarray  # (blocks, B)


class Partial(NamedTuple):
    """Scratch memory for gradients of the activations."""

    part: np.ndarray  # (threads, B, D)
    partial: np.ndarray  # (groups, B, D)


class RowGradients(NamedTuple):
    """Gradients of the rows and their squared norms by block, for clipping; empty where they are not needed."""

    G: np.ndarray  # (n_rows, D)
    squares: np.ndarray  # (blocks,) float64


def count_blocks(n_rows):
    """Number of blocks that a list of so many rows is cut into: a multiple of 8, none of more than `BLOCK` rows."""
    return 8 * -(-n_rows // (8 * BLOCK))


_count_blocks = inline(count_blocks)


def count_groups(n_blocks):
    """Number of groups of blocks that sum gradients to the activations."""
    return min(n_blocks, 16)


@serial
def group_targets(columns, logistic, targets):
    """Group the labels of a batch by column of the list: `columns` are their places in the list, sample by sample."""
    count, ptr, sample, value = targets
    ptr[:] = 0
    for q in range(columns.shape[0]):
        ptr[columns[q] + 1] += 1
    for r in range(ptr.shape[0] - 1):
        ptr[r + 1] += ptr[r]
    q = 0
    for i in range(count.shape[0]):
        share = np.float32(1.0) if logistic else np.float32(1.0) / np.float32(max(count[i], 1))
        for _ in range(count[i]):
            at = ptr[columns[q]]
            ptr[columns[q]] = at + 1
            sample[at] = i
            value[at] = share
            q += 1
    for r in range(ptr.shape[0] - 1, 0, -1):
        ptr[r] = ptr[r - 1]
    ptr[0] = 0


@parallel
def logits_shared(H, W, bias, shared, targets, logistic, R, Z, sums):
    """Z[r, i] = H[i] . W[ids[r]] + bias (+ shifts[r]), and their `Sums`. The shifts spare a sample's own labels.

    R (n_rows, D) receives the listed rows; with ``shared.contiguous`` it is W itself and is left alone.
    """
    ids = shared.ids
    contiguous = shared.contiguous
    n_rows = shared.n_rows
    shifts = shared.shifts
    ptr = targets.ptr
    sample = targets.sample
    top = sums.top
    total = sums.total
    B = H.shape[0]
    n_blocks = top.shape[0]
    for k in prange(n_blocks):
        lo = k * n_rows // n_blocks
        hi = (k + 1) * n_rows // n_blocks
        if not contiguous:
            for r in range(lo, hi):
                if r + AHEAD < hi:
                    prefetch_row(W, ids[r + AHEAD])
                row = ids[r]
                for d in range(W.shape[1]):
                    R[r, d] = W[row, d]
        np.dot(R[lo:hi], H.T, Z[lo:hi])
        for i in range(B):
            top[k, i] = np.float32(-np.inf)
            total[k, i] = np.float32(0.0)
        for r in range(lo, hi):
            add = bias[r if contiguous else ids[r]]
            if shifts.shape[0] > 0 and not logistic:
                add += shifts[r]
                for q in range(ptr[r], ptr[r + 1]):
                    Z[r, sample[q]] -= shifts[r]
            for i in range(B):
                v = Z[r, i] + add
                Z[r, i] = v
                if not v <= top[k, i]:
                    top[k, i] = v
        if logistic:
            for r in range(lo, hi):
                weight = np.float32(np.exp(shifts[r])) if shifts.shape[0] > 0 else np.float32(1.0)
                for i in range(B):
                    total[k, i] += weight * softplus32(Z[r, i])
                if weight != np.float32(1.0):
                    for q in range(ptr[r], ptr[r + 1]):
                        total[k, sample[q]] -= (weight - np.float32(1.0)) * softplus32(Z[r, sample[q]])
        else:
            for r in range(lo, hi):
                for i in range(B):
                    total[k, i] += exp32(Z[r, i] - top[k, i])


@serial
def finish_loss(targets, logistic, Z, sums, log_z, loss):
    """log_z (B,) and the loss of every sample (B,) from the sums by block and the targets.

    Under the softmax a sample without labels has no loss.
    """
    count, ptr, sample, value = targets
    top, total = sums
    for i in range(log_z.shape[0]):
        peak = np.float32(-np.inf)
        for k in range(top.shape[0]):
            if not top[k, i] <= peak:  # a block without rows has -inf, a NaN stays
                peak = top[k, i]
        whole = 0.0
        for k in range(top.shape[0]):
            if logistic:
                whole += total[k, i]
            elif top[k, i] != np.float32(-np.inf):
                whole += total[k, i] * math.exp(top[k, i] - peak)
        log_z[i] = np.float32(0.0) if logistic else np.float32(peak + math.log(whole))
        loss[i] = np.float32(whole) if logistic else log_z[i] if count[i] > 0 else np.float32(0.0)
    for r in range(ptr.shape[0] - 1):
        for q in range(ptr[r], ptr[r + 1]):
            loss[sample[q]] -= Z[r, sample[q]] * value[q]


@inline
def _delta_block(Z, lo, hi, log_z, logistic, shifts, scale, count, ptr, sample, value):
    """Turn the logits of a block into d loss / d logits; `scale` (B,) is the share of every sample in the mean."""
    B = log_z.shape[0]
    for r in range(lo, hi):
        if logistic:
            weight = np.float32(np.exp(shifts[r])) if shifts.shape[0] > 0 else np.float32(1.0)
            for i in range(B):
                Z[r, i] = scale[i] * weight * sigmoid32(Z[r, i])
            if weight != np.float32(1.0):
                for q in range(ptr[r], ptr[r + 1]):
                    Z[r, sample[q]] /= weight
        else:
            for i in range(B):
                Z[r, i] = (scale[i] if count[i] > 0 else np.float32(0.0)) * exp32(Z[r, i] - log_z[i])
        for q in range(ptr[r], ptr[r + 1]):
            Z[r, sample[q]] -= scale[sample[q]] * value[q]


@parallel
def backward_shared(H, R, shared, targets, logistic, Z, log_z, scale, scratch, grad, rows):
    """Second pass. Z becomes d loss / d logits, and grad (B, D) the gradient of H; `rows` (`RowGradients`) is filled unless it is empty.

    R (n_rows, D) holds the listed rows; `scale` (B,) the share of every sample in the mean.
    """
    n_rows = shared.n_rows
    shifts = shared.shifts
    count = targets.count
    ptr = targets.ptr
    sample = targets.sample
    value = targets.value
    part = scratch.part
    partial = scratch.partial
    G = rows.G
    squares = rows.squares
    n_blocks = _count_blocks(n_rows)
    groups = partial.shape[0]
    B = H.shape[0]
    D = H.shape[1]
    for group in prange(groups):
        thread = get_thread_id()
        first = group * n_blocks // groups
        for k in range(first, (group + 1) * n_blocks // groups):
            lo = k * n_rows // n_blocks
            hi = (k + 1) * n_rows // n_blocks
            _delta_block(Z, lo, hi, log_z, logistic, shifts, scale, count, ptr, sample, value)
            if k == first:
                np.dot(Z[lo:hi].T, R[lo:hi], partial[group])
            else:
                np.dot(Z[lo:hi].T, R[lo:hi], part[thread])
                for i in range(B):
                    for d in range(D):
                        partial[group, i, d] += part[thread, i, d]
            if squares.shape[0] > 0:
                np.dot(Z[lo:hi], H, G[lo:hi])
                square = 0.0
                for r in range(lo, hi):
                    db = np.float32(0.0)
                    for i in range(B):
                        db += Z[r, i]
                    square += db * db
                    for d in range(D):
                        square += G[r, d] * G[r, d]
                squares[k] = square
    for i in prange(B):
        for d in range(D):
            grad[i, d] = partial[0, i, d]
        for group in range(1, groups):
            for d in range(D):
                grad[i, d] += partial[group, i, d]


@parallel
def apply_shared(H, weights, bias, shared, Z, kind, hyper, bias_hyper, G):
    """Optimiser step on the listed rows of `weights` and `bias` (`rows.State`), from d loss / d logits Z (n_rows, B) and H (B, D).

    Scratch: G (threads, BLOCK, D).
    """
    W = weights.value
    M = weights.m
    S = weights.v
    b = bias.value
    bm = bias.m
    bs = bias.v
    ids = shared.ids
    contiguous = shared.contiguous
    n_rows = shared.n_rows
    n_blocks = _count_blocks(n_rows)
    for k in prange(n_blocks):
        lo = k * n_rows // n_blocks
        hi = (k + 1) * n_rows // n_blocks
        g = G[get_thread_id(), : hi - lo]
        db = np.empty(1, np.float32)
        np.dot(Z[lo:hi], H, g)
        for r in range(lo, hi):
            row = r if contiguous else ids[r]
            if not contiguous and r + AHEAD < hi:
                prefetch_state(ids[r + AHEAD], W, M, S)
                prefetch_state(ids[r + AHEAD], b, bm, bs)
            step_row(kind, hyper, W[row], M[row], S[row], g[r - lo])
            total = np.float32(0.0)
            for i in range(Z.shape[1]):
                total += Z[r, i]
            db[0] = total
            step_row(kind, bias_hyper, b[row:row + 1], bm[row:row + 1], bs[row:row + 1], db)


@parallel
def topk_exact(H, W, bias, sample_block, n_ranges, scores, ids):
    """Best k outputs of each sample: scores, ids (n_ranges, n, k), by range of outputs; -inf and -1 where a range has fewer."""
    n = H.shape[0]
    N = W.shape[0]
    k = scores.shape[2]
    n_sample_blocks = (n + sample_block - 1) // sample_block
    for task in prange(n_sample_blocks * n_ranges):
        part = task % n_ranges
        i_lo = (task // n_ranges) * sample_block
        i_hi = min(n, i_lo + sample_block)
        Z = np.empty((sample_block, BLOCK), np.float32)
        HB = H[i_lo:i_hi]
        first = part * N // n_ranges
        last = (part + 1) * N // n_ranges
        scores[part, i_lo:i_hi] = np.float32(-np.inf)
        ids[part, i_lo:i_hi] = -1
        for lo in range(first, last, BLOCK):
            hi = min(last, lo + BLOCK)
            width = hi - lo
            # a contiguous output of the width at hand: a fresh shape over the same memory
            z = Z.reshape(-1)[: (i_hi - i_lo) * width].reshape(i_hi - i_lo, width)
            np.dot(HB, W[lo:hi].T, z)
            for i in range(i_hi - i_lo):
                best = scores[part, i_lo + i]
                best_ids = ids[part, i_lo + i]
                for c in range(0, width, 32):
                    c_hi = min(width, c + 32)
                    peak = np.float32(-np.inf)
                    for j in range(c, c_hi):
                        v = z[i, j] + bias[lo + j]
                        if v > peak:
                            peak = v
                    if peak > best[k - 1]:
                        for j in range(c, c_hi):
                            v = z[i, j] + bias[lo + j]
                            if v > best[k - 1]:
                                insert_best(best, best_ids, v, lo + j)
