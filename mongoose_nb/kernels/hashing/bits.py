"""Bit sampling: chosen bits of packed rows, gathered into codes."""

import numpy as np
from numba import prange

from mongoose_nb.core.jit import inline, parallel
from mongoose_nb.kernels.hashing.codes import TASKS, store_tables


@inline
def _gather(row, index, codes):
    K = index.shape[1]
    for t in range(codes.shape[0]):
        code = np.uint32(0)
        for k in range(K):
            i = index[t, k]
            code = (code << np.uint32(1)) | np.uint32((row[i >> 3] >> (7 - (i & 7))) & 1)
        codes[t] = code


@inline
def _sample_bits(packed, indptr, indices, values, index, size, first, last, width, out):
    codes = np.empty(out.shape[0], np.uint32)
    own = np.zeros(size, np.uint8)
    for row in range(first, last):
        if indptr.shape[0] == 0:
            _gather(packed[row], index, codes)
        else:
            for e in range(indptr[row], indptr[row + 1]):
                i = indices[e]
                if values[e] != 0:
                    own[i >> 3] |= np.uint8(1 << (7 - (i & 7)))
            _gather(own, index, codes)
            for e in range(indptr[row], indptr[row + 1]):
                own[indices[e] >> 3] = 0
        store_tables(codes, row, width, out)


@parallel
def sample_bits(packed, indptr, indices, values, index, size, width, out):
    """Codes of packed rows (n, size) uint8, or of the non-zero columns of CSR rows where indptr is not empty; index (L, K)."""
    n = indptr.shape[0] - 1 if indptr.shape[0] else packed.shape[0]
    tasks = min(n, TASKS)
    for task in prange(tasks):
        _sample_bits(packed, indptr, indices, values, index, size, task * n // tasks, (task + 1) * n // tasks, width, out)
