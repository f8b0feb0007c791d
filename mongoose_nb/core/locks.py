"""Locks that work after a fork, and a fair lock. Only the standard library is imported, so a lock does not load Numba.

A lock that another thread holds when a process is forked would stay locked in the child forever, so it is replaced there.
"""

from __future__ import annotations

import functools
import os
import threading
import weakref
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_renewed: weakref.WeakSet[Any] = weakref.WeakSet()


def renew_in_child(lock: Any) -> Any:
    """Call ``lock.renew()`` in every forked process. Returns `lock`."""
    _renewed.add(lock)
    return lock


def _in_child():
    for lock in list(_renewed):
        lock.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)


class FairLock:
    """A reentrant lock that is handed over in the order in which it was asked for.

    With ``threading.RLock`` a loop that releases and acquires again, such as training, keeps all others waiting: it is back before
    the one that was woken.
    """

    def __init__(self) -> None:
        self.renew()
        renew_in_child(self)

    def renew(self) -> None:
        """Nobody holds it, nobody waits."""
        self._gate = threading.Lock()
        self._owner: int | None = None
        self._depth = 0
        self._queue: list[tuple[int, threading.Lock]] = []

    def __enter__(self) -> FairLock:
        me = threading.get_ident()
        with self._gate:
            if self._owner in (None, me):
                self._owner, self._depth = me, self._depth + 1
                return self
            turn = threading.Lock()
            turn.acquire()
            self._queue.append((me, turn))
        try:
            turn.acquire()
        except BaseException:  # an interrupt while it waited
            with self._gate:
                waiting = (me, turn) in self._queue
                if waiting:
                    self._queue.remove((me, turn))
            if not waiting:
                self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        with self._gate:
            self._depth -= 1
            if self._depth:
                return
            self._owner = None
            if self._queue:
                self._owner, turn = self._queue.pop(0)
                self._depth = 1
                turn.release()

    def __deepcopy__(self, memo):
        return FairLock()

    def __reduce__(self):
        return FairLock, ()


def locked(method: Callable[Concatenate[Any, P], R]) -> Callable[Concatenate[Any, P], R]:
    """A method that holds the lock ``self._lock`` of its object while it runs."""
    @functools.wraps(method)
    def inner(self, *args, **kwargs):
        with self._lock:
            return method(self, *args, **kwargs)
    return inner
