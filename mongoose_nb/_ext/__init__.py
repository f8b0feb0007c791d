"""State that is changed in place: the bucket store, compiled where a C compiler was at hand.

::

    tables/ ──owns──> BucketStore ──views(), begin_build()──> NumPy arrays <──read, filled── kernels/ (Numba)
                      │
                      ├─ _store_base.py   interface, memory, statistics, state, pickling: shared by both
                      ├─ _checks.py       validation: shared by both
                      ├─ _buckets.pyx     insert, remove, move in Cython
                      └─ _buckets_py.py   the same in NumPy and Python: same results

``COMPILED`` says which of the two `BucketStore` is. Set ``MONGOOSE_NB_PURE=1`` before the import to get the Python
twin.
"""

import os

from mongoose_nb._ext._buckets_py import BucketStore

COMPILED: bool = False
if os.environ.get("MONGOOSE_NB_PURE", "0") in ("", "0"):
    try:
        from mongoose_nb._ext._buckets import BucketStore  # noqa: F811
    except ImportError:  # installed without a C compiler
        pass
    else:
        COMPILED = True

__all__ = ["COMPILED", "BucketStore"]
