"""Sort tokens by (bucket, position) and say which keys each query may look at, as an interval of the sorted keys.

A. Sorted like this, the keys that a query sees in one round are neighbours: those of its bucket inside the window of its chunk, and
   under a causal mask those up to itself. An interval takes two integers; no mask is ever built.
B. A chunk of queries sees `window` = 2 * chunk keys: those up to the (bucket, position) of its last query. Where queries are the keys,
   these are its own chunk and the one before (Reformer, section 2); where they are not, and a bucket may hold more of the ones than of
   the others, the window stays with the bucket instead of drifting off.
C. Tokens that the mask leaves out are not sorted at all, so no chunk is wasted on padding.
D. Where chunks begin depends on all tokens: a later one in a lower bucket shifts them. Under ``rules.strict`` a query sees the last `chunk`
   keys of its bucket up to itself instead, which depends on nothing that comes later. These lie in its own chunk and the one before too.
"""

import numpy as np
from numba import prange

from mongoose_nb.core.jit import inline, parallel


@inline
def _counting_sort(codes, valid, start, order, slot):
    """start (n_buckets + 1,), order: tokens by (bucket, position), slot: each token's place, -1 where it has none. Returns how many."""
    start[:] = 0
    n = 0
    for t in range(codes.shape[0]):
        slot[t] = -1
        if valid[t]:
            start[codes[t] + 1] += 1
            n += 1
    for b in range(start.shape[0] - 1):
        start[b + 1] += start[b]
    for t in range(codes.shape[0]):
        if valid[t]:
            place = start[codes[t]]
            start[codes[t]] = place + 1
            order[place] = t
            slot[t] = place
    for b in range(start.shape[0] - 1, 0, -1):
        start[b] = start[b - 1]
    start[0] = 0
    return n


@inline
def _reach(codes_q, order_q, n_queries, start_k, order_k, rules, reach):
    """reach[t] = (first key slot, number of key slots) of query t in this round."""
    n_keys = start_k[start_k.shape[0] - 1]
    seen = 0  # keys up to the (bucket, position) of the query at hand
    bucket = 0
    chunk = rules.chunk
    for first in range(0, n_queries, chunk):
        last = min(first + chunk, n_queries)
        for s in range(first, last):
            t = order_q[s]
            if codes_q[t] != bucket:
                bucket = codes_q[t]
                seen = start_k[bucket]
            while seen < start_k[bucket + 1] and order_k[seen] <= t:
                seen += 1
            reach[t, 1] = seen
        # a full chunk's window ends with its last query's own keys; in the last chunk a short look-ahead loses nothing
        end = last if rules.shared else seen
        begin = max(0, (first - chunk) if rules.shared else (end - 2 * chunk))
        for s in range(first, last):
            t = order_q[s]
            lo, hi = begin, end
            if rules.strict:
                hi = np.int64(reach[t, 1])
                lo = max(start_k[codes_q[t]], hi - chunk)
            elif not rules.across:
                lo = max(lo, start_k[codes_q[t]])
                hi = min(hi, start_k[codes_q[t] + 1])
                if rules.causal:
                    hi = min(hi, reach[t, 1])
            reach[t, 0] = lo
            reach[t, 1] = max(0, hi - lo)
    return n_keys


@parallel
def sort_tokens(codes_q, codes_k, valid, n_buckets, rules, order_q, order_k, slot_k, reach):
    """Orders of queries and keys, and the interval of keys that each query reaches, for all heads and rounds.

    Parameters
    ----------
    codes_q, codes_k : (B, H, R, T) int32
        Buckets; the same array where queries are the keys.
    valid : (B, T) bool
        False for tokens to leave out.
    rules : chunks.Rules
        Under ``rules.across`` the causal mask is left to the reader.
    order_q, order_k : (B, H, R, T) int32
        Filled with tokens by (bucket, position), as many as are valid. Where queries are the keys, order_q is not written: give the same
        array twice.
    slot_k : (B, H, R, T) int32
        Filled with the place of every token among the keys, -1 for those left out.
    reach : (B, H, R, T, 2) int32
        Filled with the first place among the keys, and the number of places, for every query.
    """
    B, H, R, T = codes_q.shape
    for task in prange(B * H * R):
        b = task // (H * R)
        h = task // R % H
        r = task % R
        start = np.empty(n_buckets + 1, np.int64)
        n = _counting_sort(codes_k[b, h, r], valid[b], start, order_k[b, h, r], slot_k[b, h, r])
        if not rules.shared:
            places = np.empty(T, np.int32)
            other = np.empty(n_buckets + 1, np.int64)
            n = _counting_sort(codes_q[b, h, r], valid[b], other, order_q[b, h, r], places)
        reach[b, h, r] = 0
        order = order_k[b, h, r] if rules.shared else order_q[b, h, r]
        _reach(codes_q[b, h, r], order, n, start, order_k[b, h, r], rules, reach[b, h, r])
