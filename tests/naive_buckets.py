"""A bucket store of Python lists: the oracle of the real ones, and what their tests share."""

import copy

import numpy as np

from mongoose_nb._ext import COMPILED, _buckets_py
from mongoose_nb.nn.sampling.candidate_sets import Views

IMPLEMENTATIONS = [_buckets_py.BucketStore]
if COMPILED:
    from mongoose_nb._ext._buckets import BucketStore as CompiledStore

    IMPLEMENTATIONS.append(CompiledStore)

implementation_names = ["compiled" if cls.compiled else "twin" for cls in IMPLEMENTATIONS]


def mix(x):
    x = (x + 0x9E3779B97F4A7C15) % 2**64
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ x >> 27) * 0x94D049BB133111EB % 2**64
    return x ^ x >> 31


def key(a, b):
    return mix(mix(a) ^ b)


class NaiveBuckets:
    """One list per bucket; every operation row by row."""

    def __init__(self, n_tables, n_buckets, *, capacity=None, policy="fifo", seed=0):
        self.shape, self.capacity, self.policy, self.seed = (n_tables, n_buckets), capacity, policy, seed
        self.clear()

    def clear(self):
        tables, buckets = self.shape
        self.lists = [[[] for _ in range(buckets)] for _ in range(tables)]
        self.seen = [[0] * buckets for _ in range(tables)]
        self.dropped = 0

    def _put(self, t, b, row):
        bucket = self.lists[t][b]
        self.seen[t][b] += 1
        if self.capacity is None or len(bucket) < self.capacity:
            bucket.append(row)
            return
        self.dropped += 1
        if self.policy == "fifo":
            bucket.pop(0)
            bucket.append(row)
        else:
            arrivals = self.seen[t][b]
            place = (key(key(self.seed, t), b << 32 | arrivals) >> 32) * arrivals >> 32
            if place < self.capacity:
                bucket[place] = row

    def _take(self, t, b, row):
        if row not in self.lists[t][b]:
            return 0
        self.lists[t][b].remove(row)
        return 1

    def _cells(self, ids, *codes):
        for t in range(self.shape[0]):
            for i, row in enumerate(ids):
                yield t, int(row), *(int(c[t][i]) for c in codes)

    def insert(self, ids, codes):
        for t, row, b in self._cells(ids, codes):
            self._put(t, b, row)

    def remove(self, ids, codes):
        return sum(self._take(t, b, row) for t, row, b in self._cells(ids, codes))

    def move(self, ids, old, new):
        moved = 0
        for t, row, a, b in self._cells(ids, old, new):
            if a != b:
                moved += 1
                self._take(t, a, row)
                self._put(t, b, row)
        return moved

    def build(self, codes, ids=None):
        self.clear()
        self.insert(range(len(codes[0])) if ids is None else ids, codes)

    def rows(self):
        return max(sum(len(b) for b in table) for table in self.lists)

    def copy(self):
        return copy.deepcopy(self)


def build(store, codes, ids=None):
    """What the facade over store and kernel does."""
    from mongoose_nb.kernels.tables.buckets import build_buckets

    build_buckets(*store.begin_build(codes, ids))


def arrays(store):
    """All arrays of a store."""
    return store._ids, store._spans, store._room, store._seen, store._counters


def assert_sound(store):
    """Segments lie side by side in the used part of the pool, none is larger than allowed, and the counters are right."""
    ids, spans, room, seen, counters = arrays(store)
    limit = 2**31 - 1 if store.capacity is None else store.capacity
    assert ids.dtype == spans.dtype == room.dtype == np.int32 and seen.dtype == np.uint32
    assert ((0 <= spans[:, :, 1]) & (spans[:, :, 1] <= room) & (room <= limit)).all()
    for t in range(store.n_tables):
        used = np.flatnonzero(room[t])
        order = used[np.argsort(spans[t, used, 0])]
        start, end = spans[t, order, 0].astype(int), spans[t, order, 0].astype(int) + room[t, order]
        assert (start >= np.concatenate([[0], end[:-1]])[:len(start)]).all()
        assert end.max(initial=0) <= counters[t, 0] <= ids.shape[1]
        assert counters[t, 1] == spans[t, :, 1].sum()
        for start, size in spans[t]:
            assert (ids[t, start:start + size] >= 0).all()
    assert store.nbytes == store.memory_bound(store.reserved) == sum(a.nbytes for a in arrays(store))


def assert_same(store, naive):
    """Equal contents in equal order, and a sound store."""
    assert_sound(store)
    ids, spans = store.views()
    tables, buckets = naive.shape
    for t in range(tables):
        for b in range(buckets):
            start, size = spans[t, b]
            assert ids[t, start:start + size].tolist() == naive.lists[t][b], (t, b)
    if store.policy == "reservoir" and store.capacity is not None:
        assert store._seen.tolist() == naive.seen
    assert store.stats()["dropped"] == naive.dropped
    assert store.rows == naive.rows()


def random_views(n_rows, L, B, n, seed, load=6):
    """Pool and spans of L tables of B buckets of distinct ids, out of order in the pool, and codes of n samples."""
    rng = np.random.default_rng(seed)
    pool, spans = np.full((L, B * (load + 2)), 10**9, np.int32), np.zeros((L, B, 2), np.int32)
    for t in range(L):
        for place, b in enumerate(rng.permutation(B)):
            size = int(rng.integers(0, min(load, n_rows) + 1))
            spans[t, b] = place * (load + 2) + 1, size
            pool[t, spans[t, b, 0]:spans[t, b, 0] + size] = rng.choice(n_rows, size, replace=False)
    return Views(pool, spans, rng.integers(0, B, (L, n)).astype(np.uint8))
