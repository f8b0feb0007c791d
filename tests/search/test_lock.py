"""A lock for one writer or many readers: who goes first."""

import threading
import time

import pytest

from mongoose_nb.search.lock import ReadWriteLock


def wait_for(condition):
    """Wait until a condition holds; a minute is far beyond what it takes."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def started(work):
    """A thread that does some work."""
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_a_reader_that_waits_reads_before_the_next_writer():
    lock, seen = ReadWriteLock(), []

    def read():
        with lock.reading():
            seen.append("read")

    with lock.writing():
        readers = [started(read) for _ in range(3)]
        wait_for(lambda: lock._waiting == 3)
        seen.append("first")
    with lock.writing():  # at once: the readers are hardly awake
        seen.append("second")
    assert seen == ["first", "read", "read", "read", "second"]
    for reader in readers:
        reader.join()


def test_a_writer_that_waits_writes_before_later_readers():
    lock, seen = ReadWriteLock(), []

    def write():
        with lock.writing():
            seen.append("write")

    def read():
        with lock.reading():
            seen.append("later")

    with lock.reading():
        writer = started(write)
        wait_for(lambda: lock._writing is not None)
        reader = started(read)
        wait_for(lambda: lock._waiting == 1)
        seen.append("earlier")
    writer.join()
    reader.join()
    assert seen == ["earlier", "write", "later"]


def test_writers_without_a_pause_leave_room_for_readers():
    lock, stop = ReadWriteLock(), threading.Event()

    def write():
        while not stop.is_set():
            with lock.writing():
                pass

    def read():
        for _ in range(200):
            with lock.reading():
                pass

    writers = [started(write) for _ in range(2)]
    readers = [started(read) for _ in range(4)]
    for reader in readers:
        reader.join()
    stop.set()
    for writer in writers:
        writer.join()
    assert (lock._readers, lock._waiting, lock._writing) == (0, 0, None)


def test_writing_is_reentrant_and_a_writer_may_read():
    lock = ReadWriteLock()
    with lock.writing(), lock.writing(), lock.reading():
        assert lock._writing == threading.get_ident()
    assert (lock._readers, lock._writing) == (0, None)


@pytest.mark.parametrize("let_in", [False, True])
def test_an_interrupted_reader_leaves_no_trace(let_in, monkeypatch):
    lock = ReadWriteLock()

    def interrupt():
        if let_in:  # the writer ends before the reader hears of the interrupt
            lock._readers, lock._waiting, lock._phase = 1, 0, lock._phase + 1
        raise KeyboardInterrupt

    lock._writing = -1  # another thread
    monkeypatch.setattr(lock._changed, "wait", interrupt)
    with pytest.raises(KeyboardInterrupt):
        lock.enter()
    assert (lock._readers, lock._waiting) == (0, 0)
