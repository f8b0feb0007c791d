"""The order in which multi-probe flips the least certain signs of a code."""

import functools
import heapq

import numpy as np


@functools.lru_cache(maxsize=64)
def flip_order(K: int, probes: int) -> np.ndarray:
    """Sets of signs to flip, in the order of their expected cost; the empty set is the first.

    A flip costs the square of its margin. Ranks stand for margins: of K normal projections, the margin of rank r is about r + 1/2
    steps long. Sets come from a heap; the successors of a set shift its largest member, or add the next one.

    Parameters
    ----------
    K : int
        Number of signs, at most 32.
    probes : int
        Number of sets.

    Returns
    -------
    ndarray of shape (min(probes, 2^K),), uint32
        Bit r stands for the sign of rank r; rank 0 is the least certain one. The array is read-only.

    References
    ----------
    Lv, Josephson, Wang, Charikar and Li, "Multi-probe LSH", VLDB 2007, sections 4.4 and 4.5.
    """
    cost = [(r + 0.5) ** 2 for r in range(K)]
    sets, heap = [0], [(cost[0], 1, 0)]
    while len(sets) < probes and heap:
        total, members, last = heapq.heappop(heap)
        sets.append(members)
        if last + 1 < K:
            bit = 1 << (last + 1)
            heapq.heappush(heap, (total - cost[last] + cost[last + 1], members ^ (1 << last) ^ bit, last + 1))
            heapq.heappush(heap, (total + cost[last + 1], members | bit, last + 1))
    out = np.array(sets[:probes], np.uint32)
    out.setflags(write=False)
    return out
