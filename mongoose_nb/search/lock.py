"""A lock for one writer or many readers."""

from __future__ import annotations

import threading

from mongoose_nb.core.locks import renew_in_child


class ReadWriteLock:
    """A lock that many readers share. A reader that comes while a writer waits or writes goes after it, and the next writer after those
    readers, so that neither a stream of queries nor one of changes keeps the other waiting for ever.

    Writing is reentrant. A reader must not try to write. A change of a single row takes some ten microseconds in all, so the lock does
    little: there are no generators, and threads are notified only if some wait.
    """

    def __init__(self) -> None:
        self.renew()
        renew_in_child(self)

    def renew(self) -> None:
        """Reset the lock: in a process that was forked off, the other threads are gone."""
        self._gate = threading.Lock()  # guards what follows
        self._changed = threading.Condition(self._gate)
        self._writer = threading.RLock()
        self._depth = 0  # of the writer
        self._readers = self._waiting = 0
        self._phase = 0  # how many times waiting readers were let in
        self._writing = None  # ident of the thread that writes, or waits for readers to leave
        self._to_write, self._to_read = _Held(self._begin, self._end), _Held(self.enter, self.leave)

    def _begin(self):
        self._writer.acquire()
        try:
            if not self._depth:
                with self._gate:
                    self._writing = threading.get_ident()
                    while self._readers:
                        self._changed.wait()
            self._depth += 1
        except BaseException:  # while it waited: an interrupt
            self._release()
            raise

    def _end(self):
        self._depth -= 1
        self._release()

    def _release(self):
        if not self._depth:
            with self._gate:
                self._writing = None
                if self._waiting:  # they count as readers at once: the next writer may be faster than they wake up
                    self._readers, self._waiting, self._phase = self._readers + self._waiting, 0, self._phase + 1
                    self._changed.notify_all()
        self._writer.release()

    def enter(self) -> None:
        """Begin reading; wait for a writer."""
        if self._writing == threading.get_ident():
            return
        with self._gate:
            if self._writing is None:
                self._readers += 1
                return
            self._waiting, phase = self._waiting + 1, self._phase
            try:
                while phase == self._phase:
                    self._changed.wait()
            except BaseException:  # an interrupt
                if phase == self._phase:
                    self._waiting -= 1
                else:
                    self._left()
                raise

    def leave(self) -> None:
        """End reading."""
        if self._writing == threading.get_ident():
            return
        with self._gate:
            self._left()

    def _left(self):
        self._readers -= 1
        if not self._readers and self._writing is not None:
            self._changed.notify_all()

    def writing(self) -> _Held:
        """Context in which no other thread reads or writes."""
        return self._to_write

    def reading(self) -> _Held:
        """Context in which no other thread writes. The writer may read."""
        return self._to_read


class _Held:
    """A context manager without state of its own, which all threads share."""

    __slots__ = ("begin", "end")

    def __init__(self, begin, end):
        self.begin, self.end = begin, end

    def __enter__(self):
        self.begin()

    def __exit__(self, *error):
        self.end()
