"""Dropout whose mask is a function of a key and the place: nothing is stored, and doing it again gives the same bits."""

import numpy as np
from numba import prange

from mongoose_nb.core.jit import parallel
from mongoose_nb.kernels.common.random import mix64

BLOCK = 1 << 14


@parallel
def drop(x, key, threshold, scale, out):
    """out = x * scale where 32 random bits are at least `threshold`, else 0; flat arrays. `key` is uint64, `threshold` uint32."""
    n = x.shape[0]
    zero = scale - scale
    for b in prange((n + BLOCK - 1) // BLOCK):
        for i in range(b * BLOCK, min(n, (b + 1) * BLOCK)):
            bits = mix64(key ^ np.uint64(i)) >> np.uint64(32)
            out[i] = x[i] * (scale if bits >= np.uint64(threshold) else zero)
