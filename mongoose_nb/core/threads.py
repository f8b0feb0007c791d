"""Who may use how many threads: Numba's threads do the work, and BLAS inside a kernel keeps to the thread that calls it.

A matrix product inside a kernel is cut into blocks by `prange`; each block is one BLAS call on one thread. Two pools that
spin beside each other cost a third of the machine on two cores (measured), and blocks of a fixed shape on one thread give
the same bits whatever the number of threads.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Iterator

from mongoose_nb.core.locks import renew_in_child

# Multiplications between two points where threads wait for each other, from which more than one is worth it: about a millisecond.
# Measured on tiny problems: 200 steps took 0.25 s on one thread and 2 to 20 s on two of a machine that others used too.
THREADS_FROM = 1 << 22

_lock = threading.RLock()
_depth = 0
_before: list[int] = []


class _Renewed:
    """In a forked process nobody is inside."""

    def renew(self):
        """Called in the child."""
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
        # From threadpoolctl 3.8 on only the Python thread that came first may set the number; the last to leave may be another one.
        # Cleared again, it is free for whoever else sets limits in the process.
        clear = getattr(library, "clear_controlling_thread", lambda force: None)
        clear(force=True)
        library.set_num_threads(n)
        clear(force=True)


_renewed = renew_in_child(_Renewed())


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold BLAS at one thread while any caller is inside; the former limit returns when the last one leaves."""
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
    """Threads for kernels that call no BLAS and take about so many multiplications at a time: one for little work."""
    import numba

    before = numba.get_num_threads()
    if multiplications < THREADS_FROM:
        numba.set_num_threads(1)
    try:
        yield
    finally:
        numba.set_num_threads(before)


@contextlib.contextmanager
def compute_threads(multiplications: int) -> Iterator[None]:
    """As `kernel_threads`, where BLAS may be called: on one thread."""
    with kernel_threads(multiplications), one_blas_thread():
        yield
