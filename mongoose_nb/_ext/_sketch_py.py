"""The drift sketch in NumPy, for installs without a C compiler.

The interface and the arrays are those of the compiled sketch, which is tested against it. `_sketch_base` explains the parts.
"""

import threading

import numpy as np

from mongoose_nb._ext._checks import within
from mongoose_nb._ext._sketch_base import MOST, SketchBase, outside


class DriftSketch(SketchBase):
    __doc__ = SketchBase.__doc__
    __slots__ = ("n_rows", "bits", "_rows", "_marks", "_codes", "_snapshot", "_touches", "_mutex")

    def _attach(self, n_rows, bits, rows, marks, codes, snapshot, touches):
        self.n_rows, self.bits, self._rows = n_rows, bits, rows
        self._marks, self._codes, self._snapshot, self._touches = marks, codes, snapshot, touches
        self._mutex = threading.Lock()

    def _at(self, places):
        """Ids of the rows at some places."""
        return places if self._rows is None else self._rows[places]

    def _check(self, places):
        within(places, 0, len(self) - 1, lambda place: outside("places", place, len(self)))

    def _touch_all(self):
        with self._mutex:
            self._marks += self._marks < MOST

    def _touch(self, ids):
        within(ids, 0, self.n_rows - 1, lambda row: outside("ids", row, self.n_rows))
        ids, times = np.unique(ids, return_counts=True)
        with self._mutex:
            self._marks[ids] = np.minimum(self._marks[ids] + times, MOST)

    def _pending(self, limit):
        with self._mutex:
            marks = self._marks if self._rows is None else self._marks[self._rows]
            places = np.flatnonzero(marks).astype(np.int32)
            if len(places) > limit:
                most = np.argsort(-marks[places].astype(np.int64), kind="stable")[:limit]
                places = np.sort(places[most])
        return places

    def _record(self, places, codes):
        self._check(places)
        with self._mutex:
            rows = self._at(places)
            self._codes[places] = codes
            self._touches[places] = np.minimum(self._touches[places].astype(np.int64) + self._marks[rows], 2**32 - 1)
            self._marks[rows] = 0

    def _changed(self, out):
        with self._mutex:
            np.bitwise_count(self._codes ^ self._snapshot).sum(axis=1, dtype=np.uint16, out=out)

    def _take_snapshot(self, places):
        self._check(places)
        with self._mutex:
            self._snapshot[places] = self._codes[places]
            self._touches[places] = 0
