"""Angular hashing of queries and keys for attention: bucket = argmax([x R; -x R]) (Reformer, section 2).

A. One matrix product per block of tokens gives all rounds of a head. Its result is laid out with tokens as lanes, so that the search
   for the largest coordinate runs over 16 tokens side by side; a search along a row is one comparison after the other.
B. Blocks have a fixed number of tokens, the last one too: the same bits for any number of threads, and for a token whatever follows it.
C. A positive factor changes no bucket, so rows are hashed as they are, not normalised. Of equal coordinates the first one wins, and
   the positive side before the negative one.
"""

import numpy as np
from numba import prange

from mongoose_nb.core.jit import parallel

BLOCK = 128


@parallel
def hash_tokens(heads, rotations, codes):
    """Buckets codes (B, H, R, T) int32 of the rows of all heads.

    heads: `tile.Heads`. rotations (H, R * C, d): C directions a round, hence 2 C buckets; with C = 0 there is one.
    """
    B, H, R, T = codes.shape
    rows = heads.rows
    d = rows.shape[1]
    C = rotations.shape[1] // R
    blocks = (T + BLOCK - 1) // BLOCK
    for task in prange(B * H * blocks):
        b = task // (H * blocks)
        h = task // blocks % H
        lo = task % blocks * BLOCK
        n = min(BLOCK, T - lo)
        if C == 0:
            codes[b, h, :, lo:lo + n] = 0
            continue
        X = np.zeros((BLOCK, d), rows.dtype)
        Y = np.empty((R * C, BLOCK), rows.dtype)
        best = np.empty(n, rows.dtype)
        place = np.empty(n, np.int32)
        for t in range(n):
            row = b * heads.batch + h * heads.head + (lo + t) * heads.token
            for e in range(d):
                X[t, e] = rows[row, e]
        np.dot(rotations[h], X.T, Y)
        for r in range(R):
            best[:] = -1
            place[:] = 0
            for c in range(C):
                y = Y[r * C + c]
                for t in range(n):
                    a = abs(y[t])
                    side = np.int32(c if y[t] >= 0 else c + C)
                    larger = a > best[t]
                    best[t] = a if larger else best[t]
                    place[t] = side if larger else place[t]
            for t in range(n):
                codes[b, h, r, lo + t] = place[t]
