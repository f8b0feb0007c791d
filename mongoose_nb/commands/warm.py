"""Preparations: the number of threads, and compilation of the kernels, so that reported times exclude it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from mongoose_nb.commands.console import note
from mongoose_nb.core.types import Matrix

# Rows of the throwaway training, and the width of its hidden layers.
ROWS, WIDTH = 32, 16


@contextlib.contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Context manager: run the block on `count` Numba threads; None does not change the number."""
    if count is None:
        yield
        return
    import numba

    most = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    if not 1 <= count <= most:
        raise ValueError(f"--threads must be from 1 to {most}, what this machine offers; got {count} "
                         "(set NUMBA_NUM_THREADS in the environment for more)")
    before = numba.get_num_threads()
    numba.set_num_threads(count)
    try:
        yield
    finally:
        numba.set_num_threads(before)


class Clock:
    """The time spent on compilation."""

    def __init__(self) -> None:
        self.seconds, self._depth, self._start = 0.0, 0, 0.0

    def begin(self) -> None:
        """Note that the compilation of a kernel begins; announced once."""
        from mongoose_nb.core.compiling import message
        from mongoose_nb.core.jit import CACHE_DIR

        if self._depth == 0:
            if self.seconds == 0.0:
                note(message(CACHE_DIR is not None))
            self._start = time.perf_counter()
        self._depth += 1

    def end(self) -> None:
        """Note that it has ended."""
        self._depth -= 1
        if self._depth == 0:
            self.seconds += time.perf_counter() - self._start

    def report(self) -> None:
        """Print the time, if compilation was announced."""
        if self.seconds:
            note(f"compiled in {self.seconds:.1f} s")


@contextlib.contextmanager
def compiling() -> Iterator[Clock]:
    """Announce compilation when it begins within the block; gives the `Clock`. What is loaded from the cache costs nothing."""
    from numba.core import event

    from mongoose_nb.core.jit import ANNOUNCER

    class Listener(event.Listener):
        def on_start(self, event):
            clock.begin()

        def on_end(self, event):
            clock.end()

    clock = Clock()
    with event.install_listener("numba:compile", Listener()), ANNOUNCER.silenced():
        yield clock


def warm_up(make_network: Callable[[], Any], X: Matrix, Y: Matrix, *, hashed: bool) -> None:
    """Train a throwaway network on a few rows and predict with it.

    Kernels are compiled for types, not for sizes: few rows do.

    Parameters
    ----------
    make_network : callable
        Returns the throwaway network.
    X, Y
        Training data, of which the first rows are used.
    hashed : bool
        Whether prediction through the hash tables is wanted too.
    """
    network = make_network()
    network.fit(X[:ROWS], Y[:ROWS], epochs=1)
    network.predict_topk(X[:2], 1)
    if hashed:
        network.predict_topk(X[:2], 1, exact=False)
