"""The best entries of lists."""

import numpy as np
from numba import prange

from mongoose_nb.core.jit import parallel


@parallel
def best_entries(scores, indptr, entries, best):
    """The k best entries of each list, best first, of equal ones the first; -1 and -inf where the list is shorter.

    Parameters
    ----------
    scores : (entries,) float32
    indptr : (n + 1,) int64
    entries : (n, k) int64
        Out.
    best : (n, k) float32
        Out.
    """
    k = entries.shape[1]
    for i in prange(indptr.shape[0] - 1):
        held = 0
        for p in range(indptr[i], indptr[i + 1]):
            value = scores[p]
            if held == k and not value > best[i, k - 1]:
                continue
            at = held if held < k else k - 1
            while at > 0 and value > best[i, at - 1]:
                best[i, at] = best[i, at - 1]
                entries[i, at] = entries[i, at - 1]
                at -= 1
            best[i, at] = value
            entries[i, at] = p
            if held < k:
                held += 1
        for at in range(held, k):
            best[i, at] = -np.inf
            entries[i, at] = -1
