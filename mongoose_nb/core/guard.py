"""Parallel kernels from several Python threads, and after a fork.

A. *Threads.* Under Numba's ``workqueue`` layer a second thread that enters a parallel kernel ends the process with SIGABRT. Under this
   layer callers wait for each other. Under ``tbb`` and ``omp`` they need not.
B. *Fork.* If GNU OpenMP has run in a process, it cannot run in a fork of it: Numba ends the fork with SIGABRT. A kernel raises an error
   there, which says what to do. The other layers work again in the child.
C. Every parallel kernel is guarded, at the cost of a microsecond per call. Guards in the calling code could be forgotten.
"""

from __future__ import annotations

import threading
from typing import Any

import numba
from numba.core.registry import CPUDispatcher

from mongoose_nb.core.locks import renew_in_child

_entering = threading.Lock()
_layer = None  # once it has run
_forked_from_openmp = False


class Guarded(CPUDispatcher):
    """A compiled kernel with ``prange`` loops."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the kernel; under ``workqueue`` one thread at a time."""
        global _layer
        if _forked_from_openmp:
            raise RuntimeError("this process was forked off one whose kernels already run on GNU OpenMP, which does not work in a fork: "
                               "start processes with multiprocessing's 'spawn' or 'forkserver', fork before the first computation, "
                               "or set NUMBA_THREADING_LAYER=workqueue")
        if _layer is not None and _layer != "workqueue":
            return super().__call__(*args, **kwargs)
        with _entering:
            try:
                return super().__call__(*args, **kwargs)
            finally:
                _layer = _running_layer()


def _running_layer():
    try:
        return numba.threading_layer()
    except ValueError:  # nothing has run in parallel yet
        return None


def guard(dispatcher: Any) -> Any:
    """The same kernel with a guarded entrance."""
    dispatcher.__class__ = Guarded
    return dispatcher


class _Process:
    """What a process that is forked off has to know."""

    def renew(self):
        """Called in the child."""
        global _entering, _forked_from_openmp
        _entering = threading.Lock()
        _forked_from_openmp = _layer == "omp"


_process = renew_in_child(_Process())
