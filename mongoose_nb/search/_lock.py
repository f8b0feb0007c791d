"""One writer or many readers: searches run beside each other, a change waits for them and they for it."""

import contextlib
import threading


class ReadWriteLock:
    """A lock that many readers share; writers go first, so that a stream of queries cannot keep a change waiting for ever.

    Writing is reentrant. A reader must not ask to write.
    """

    def __init__(self):
        self._changed = threading.Condition(threading.Lock())
        self._writer = threading.RLock()
        self._readers = 0
        self._writing = None  # ident of the thread that writes, or waits for readers to leave

    @contextlib.contextmanager
    def writing(self):
        """Alone."""
        with self._writer:
            me = threading.get_ident()
            if self._writing == me:
                yield
                return
            with self._changed:
                self._writing = me
                while self._readers:
                    self._changed.wait()
            try:
                yield
            finally:
                with self._changed:
                    self._writing = None
                    self._changed.notify_all()

    def enter(self):
        """Begin to read."""
        if self._writing == threading.get_ident():
            return
        with self._changed:
            while self._writing is not None:
                self._changed.wait()
            self._readers += 1

    def leave(self):
        """End reading."""
        if self._writing == threading.get_ident():
            return
        with self._changed:
            self._readers -= 1
            if not self._readers:
                self._changed.notify_all()

    @contextlib.contextmanager
    def reading(self):
        """Beside other readers. A writer may read."""
        self.enter()
        try:
            yield
        finally:
            self.leave()
