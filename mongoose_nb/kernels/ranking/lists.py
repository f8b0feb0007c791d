"""The best entries of lists, and the logits of what is listed."""

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


@parallel
def listed_logits(H, W, bias, indptr, ids, out):
    """Logits ``H[i] @ W[j] + bias[j]`` of the outputs j that are listed for each row i.

    Parameters
    ----------
    H : (n, d) float32
    W : (outputs, d) float32
    bias : (outputs,) float32
    indptr : (n + 1,) int64
    ids : (entries,) int32
    out : (entries,) float32
        Out.
    """
    for i in prange(indptr.shape[0] - 1):
        for p in range(indptr[i], indptr[i + 1]):
            total = np.float32(0)
            for d in range(H.shape[1]):
                total += H[i, d] * W[ids[p], d]
            out[p] = total + bias[ids[p]]
