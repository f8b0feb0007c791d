"""Numbers of threads: kernels run on Numba's threads, and BLAS inside a kernel runs on the thread that calls it.

A matrix product inside a kernel is cut into blocks by `prange`; each block is one BLAS call on one thread. Two thread pools at
once cost a third of the speed on two cores (measured), and blocks of a fixed shape give the same bits for any number of
threads.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Iterator

from mongoose_nb.core.locks import renew_in_child

# Multiplications between two barriers from which several threads are worth it: about a millisecond of work. On tiny problems 200
# steps took 0.25 s on one thread and 2 to 20 s on two threads of a busy machine.
THREADS_FROM = 1 << 22

# Rows from which a kernel that takes a row at a time runs on several threads. To wake them for one row took 4 ms under OpenMP on two busy
# cores, where the row takes 30 us.
ROWS_FROM = 64

_lock = threading.RLock()
_depth = 0
_before: list[int] = []


class _Renewed:
    """Resets the state in a forked process, where no caller is inside."""

    def renew(self):
        """Reset, in the child process."""
        global _lock, _depth, _before
        _lock, _depth, _before = threading.RLock(), 0, []


@functools.lru_cache(maxsize=1)
def _blas():
    # Numba binds matrix products to SciPy's BLAS: it has to be loaded before the controller looks for libraries.
    import scipy.linalg.cython_blas  # noqa: F401
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas").lib_controllers


def _set(threads):
    for library, n in zip(_blas(), threads):
        # From threadpoolctl 3.8 on only the Python thread that first set the number may set it; the last caller to leave may be another
        # thread. Cleared again afterwards, other code in the process can set limits.
        clear = getattr(library, "clear_controlling_thread", lambda force: None)
        clear(force=True)
        library.set_num_threads(n)
        clear(force=True)


_renewed = renew_in_child(_Renewed())


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Context manager: limit BLAS to one thread while any caller is inside, and restore the previous limit after the last one."""
    global _depth, _before
    with _lock:
        if _depth == 0:
            _before = [library.num_threads for library in _blas()]
            _set([1] * len(_before))
        _depth += 1
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            if _depth == 0:
                _set(_before)


@contextlib.contextmanager
def kernel_threads(multiplications: int) -> Iterator[None]:
    """Context manager for kernels that call no BLAS: one thread if there are few `multiplications` between two barriers."""
    import numba

    before = numba.get_num_threads()
    if multiplications < THREADS_FROM:
        numba.set_num_threads(1)
    try:
        yield
    finally:
        numba.set_num_threads(before)


@contextlib.contextmanager
def row_threads(rows: int) -> Iterator[None]:
    """Context manager for kernels that take a row at a time: one thread for fewer rows than `ROWS_FROM`."""
    if rows >= ROWS_FROM:
        yield
        return
    import numba

    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        yield
    finally:
        numba.set_num_threads(before)


@contextlib.contextmanager
def compute_threads(multiplications: int) -> Iterator[None]:
    """Context manager: `kernel_threads`, with BLAS limited to one thread."""
    with kernel_threads(multiplications), one_blas_thread():
        yield
