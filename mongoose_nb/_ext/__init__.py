"""Containers that are changed in place: the bucket store and the drift sketch, compiled if a C compiler was available.

::

    tables/   --owns--> BucketStore --views(), begin_build()--> NumPy arrays <--read, filled-- kernels/ (Numba)
                        |
                        +- _store_base.py   interface, memory, statistics, state, pickling: shared by both implementations
                        +- _checks.py       validation: shared by both implementations
                        +- _buckets.pyx     insert, remove, move in Cython
                        +- _buckets_py.py   the same in NumPy and Python, with the same results

    rehash/   --owns--> DriftSketch <--record()-- codes of touched rows <--hashed-- kernels/ (Numba)
                        |
                        +- _sketch_base.py  interface, checks, state, pickling: shared by both implementations
                        +- _sketch.pyx      marks, codes, population counts in Cython
                        +- _sketch_py.py    the same in NumPy, with the same results

``COMPILED`` and ``SKETCH_COMPILED`` say which implementation `BucketStore` and `DriftSketch` are. Set ``MONGOOSE_NB_PURE=1``
before the import to get the Python implementations.
"""

import copyreg
import os

from mongoose_nb._ext._buckets_py import BucketStore
from mongoose_nb._ext._sketch_py import DriftSketch

COMPILED: bool = False
SKETCH_COMPILED: bool = False
if os.environ.get("MONGOOSE_NB_PURE", "0") in ("", "0"):
    try:
        from mongoose_nb._ext._buckets import BucketStore  # type: ignore[assignment]  # noqa: F811
    except ImportError:  # installed without a C compiler
        pass
    else:
        COMPILED = True
    try:
        from mongoose_nb._ext._sketch import DriftSketch  # type: ignore[assignment]  # noqa: F811
    except ImportError:
        pass
    else:
        SKETCH_COMPILED = True

__all__ = ["COMPILED", "SKETCH_COMPILED", "BucketStore", "DriftSketch"]


def _restore_store(state):
    return BucketStore.from_state(state)


def _restore_sketch(state):
    return DriftSketch.from_state(state)


def _reduce_store(store):
    return _restore_store, (store.state(),)


def _reduce_sketch(sketch):
    return _restore_sketch, (sketch.state(),)


# A pickle of a compiled object names a function of this package, so a process without the extension loads it as the Python
# implementation. Registered here because no other module of the package knows both implementations.
if COMPILED:
    copyreg.pickle(BucketStore, _reduce_store)
if SKETCH_COMPILED:
    copyreg.pickle(DriftSketch, _reduce_sketch)
