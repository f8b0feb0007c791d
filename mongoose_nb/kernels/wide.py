"""The wide output layer when all samples of a batch share one list of outputs: blocks of rows, matrix products, two passes.

With ``ids`` the shared candidates, without (``n_rows`` first rows of W) the exact layer: the same code, so the exact layer is the
twin of the sampled one.

A. First pass: logits of a block of rows for all samples, Z (M, B) row by row, and each sample's maximum and sum of exponentials
   over the block. The partial sums are joined in block order. Second pass: gradient of the logits, of the activations and of the
   rows, and the optimiser step on the rows while they are in cache.
B. Z is kept between the passes. Recomputing it costs a third product; at 100,000 outputs storing was as fast and simpler.
C. Gradients to the activations are summed by a fixed number of groups of blocks and then in group order, so the result does not
   depend on the number of threads.
"""

import numpy as np
from numba import prange

from mongoose_nb.kernels._jit import inline, parallel
from mongoose_nb.kernels.active import insert_best
from mongoose_nb.kernels.fastmath import exp32, sigmoid32, softplus32
from mongoose_nb.kernels.rows import _step

BLOCK = 256
GROUPS = 16


@inline
def _gather_rows(W, ids, contiguous, lo, hi, buffer):
    """Rows lo..hi of the list, as a contiguous block: a view where the list is all rows, else a copy in `buffer`."""
    if contiguous:
        return W[lo:hi]
    for r in range(lo, hi):
        row = ids[r]
        for d in range(W.shape[1]):
            buffer[r - lo, d] = W[row, d]
    return buffer[: hi - lo]


@parallel
def logits_shared(H, W, bias, ids, contiguous, n_rows, n_exact, shift, logistic, Z, top, total):
    """Z[r, i] = H[i] . W[ids[r]] + bias (+ shift from n_exact on); top and total (blocks, B): maximum and sum of exp by block.

    Under the logistic loss `total` is the block's sum of weight * softplus(z) instead.
    """
    B = H.shape[0]
    for k in prange((n_rows + BLOCK - 1) // BLOCK):
        lo = k * BLOCK
        hi = min(n_rows, lo + BLOCK)
        buffer = np.empty((0 if contiguous else BLOCK, W.shape[1]), np.float32)
        rows = _gather_rows(W, ids, contiguous, lo, hi, buffer)
        z = Z[lo:hi]
        np.dot(rows, H.T, z)
        for i in range(B):
            top[k, i] = np.float32(-np.inf)
            total[k, i] = np.float32(0.0)
        for r in range(lo, hi):
            add = bias[r if contiguous else ids[r]]
            if r >= n_exact and not logistic:
                add += shift
            for i in range(B):
                v = Z[r, i] + add
                Z[r, i] = v
                if not v <= top[k, i]:
                    top[k, i] = v
        if logistic:
            for r in range(lo, hi):
                weight = np.float32(np.exp(shift)) if r >= n_exact else np.float32(1.0)
                for i in range(B):
                    total[k, i] += weight * softplus32(Z[r, i])
        else:
            for r in range(lo, hi):
                for i in range(B):
                    total[k, i] += exp32(Z[r, i] - top[k, i])


@inline
def _delta_block(Z, lo, hi, log_z, logistic, n_exact, shift, scale, active, pair_row, pair_sample, pair_value, pair_lo, pair_hi):
    """Turn the logits of a block into d loss / d logits."""
    B = log_z.shape[0]
    for r in range(lo, hi):
        if logistic:
            weight = scale * (np.float32(np.exp(shift)) if r >= n_exact else np.float32(1.0))
            for i in range(B):
                Z[r, i] = weight * sigmoid32(Z[r, i])
        else:
            for i in range(B):
                Z[r, i] = scale * active[i] * exp32(Z[r, i] - log_z[i])
    for q in range(pair_lo, pair_hi):
        Z[pair_row[q], pair_sample[q]] -= scale * pair_value[q]


@parallel
def backward_shared(H, W, ids, contiguous, n_rows, n_exact, shift, logistic, Z, log_z, scale, active, pair_row, pair_sample,
                    pair_value, pair_ptr, partial, G, squares):
    """Second pass. Z becomes d loss / d logits; partial (GROUPS, B, D) the gradient to H by group; G (n_rows, D) the gradient
    of the rows, squares (blocks,) its squared norm with the bias's.

    The target entries (row, sample, value), sorted by row, are cut by block at `pair_ptr`.
    """
    n_blocks = (n_rows + BLOCK - 1) // BLOCK
    B = H.shape[0]
    D = H.shape[1]
    for group in prange(GROUPS):
        buffer = np.empty((0 if contiguous else BLOCK, D), np.float32)
        part = np.empty((B, D), np.float32)
        partial[group] = np.float32(0.0)
        for k in range(group * n_blocks // GROUPS, (group + 1) * n_blocks // GROUPS):
            lo = k * BLOCK
            hi = min(n_rows, lo + BLOCK)
            _delta_block(Z, lo, hi, log_z, logistic, n_exact, shift, scale, active, pair_row, pair_sample, pair_value,
                         pair_ptr[k], pair_ptr[k + 1])
            rows = _gather_rows(W, ids, contiguous, lo, hi, buffer)
            np.dot(Z[lo:hi].T, rows, part)
            for i in range(B):
                for d in range(D):
                    partial[group, i, d] += part[i, d]
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


@parallel
def apply_shared(H, W, M, S, b, bm, bs, ids, contiguous, n_rows, Z, kind, hyper, bias_hyper):
    """Optimiser step on the listed rows from d loss / d logits Z (n_rows, B) and the activations H (B, D)."""
    for k in prange((n_rows + BLOCK - 1) // BLOCK):
        lo = k * BLOCK
        hi = min(n_rows, lo + BLOCK)
        G = np.empty((hi - lo, W.shape[1]), np.float32)
        db = np.empty(1, np.float32)
        np.dot(Z[lo:hi], H, G)
        for r in range(lo, hi):
            row = r if contiguous else ids[r]
            _step(kind, hyper, W[row], M[row], S[row], G[r - lo])
            db[0] = np.float32(0.0)
            for i in range(Z.shape[1]):
                db[0] += Z[r, i]
            _step(kind, bias_hyper, b[row:row + 1], bm[row:row + 1], bs[row:row + 1], db)


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
