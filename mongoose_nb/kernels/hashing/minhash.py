"""MinHash by one-permutation hashing: one pass over a set gives a minimum to every bin.

A. *A strong mixer takes the place of the permutation.* Its upper 32 bits choose the bin, its lower ones are the value.
   Linear hash functions are faster and wrong: the minima of (a x + b) mod p over runs of consecutive ids agree with 0.43
   where the Jaccard similarity is 0.50.
B. *Empty bins copy the whole value of a random full bin* (optimal densification, Shrivastava 2017), before it is cut to
   its low bits: values that agree by copying must be minima that agree.
C. The donors of a bin are drawn without regard to the set, so that with many more bins than members the hashes of a set are
   nearly independent draws from its members: tables of K hashes agree with p^K, and one pass is enough.
"""

import numpy as np
from numba import prange

from mongoose_nb.core.jit import inline, parallel
from mongoose_nb.kernels.common.random import below, key2, mix64
from mongoose_nb.kernels.hashing.codes import TASKS, store_tables
from mongoose_nb.kernels.hashing.densify import fill_empty


@inline
def _minhash(indptr, indices, values, key, K, bits, first, last, width, out):
    tables = out.shape[0]
    bins = tables * K
    minima = np.empty((bins, 1), np.int32)
    codes = np.empty(tables, np.uint32)
    low = np.uint64((1 << bits) - 1)
    donor_key = key2(key, bins)
    for row in range(first, last):
        for b in range(bins):
            minima[b, 0] = 0x7FFFFFFF
        for e in range(indptr[row], indptr[row + 1]):
            if values[e] != 0:
                mixed = mix64(key ^ np.uint64(indices[e]))
                b = below(mixed, bins)
                minima[b, 0] = min(minima[b, 0], np.int32(mixed & np.uint64(0x7FFFFFFF)))
        full = True
        for b in range(bins):
            if minima[b, 0] == 0x7FFFFFFF:
                minima[b, 0] = -1
                full = False
        if not full:
            fill_empty(minima, 0, donor_key)
        for t in range(tables):
            code = np.uint64(0)
            for b in range(t * K, t * K + K):
                value = minima[b, 0]
                if value < 0:
                    value = -2 - value
                # A minimum is small, and its lowest bits are not random; with the bin in it, two minima that differ do not
                # agree by chance in all the bins that copy them. An empty set keeps 0.
                digit = mix64((np.uint64(b) << np.uint64(32)) | np.uint64(value)) & low if value else np.uint64(0)
                code = (code << np.uint64(bits)) | digit
            codes[t] = np.uint32(code)
        store_tables(codes, row, width, out)


@parallel
def minhash(indptr, indices, values, key, K, bits, width, out):  # CSR (n, dim)
    """Codes of sets, the columns of the non-zero entries of CSR rows; `bits` bits of each minimum. A set without members has 0."""
    n = indptr.shape[0] - 1
    tasks = min(n, TASKS)
    for task in prange(tasks):
        _minhash(indptr, indices, values, key, K, bits, task * n // tasks, (task + 1) * n // tasks, width, out)
