"""Rows of a matrix made ready for hashing: their mean, and the transform of `hashing.inner_product`."""

import numpy as np
from numba import prange

from mongoose_nb.kernels._jit import parallel

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
