"""Rows of a matrix made ready for hashing: their mean, and the transform of `hashing.inner_product`."""

import math

import numpy as np
from numba import prange

from mongoose_nb.core.jit import parallel

CHUNKS = 64


@parallel
def sum_chunks(W, out):
    """out (CHUNKS, d): sums of the rows by chunk; a fixed number of chunks, so that their sum is the same for any threads."""
    n = W.shape[0]
    for c in prange(CHUNKS):
        for d in range(W.shape[1]):
            out[c, d] = 0.0
        for r in range(c * n // CHUNKS, (c + 1) * n // CHUNKS):
            for d in range(W.shape[1]):
                out[c, d] += W[r, d]


@parallel
def center_rows(W, bias, mean, bias_mean, query_mean, extra, out):
    """out[r] = [W[r] - mean, ((W[r] - mean) . query_mean + bias[r] - bias_mean) / extra]."""
    D = W.shape[1]
    for r in prange(W.shape[0]):
        s = bias[r] - bias_mean
        for d in range(D):
            v = W[r, d] - mean[d]
            out[r, d] = v
            s += v * query_mean[d]
        out[r, D] = np.float32(s / extra)


@parallel
def cosines_active(H, W, bias, mean, bias_mean, query_mean, extra, start, count, ids, out):
    """out[j]: cosine of the angle between sample i and row ids[j], both as `center_rows` makes them, for every listed j.

    With ``extra`` zero both are taken as they are, less `query_mean` and `mean`. A zero vector is at a right angle to all.
    """
    D = H.shape[1]
    for i in prange(H.shape[0]):
        q = np.empty(D, np.float32)
        square = extra * extra
        for d in range(D):
            q[d] = H[i, d] - query_mean[d]
            square += q[d] * q[d]
        for j in range(start[i], start[i] + count[i]):
            row = ids[j]
            inner = np.float32(0.0)
            norm = np.float32(0.0)
            offset = bias[row] - bias_mean
            for d in range(D):
                v = W[row, d] - mean[d]
                inner += v * q[d]
                norm += v * v
                offset += v * query_mean[d]
            if extra > 0:
                inner += offset
                norm += (offset / extra) * (offset / extra)
            scale = math.sqrt(square * norm)
            out[j] = inner / scale if scale > 0 else np.float32(0.0)
