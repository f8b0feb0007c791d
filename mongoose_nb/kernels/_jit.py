"""The decorators every kernel wears, and where the compiled code is kept.

A. Numba's own cache notices a change in the file of a function but not in the functions it calls, and it writes into
   site-packages, where an upgrade leaves stale files behind. So we keep one cache directory per *content* of the kernels
   folder, in the user's cache directory (or below ``NUMBA_CACHE_DIR`` where that is set).
B. Numba raises at import where no cache directory can be written. We compile without a cache then: slower to start, right.
C. Two processes that compile one kernel for different types at the same moment would take the same number for their files of code, and
   an index could point to the code for the other types. Our files are named by what they are for.
D. fastmath without ``nnan`` and ``ninf``: a NaN must stay visible.
"""

import hashlib
import os
import pathlib
import tempfile

import numba
from numba.core.caching import IndexDataCacheFile

from mongoose_nb.kernels._guard import guard

FASTMATH = {"reassoc", "nsz", "contract", "arcp", "afn"}


def _cache_dir():
    digest = hashlib.sha256(numba.__version__.encode())
    for source in sorted(pathlib.Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    base = os.environ.get("NUMBA_CACHE_DIR") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache"), "mongoose_nb")
    path = os.path.join(base, f"kernels-{digest.hexdigest()[:16]}")
    try:
        os.makedirs(path, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError:
        return None
    return path


CACHE_DIR = _cache_dir()


class FilesByKey(IndexDataCacheFile):
    """An index of compiled code and its files. An entry that another process overwrites is compiled again, and none is mistaken."""

    def save(self, key, data):
        """Keep the code of `key` (types, processor, source)."""
        name = self._data_name(int(hashlib.sha256(repr(key).encode()).hexdigest()[:15], 16))
        self._save_data(name, data)  # before the index tells of it
        self._save_index({**self._load_index(), key: name})


def _njit(**options):
    options = {"nogil": True, "error_model": "numpy", "fastmath": FASTMATH, **options}

    def decorate(function):
        compiled = numba.njit(**options)(function)
        if options.get("parallel"):
            guard(compiled)
        if CACHE_DIR is not None:
            # The locator reads this setting once, while it is made, and keeps the path; the user's setting is put back at once.
            saved, numba.config.CACHE_DIR = numba.config.CACHE_DIR, CACHE_DIR
            try:
                compiled.enable_caching()
            finally:
                numba.config.CACHE_DIR = saved
            compiled._cache._cache_file.__class__ = FilesByKey
        return compiled

    return decorate


#: a kernel whose ``prange`` loops run on all threads
parallel = _njit(parallel=True)
#: a kernel on one thread
serial = _njit()
#: a kernel whose arithmetic must not be re-ordered
strict = _njit(fastmath=False)
#: the same on all threads
strict_parallel = _njit(parallel=True, fastmath=False)
#: a helper that is compiled into its callers
inline = numba.njit(inline="never", nogil=True, error_model="numpy", fastmath=FASTMATH)
#: a helper whose arithmetic must not be re-ordered
strict_inline = numba.njit(inline="never", nogil=True, error_model="numpy")
