"""MinHash signatures: the least hash of a set's members, for each of several hash functions."""

import numpy as np
from numba import prange

from mongoose_nb.core.jit import parallel
from mongoose_nb.kernels.common.random import key2, mix64

_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


@parallel
def minima(indptr, indices, key, least, out):  # CSR (n, members) -> (n, hashes) uint32
    """Scrambled minima; random ones for sets of fewer than `least` members."""
    n, hashes = out.shape
    for i in prange(n):
        size = indptr[i + 1] - indptr[i]
        for h in range(hashes):
            best = _ALL
            if size >= least:
                for q in range(indptr[i], indptr[i + 1]):
                    member = np.uint64(indices[q])
                    best = min(best, key2(key + np.uint64(h + 1), member))
            # the minimum is small: its bits are scrambled
            word = mix64(best ^ np.uint64(h)) if best != _ALL else key2(key2(key, np.uint64(i)), np.uint64(h) ^ np.uint64(0xFA11))
            out[i, h] = np.uint32(word >> np.uint64(32))
