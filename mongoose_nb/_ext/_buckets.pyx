# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# cython: embedsignature=True, freethreading_compatible=True
"""The compiled bucket store.

A. Values are checked in one pass, then the loops run without bounds checks and without the interpreter lock. They take
   it only to pack a table or enlarge the pools.
B. The store keeps its memoryviews: to take seven of them from NumPy anew costs more than inserting a row into ten
   tables.
C. Codes arrive as uint32 (`_checks.as_codes` casts the narrower ones). Rejected: one version of each loop per dtype,
   which saves a microsecond per call and triples the code.
D. A mutex lets writers on several Python threads wait for each other; an ordinary lock held across a release of the
   interpreter lock could deadlock, Cython's does not.
"""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.string cimport memcpy, memmove

import numpy as np

from mongoose_nb._ext._checks import bad_code, bad_id
from mongoose_nb._ext._store_base import StoreBase


cdef inline uint64_t mix64(uint64_t x) noexcept nogil:
    x += <uint64_t>0x9E3779B97F4A7C15
    x = (x ^ (x >> 30)) * <uint64_t>0xBF58476D1CE4E5B9
    x = (x ^ (x >> 27)) * <uint64_t>0x94D049BB133111EB
    return x ^ (x >> 31)


cdef inline int64_t find(const int32_t* ids, int64_t size, int32_t row) noexcept nogil:
    """Position of the first entry equal to `row`, or `size`. Blocks without an exit become vector code."""
    cdef int64_t i = 0
    cdef int j, hit
    while i + 32 <= size:
        hit = 0
        for j in range(32):
            hit |= ids[i + j] == row
        if hit:
            break
        i += 32
    while i < size and ids[i] != row:
        i += 1
    return i


cdef class Core:
    """Arrays and hot loops of `BucketStore`."""

    cdef readonly object n_tables, n_buckets, capacity, policy, seed
    cdef readonly object _ids, _spans, _room, _seen, _counters, _reserved
    cdef int32_t[:, ::1] ids            # (L, P)
    cdef int32_t[:, :, ::1] spans       # (L, n_buckets, 2): start, size
    cdef int32_t[:, ::1] room           # (L, n_buckets)
    cdef uint32_t[:, ::1] seen          # (L, n_buckets), or (L, 0)
    cdef int64_t[:, ::1] counters       # (L, 3): tail, entries, dropped
    cdef int64_t limit
    cdef uint64_t mixed_seed
    cdef bint sampling
    cdef cython.pymutex mutex

    def __cinit__(self, *args, **kwargs):
        # an object on which __init__ never ran has no tables: its loops find nothing to do
        self._setup(0, 0, None, "fifo", 0)
        self._attach(np.zeros((0, 0), np.int32), np.zeros((0, 0, 2), np.int32), np.zeros((0, 0), np.int32),
                     np.zeros((0, 0), np.uint32), np.zeros((0, 3), np.int64), 0)

    def _setup(self, n_tables, n_buckets, capacity, policy, seed):
        self.n_tables, self.n_buckets, self.seed = n_tables, n_buckets, seed
        self.capacity, self.policy = capacity, policy
        self.limit = 2**31 - 1 if capacity is None else capacity
        self.sampling = policy == "reservoir" and capacity is not None
        self.mixed_seed = mix64(<uint64_t>seed)

    def _attach(self, ids, spans, room, seen, counters, reserved):
        with self.mutex:
            self._ids, self._spans, self._room, self._seen, self._counters = ids, spans, room, seen, counters
            self._reserved = reserved
            self.ids, self.spans, self.room, self.seen, self.counters = ids, spans, room, seen, counters

    cdef int check(self, const int32_t[::1] ids, const uint32_t[:, ::1] codes) except -1:
        """Raise ValueError for a negative id or a code that is no bucket."""
        cdef Py_ssize_t t, i, m = ids.shape[0], n_tables = codes.shape[0]
        cdef uint32_t n_buckets = self.spans.shape[1], highest = 0
        cdef int32_t lowest = 0
        with nogil:
            for i in range(m):
                lowest = min(lowest, ids[i])
            for t in range(n_tables):
                for i in range(m):
                    highest = max(highest, codes[t, i])
        if lowest < 0:
            raise bad_id(lowest)
        if m > 0 and n_tables > 0 and highest >= n_buckets:
            raise bad_code(highest, n_buckets)
        return 0

    cdef void pack(self, Py_ssize_t t, const int32_t* source, int32_t* target) noexcept nogil:
        """Lay the segments of table t side by side, each with a quarter of room."""
        cdef Py_ssize_t b
        cdef int64_t size, room, tail = 0
        for b in range(self.spans.shape[1]):
            size = self.spans[t, b, 1]
            room = min(self.limit, size + size // 4)
            if size > 0:
                memcpy(target + tail, source + self.spans[t, b, 0], size * sizeof(int32_t))
            self.spans[t, b, 0] = <int32_t>tail
            self.room[t, b] = <int32_t>room
            tail += room
        self.counters[t, 0] = tail

    cdef int make_space(self, Py_ssize_t t) except -1 with gil:
        """Free the tail of table t: pack it, or enlarge all pools where that would leave less than an eighth."""
        cdef int32_t[::1] old
        cdef int32_t[:, ::1] new
        cdef Py_ssize_t u, b
        cdef int64_t size, packed = 0
        for b in range(self.spans.shape[1]):
            size = self.spans[t, b, 1]
            packed += min(self.limit, size + size // 4)
        if self.ids.shape[1] - packed >= self.counters[t, 1] // 8 + 8:
            old = self._ids[t].copy()
            self.pack(t, &old[0], &self.ids[t, 0])
            return 0
        rows = self.rows
        array = np.zeros((self.n_tables, self._pool_size(rows)), np.int32)
        new = array
        with nogil:
            for u in range(self.ids.shape[0]):
                self.pack(u, &self.ids[u, 0], &new[u, 0])
        self._ids, self._reserved = array, self._held(rows)
        self.ids = new
        return 0

    cdef int put(self, Py_ssize_t t, uint32_t b, int32_t row) except -1 nogil:
        """Insert one id into bucket b of table t."""
        cdef int64_t size = self.spans[t, b, 1], place, room
        cdef uint32_t arrivals = 0
        cdef int32_t* start
        if self.sampling:
            arrivals = self.seen[t, b]
            if arrivals < <uint32_t>0xFFFFFFFF:
                arrivals += 1
            self.seen[t, b] = arrivals
        if size == self.limit:
            self.counters[t, 2] += 1
            start = &self.ids[t, self.spans[t, b, 0]]
            if self.sampling:
                place = self.draw(t, b, arrivals)
                if place < size:
                    start[place] = row
            else:
                memmove(start, start + 1, (size - 1) * sizeof(int32_t))
                start[size - 1] = row
            return 0
        while size == self.room[t, b]:
            room = min(self.limit, size + size // 4 + 2)
            place = self.counters[t, 0]
            if place + room > self.ids.shape[1]:
                self.make_space(t)  # the bucket may have got room by it: look again
                continue
            if size > 0:
                memcpy(&self.ids[t, place], &self.ids[t, self.spans[t, b, 0]], size * sizeof(int32_t))
            self.spans[t, b, 0] = <int32_t>place
            self.room[t, b] = <int32_t>room
            self.counters[t, 0] = place + room
        self.ids[t, self.spans[t, b, 0] + size] = row
        self.spans[t, b, 1] = <int32_t>(size + 1)
        self.counters[t, 1] += 1
        return 0

    cdef inline int64_t draw(self, Py_ssize_t t, uint32_t b, uint32_t arrivals) noexcept nogil:
        """A random integer below `arrivals`: below(key2(key2(seed, table), bucket << 32 | arrivals), arrivals)."""
        cdef uint64_t bits = mix64(mix64(mix64(self.mixed_seed ^ <uint64_t>t)) ^ ((<uint64_t>b << 32) | arrivals))
        return <int64_t>(((bits >> 32) * arrivals) >> 32)

    cdef int take(self, Py_ssize_t t, uint32_t b, int32_t row) noexcept nogil:
        """Remove the oldest entry of an id from bucket b of table t; how many entries were removed: 0 or 1."""
        cdef int64_t i, size = self.spans[t, b, 1]
        cdef int32_t* start
        if size == 0:
            return 0
        start = &self.ids[t, self.spans[t, b, 0]]
        i = find(start, size, row)
        if i == size:
            return 0
        memmove(start + i, start + i + 1, (size - 1 - i) * sizeof(int32_t))
        self.spans[t, b, 1] = <int32_t>(size - 1)
        self.counters[t, 1] -= 1
        return 1

    cdef int check_growth(self, Py_ssize_t m) except -1:
        """`_check_growth`, which takes as long as an insertion, where a pool could come near the bound."""
        cdef Py_ssize_t t
        cdef int64_t most = 0
        for t in range(self.counters.shape[0]):
            most = max(most, self.counters[t, 1])
        if most + m > 1 << 30:
            self._check_growth(m)
        return 0

    def _insert(self, const int32_t[::1] ids, const uint32_t[:, ::1] codes):
        cdef Py_ssize_t t, i
        self.check(ids, codes)
        with self.mutex:
            self.check_growth(ids.shape[0])
            with nogil:
                for t in range(codes.shape[0]):
                    for i in range(ids.shape[0]):
                        self.put(t, codes[t, i], ids[i])

    def _remove(self, const int32_t[::1] ids, const uint32_t[:, ::1] codes):
        cdef Py_ssize_t t, i
        cdef int64_t removed = 0
        self.check(ids, codes)
        with self.mutex:
            with nogil:
                for t in range(codes.shape[0]):
                    for i in range(ids.shape[0]):
                        removed += self.take(t, codes[t, i], ids[i])
        return removed

    def _move(self, const int32_t[::1] ids, const uint32_t[:, ::1] old_codes, const uint32_t[:, ::1] new_codes):
        cdef Py_ssize_t t, i
        cdef int64_t moved = 0
        self.check(ids, old_codes)
        self.check(ids, new_codes)
        with self.mutex:
            self.check_growth(ids.shape[0])
            with nogil:
                for t in range(old_codes.shape[0]):
                    for i in range(ids.shape[0]):
                        if old_codes[t, i] != new_codes[t, i]:
                            moved += 1
                            self.take(t, old_codes[t, i], ids[i])
                            self.put(t, new_codes[t, i], ids[i])
        return moved


class BucketStore(StoreBase, Core):
    __doc__ = StoreBase.__doc__
    __slots__ = ()
    compiled = True
