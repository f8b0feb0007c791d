"""Memory that a kernel needs for a call and leaves as it found it, kept for the next call on one thread."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

# Pieces that are kept: as many as threads that ask at once, within reason.
MOST = 8


class Scratch:
    """Pieces of memory for calls on one thread. To make millions of zeros anew takes longer than such a call.

    Any number of threads may ask at once: each gets a piece of its own. A copy or a pickle is empty.
    """

    def __init__(self) -> None:
        self._idle: list[Any] = []

    def __reduce__(self):
        return Scratch, ()

    @contextlib.contextmanager
    def lent(self, slots: int, make: Callable[[], Any]) -> Iterator[Any]:
        """Context manager: a piece of memory, which has to be as it was when the block ends; after an error it is dropped.

        Parameters
        ----------
        slots : int
            Threads that work. Only the memory of a single one is kept.
        make : callable
            ``make()`` gives a new piece, each time of the same size where `slots` is 1.
        """
        piece = None
        if slots == 1:
            with contextlib.suppress(IndexError):
                piece = self._idle.pop()
        piece = make() if piece is None else piece
        yield piece
        if slots == 1 and len(self._idle) < MOST:
            self._idle.append(piece)
