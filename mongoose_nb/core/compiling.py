"""Say once that kernels are compiled, the first time that takes more than a second: on a first run it can take a minute.

The line goes to the logger ``mongoose_nb`` at INFO, and, where nobody listens there, to stderr if that is a terminal or a notebook.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from numba.core import event

# Seconds of compilation, in sum, after which it is announced.
AFTER = 1.0

LOGGER = logging.getLogger("mongoose_nb")


def is_ours(compiled: Any) -> bool:
    """Whether an event of Numba is about a kernel of this package."""
    function = getattr(compiled.data.get("dispatcher"), "py_func", None)
    return (getattr(function, "__module__", None) or "").split(".")[0] == "mongoose_nb"  # a function of exec has no module


def message(kept: bool) -> str:
    """What is said; `kept` is whether compiled code is kept for later runs."""
    return "compiling kernels, " + ("once per machine: up to a minute" if kept else
                                    "in every run, since no directory to keep them in can be written (mongoose info)")


def tell(text: str) -> None:
    """Log a line at INFO; where no handler takes it, write it to stderr if a person reads that."""
    if LOGGER.isEnabledFor(logging.INFO) and LOGGER.hasHandlers():
        LOGGER.info(text)
        return
    stream = sys.stderr
    notebook = type(stream).__module__.startswith("ipykernel")
    with contextlib.suppress(Exception):  # a stream that is closed: the work goes on
        if stream is not None and (notebook or stream.isatty()):
            stream.write(f"mongoose_nb: {text}\n")
            stream.flush()


class Announcer(event.Listener):
    """Listens to Numba, and tells once that kernels are compiled.

    Parameters
    ----------
    kept : bool
        Whether compiled code is kept for later runs.
    """

    def __init__(self, kept: bool) -> None:
        self.kept, self.silent, self.said = kept, 0, False
        self.seconds, self._depth, self._began = 0.0, 0, 0.0
        self._timer: threading.Timer | None = None

    def on_start(self, event: Any) -> None:
        """A compilation begins."""
        if not is_ours(event):
            return
        self._depth += 1
        if self._depth == 1 and not self.said:
            self._began = time.perf_counter()
            self._timer = threading.Timer(max(0.0, AFTER - self.seconds), self.say)
            self._timer.daemon = True
            self._timer.start()

    def on_end(self, event: Any) -> None:
        """It has ended."""
        if not is_ours(event):
            return
        self._depth -= 1
        if self._depth == 0 and self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self.seconds += time.perf_counter() - self._began

    def say(self) -> None:
        """Tell it, unless that was done or somebody else does."""
        if not self.said and not self.silent:
            self.said = True
            tell(message(self.kept))

    @contextlib.contextmanager
    def silenced(self) -> Iterator[None]:
        """Context manager: tell nothing within the block."""
        self.silent += 1
        try:
            yield
        finally:
            self.silent -= 1
