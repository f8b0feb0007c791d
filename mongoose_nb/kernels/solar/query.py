"""Labels by look-ups: candidates from the lists of a row's best buckets, and the best of them.

One row has one writer: any number of threads, same bits.
"""

import numpy as np
from numba import prange

from mongoose_nb.core.jit import parallel
from mongoose_nb.kernels.common.k_least import finish, offer


@parallel
def best_labels(log_p, top, codes, starts, members, least, memory, ids, scores, found):
    """The labels with the highest sums of logarithms, of those that are in enough of a row's best buckets.

    Parameters
    ----------
    log_p : (n, chunks, buckets) float32
        Logarithm of the probability of each bucket.
    top : (n, chunks, m) int32
        The best buckets of each chunk.
    codes : (labels, chunks) int32
        The bucket of each label in each chunk.
    starts : (chunks, buckets + 1) int64
    members : (chunks, labels) int32
        Labels of each bucket: ``members[c, starts[c, b] : starts[c, b + 1]]``.
    least : int
        Buckets that a candidate has to be in. Where fewer than k labels are, those in fewer buckets are candidates, too.
    memory : ((threads, labels) uint8, zero, and (threads, labels) int32)
        Scratch.
    ids : (n, k) int32
    scores : (n, k) float32
        Out: best first, of equal ones the lower id; -1 and -inf where there are no more.
    found : (n,) int64
        Out: candidates.
    """
    all_counts, all_seen = memory
    slots, n, k = all_counts.shape[0], log_p.shape[0], ids.shape[1]
    for s in prange(slots):
        counts, seen = all_counts[s], all_seen[s]
        for i in range(n * s // slots, n * (s + 1) // slots):
            n_seen = 0
            for c in range(top.shape[1]):
                for t in range(top.shape[2]):
                    b = top[i, c, t]
                    for p in range(starts[c, b], starts[c, b + 1]):
                        j = members[c, p]
                        if counts[j] == 0:
                            seen[n_seen] = j
                            n_seen += 1
                        counts[j] += 1
            enough = 0
            for p in range(n_seen):
                enough += counts[seen[p]] >= least
            floor = least if enough >= k else 1
            held = 0
            candidates = 0
            for p in range(n_seen):
                j = seen[p]
                if counts[j] >= floor:
                    candidates += 1
                    total = np.float32(0.0)
                    for c in range(codes.shape[1]):
                        total += log_p[i, c, codes[j, c]]
                    held = offer(scores[i], ids[i], held, -total, j)
                counts[j] = 0
            finish(scores[i], ids[i], held)
            for p in range(k):
                scores[i, p] = -scores[i, p]
            found[i] = candidates
