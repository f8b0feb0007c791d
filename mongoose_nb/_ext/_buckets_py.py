"""The bucket store in NumPy and Python, for installs without a C compiler.

The interface and the arrays are those of the compiled store, which is tested against it. `_store_base` explains the layout.
"""

from __future__ import annotations

import threading

import numpy as np

from mongoose_nb._ext._checks import bad_code, bad_id, within
from mongoose_nb._ext._store_base import DROPPED, ENTRIES, TAIL, StoreBase, layout, places

_MASK = 2**64 - 1
_MAX_SEEN = 2**32 - 1


def mix64(x: int) -> int:
    """`mongoose_nb.kernels.common.random.mix64` on Python integers."""
    x = (x + 0x9E3779B97F4A7C15) & _MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return x ^ (x >> 31)


class BucketStore(StoreBase):
    __doc__ = StoreBase.__doc__
    __slots__ = ("n_tables", "n_buckets", "capacity", "policy", "seed", "_mutex",
                 "_ids", "_spans", "_room", "_seen", "_counters", "_reserved")

    def _setup(self, n_tables, n_buckets, capacity, policy, seed):
        self.n_tables, self.n_buckets, self.seed = n_tables, n_buckets, seed
        self.capacity, self.policy = capacity, policy
        self._mutex = threading.Lock()

    def _attach(self, ids, spans, room, seen, counters, reserved):
        with self._mutex:
            self._ids, self._spans, self._room, self._seen, self._counters = ids, spans, room, seen, counters
            self._reserved = reserved

    def _check(self, ids, codes):
        within(ids, 0, 2**31 - 1, bad_id)
        within(codes, 0, self.n_buckets - 1, lambda code: bad_code(code, self.n_buckets))

    def _pack(self, t, source, target):
        spans = self._spans[t]
        starts, rooms = layout(spans[:, 1], self._limit)
        target[places(starts, spans[:, 1])] = source[places(spans[:, 0], spans[:, 1])]
        spans[:, 0], self._room[t], self._counters[t, TAIL] = starts, rooms, rooms.sum()

    def _make_space(self, t):
        packed = layout(self._spans[t, :, 1], self._limit)[1].sum()
        if self._ids.shape[1] - packed >= self._counters[t, ENTRIES] // 8 + 8:
            self._pack(t, self._ids[t], self._ids[t])  # gathers before it scatters
            return
        rows = self.rows
        new = np.zeros((self.n_tables, self._pool_size(rows)), np.int32)
        for u in range(self.n_tables):
            self._pack(u, self._ids[u], new[u])
        self._ids, self._reserved = new, self._held(rows)

    def _draw(self, t, b, arrivals):
        bits = mix64(mix64(mix64(mix64(self.seed) ^ t)) ^ (b << 32 | arrivals))
        return ((bits >> 32) * arrivals) >> 32

    def _put(self, t, b, row):
        spans, counters = self._spans[t], self._counters[t]
        start, size = spans[b].tolist()
        limit = self._limit
        if self._sampling:
            arrivals = min(int(self._seen[t, b]) + 1, _MAX_SEEN)
            self._seen[t, b] = arrivals
        if size == limit:
            counters[DROPPED] += 1
            pool = self._ids[t]
            if self._sampling:
                place = self._draw(t, b, arrivals)
                if place < size:
                    pool[start + place] = row
            else:
                pool[start:start + size - 1] = pool[start + 1:start + size]
                pool[start + size - 1] = row
            return
        while size == self._room[t, b]:
            room = min(limit, size + size // 4 + 2)
            place = int(counters[TAIL])
            if place + room > self._ids.shape[1]:
                self._make_space(t)  # the bucket may have got room by it: look again
                continue
            start = int(spans[b, 0])
            self._ids[t, place:place + size] = self._ids[t, start:start + size]
            spans[b, 0], self._room[t, b], counters[TAIL] = place, room, place + room
        self._ids[t, spans[b, 0] + size] = row
        spans[b, 1] = size + 1
        counters[ENTRIES] += 1

    def _take(self, t, b, row):
        start, size = self._spans[t, b].tolist()
        bucket = self._ids[t, start:start + size]
        found = np.flatnonzero(bucket == row)
        if not found.size:
            return 0
        bucket[found[0]:-1] = bucket[found[0] + 1:]
        self._spans[t, b, 1] = size - 1
        self._counters[t, ENTRIES] -= 1
        return 1

    def _insert(self, ids, codes):
        self._check(ids, codes)
        with self._mutex:
            self._check_growth(ids.size)
            rows = ids.tolist()
            for t in range(self.n_tables):
                for row, code in zip(rows, codes[t].tolist()):
                    self._put(t, code, row)

    def _remove(self, ids, codes):
        self._check(ids, codes)
        rows = ids.tolist()
        with self._mutex:
            return sum(self._take(t, code, row)
                       for t in range(self.n_tables) for row, code in zip(rows, codes[t].tolist()))

    def _move(self, ids, old_codes, new_codes):
        self._check(ids, old_codes)
        self._check(ids, new_codes)
        with self._mutex:
            self._check_growth(ids.size)
            tables, changed = np.nonzero(old_codes != new_codes)
            for t, i in zip(tables.tolist(), changed.tolist()):
                row = int(ids[i])
                self._take(t, int(old_codes[t, i]), row)
                self._put(t, int(new_codes[t, i]), row)
        return len(tables)
