"""State that is changed in place: the bucket store and the drift sketch, compiled where a C compiler was at hand.

::

    tables/   ──owns──> BucketStore ──views(), begin_build()──> NumPy arrays <──read, filled── kernels/ (Numba)
                        │
                        ├─ _store_base.py   interface, memory, statistics, state, pickling: shared by both
                        ├─ _checks.py       validation: shared by both
                        ├─ _buckets.pyx     insert, remove, move in Cython
                        └─ _buckets_py.py   the same in NumPy and Python: same results

    schedule/ ──owns──> DriftSketch <──record()── codes of touched rows <──hashed── kernels/ (Numba)
                        │
                        ├─ _sketch_base.py  interface, checks, state, pickling: shared by both
                        ├─ _sketch.pyx      marks, codes, population counts in Cython
                        └─ _sketch_py.py    the same in NumPy: same results

``COMPILED`` and ``SKETCH_COMPILED`` say which of the two `BucketStore` and `DriftSketch` are. Set ``MONGOOSE_NB_PURE=1``
before the import to get the Python twins.
"""

import os

from mongoose_nb._ext._buckets_py import BucketStore
from mongoose_nb._ext._sketch_py import DriftSketch

COMPILED: bool = False
SKETCH_COMPILED: bool = False
if os.environ.get("MONGOOSE_NB_PURE", "0") in ("", "0"):
    try:
        from mongoose_nb._ext._buckets import BucketStore  # noqa: F811
    except ImportError:  # installed without a C compiler
        pass
    else:
        COMPILED = True
    try:
        from mongoose_nb._ext._sketch import DriftSketch  # noqa: F811
    except ImportError:
        pass
    else:
        SKETCH_COMPILED = True

__all__ = ["COMPILED", "SKETCH_COMPILED", "BucketStore", "DriftSketch"]
