"""In which order the least certain signs of a code are turned over."""

import functools
import heapq

import numpy as np


@functools.lru_cache(maxsize=64)
def flip_order(K, probes):
    """The first `probes` sets of signs to turn over, the empty set first, by the sum of expected squared margins.

    Sign ranks stand for margins: the rank-r margin of K normal projections is about r + 1/2 steps long, so its square is what turning
    it over costs. Sets come from a heap, by shifting or expanding their largest member (Lv, Josephson, Wang, Charikar and Li,
    "Multi-probe LSH", VLDB 2007, section 4.4); the order depends on K alone (section 4.5).

    Parameters
    ----------
    K : int
        Signs, at most 32.
    probes : int
        Sets; there are 2^K.

    Returns
    -------
    ndarray of shape (min(probes, 2^K),), uint32
        Bit r stands for the sign of rank r, the least certain being rank 0. Read-only.
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
