# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# cython: embedsignature=True, freethreading_compatible=True
"""The compiled drift sketch.

A. Values are checked in one pass, then the loops run without bounds checks and without the interpreter lock.
B. Population counts by shifts and adds: compilers make the processor's instruction, or vector code, of it, and no
   intrinsic has a name that all of them know.
C. A mutex lets callers on several Python threads wait for each other, as in `_buckets`.
"""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t, uint64_t

import numpy as np

from mongoose_nb._ext._sketch_base import SketchBase, outside


cdef inline uint64_t count_bits(uint64_t x) noexcept nogil:
    x -= (x >> 1) & <uint64_t>0x5555555555555555
    x = (x & <uint64_t>0x3333333333333333) + ((x >> 2) & <uint64_t>0x3333333333333333)
    x = (x + (x >> 4)) & <uint64_t>0x0F0F0F0F0F0F0F0F
    return (x * <uint64_t>0x0101010101010101) >> 56


cdef class Core:
    """Arrays and hot loops of `DriftSketch`."""

    cdef readonly object n_rows, bits
    cdef readonly object _rows, _marks, _codes, _snapshot, _touches
    cdef const int32_t[::1] rows        # (m,), or (0,) where all are watched
    cdef uint16_t[::1] marks            # (n_rows,)
    cdef uint64_t[:, ::1] codes         # (m, words)
    cdef uint64_t[:, ::1] snapshot      # (m, words)
    cdef uint32_t[::1] touches          # (m,)
    cdef bint all_rows
    cdef cython.pymutex mutex

    def __cinit__(self, *args, **kwargs):
        # an object on which __init__ never ran has no rows: its loops find nothing to do
        self._attach(0, 64, None, np.zeros(0, np.uint16), np.zeros((0, 1), np.uint64), np.zeros((0, 1), np.uint64),
                     np.zeros(0, np.uint32))

    def _attach(self, n_rows, bits, rows, marks, codes, snapshot, touches):
        self.n_rows, self.bits, self._rows = n_rows, bits, rows
        self._marks, self._codes, self._snapshot, self._touches = marks, codes, snapshot, touches
        self.marks, self.codes, self.snapshot, self.touches = marks, codes, snapshot, touches
        self.all_rows = rows is None
        self.rows = np.zeros(0, np.int32) if rows is None else rows

    cdef inline Py_ssize_t at(self, Py_ssize_t place) noexcept nogil:
        """Id of the row at a place."""
        return place if self.all_rows else self.rows[place]

    cdef int check(self, str name, const int32_t[::1] values, Py_ssize_t size) except -1:
        """Raise ValueError for a value outside [0, size)."""
        cdef Py_ssize_t i
        cdef int32_t lowest = 0, highest = -1
        with nogil:
            for i in range(values.shape[0]):
                lowest = min(lowest, values[i])
                highest = max(highest, values[i])
        if lowest < 0 or highest >= size:
            raise outside(name, lowest if lowest < 0 else highest, size)
        return 0

    def _touch_all(self):
        cdef Py_ssize_t i
        with self.mutex:
            with nogil:
                for i in range(self.marks.shape[0]):
                    self.marks[i] += self.marks[i] < 65535

    def _touch(self, const int32_t[::1] ids):
        cdef Py_ssize_t i
        self.check("ids", ids, self.marks.shape[0])
        with self.mutex:
            with nogil:
                for i in range(ids.shape[0]):
                    self.marks[ids[i]] += self.marks[ids[i]] < 65535

    def _pending(self, int64_t limit):
        cdef Py_ssize_t place, m = self.codes.shape[0], n = 0
        cdef int64_t level = 65536, above = 0, ties = 0
        cdef uint16_t mark
        cdef uint32_t[::1] histogram
        cdef int32_t[::1] out
        with self.mutex:
            with nogil:
                for place in range(m):
                    n += self.marks[self.at(place)] > 0
            if n > limit:
                # all rows above `level` are taken, and the first `ties` of those at it
                histogram = np.zeros(65536, np.uint32)
                with nogil:
                    for place in range(m):
                        histogram[self.marks[self.at(place)]] += 1
                    while above < limit:
                        level -= 1
                        above += histogram[level]
                    if level < 65536:
                        ties = histogram[level] - (above - limit)
                n = limit
            else:
                level = 0
            found = np.empty(n, np.int32)
            out = found
            n = 0
            with nogil:
                for place in range(m):
                    mark = self.marks[self.at(place)]
                    if mark > level:
                        out[n] = <int32_t>place
                        n += 1
                    elif mark == level and ties > 0:
                        ties -= 1
                        out[n] = <int32_t>place
                        n += 1
        return found

    def _record(self, const int32_t[::1] places, const uint64_t[:, ::1] codes):
        cdef Py_ssize_t i, k, place, row
        self.check("places", places, self.codes.shape[0])
        with self.mutex:
            with nogil:
                for i in range(places.shape[0]):
                    place = places[i]
                    row = self.at(place)
                    for k in range(codes.shape[1]):
                        self.codes[place, k] = codes[i, k]
                    if self.touches[place] > <uint32_t>0xFFFFFFFF - self.marks[row]:
                        self.touches[place] = <uint32_t>0xFFFFFFFF
                    else:
                        self.touches[place] += self.marks[row]
                    self.marks[row] = 0

    def _changed(self, uint16_t[::1] out):
        cdef Py_ssize_t place, k
        cdef uint64_t total
        with self.mutex:
            with nogil:
                for place in range(self.codes.shape[0]):
                    total = 0
                    for k in range(self.codes.shape[1]):
                        total += count_bits(self.codes[place, k] ^ self.snapshot[place, k])
                    out[place] = <uint16_t>total

    def _take_snapshot(self, const int32_t[::1] places):
        cdef Py_ssize_t i, k, place
        self.check("places", places, self.codes.shape[0])
        with self.mutex:
            with nogil:
                for i in range(places.shape[0]):
                    place = places[i]
                    for k in range(self.codes.shape[1]):
                        self.snapshot[place, k] = self.codes[place, k]
                    self.touches[place] = 0


class DriftSketch(SketchBase, Core):
    __doc__ = SketchBase.__doc__
    __slots__ = ()
    compiled = True
