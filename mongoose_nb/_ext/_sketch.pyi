from mongoose_nb._ext._sketch_base import SketchBase

class Core:
    n_rows: int
    bits: int

class DriftSketch(SketchBase, Core):
    compiled: bool
