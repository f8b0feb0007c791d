"""A drift sketch of Python integers: the oracle of the real ones, and what their tests share."""

from mongoose_nb._ext import SKETCH_COMPILED, _sketch_py

SKETCHES = [_sketch_py.DriftSketch]
if SKETCH_COMPILED:
    from mongoose_nb._ext._sketch import DriftSketch as CompiledSketch

    SKETCHES.append(CompiledSketch)

sketch_names = ["compiled" if cls.compiled else "twin" for cls in SKETCHES]


class NaiveSketch:
    """A dict per row; every operation row by row."""

    def __init__(self, n_rows, *, bits=64, rows=None):
        self.marks = [0] * n_rows
        self.rows = list(range(n_rows)) if rows is None else [int(row) for row in rows]
        self.codes, self.kept, self.touches = ([0] * len(self.rows) for _ in range(3))

    def touch(self, ids=None):
        for row in range(len(self.marks)) if ids is None else ids:
            self.marks[row] = min(65535, self.marks[row] + 1)

    def pending(self, limit=None):
        marked = [place for place, row in enumerate(self.rows) if self.marks[row]]
        marked.sort(key=lambda place: (-self.marks[self.rows[place]], place))
        return sorted(marked[:limit])

    def record(self, places, codes):
        for place, words in zip(places, codes):
            self.codes[place] = sum(int(word) << 64 * k for k, word in enumerate(words))
            self.touches[place] += self.marks[self.rows[place]]
            self.marks[self.rows[place]] = 0

    def changed(self):
        return [bin(a ^ b).count("1") for a, b in zip(self.codes, self.kept)]

    def take_snapshot(self, places=None):
        for place in range(len(self.rows)) if places is None else places:
            self.kept[place], self.touches[place] = self.codes[place], 0


def assert_same_sketch(sketch, naive):
    """Equal counts, marks and touches."""
    assert sketch.changed().tolist() == naive.changed() and sketch.total == sum(naive.changed())
    assert sketch.touches.tolist() == naive.touches
    assert sketch.pending().tolist() == naive.pending()
    assert sketch.state()["marks"].tolist() == naive.marks
