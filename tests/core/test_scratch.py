"""Memory that is kept between calls."""

import copy
import pickle
import threading

import pytest

from mongoose_nb.core.scratch import MOST, Scratch


def test_the_memory_of_one_thread_is_kept():
    scratch = Scratch()
    with scratch.lent(1, list) as first:
        with scratch.lent(1, list) as other:
            assert other is not first
    with scratch.lent(1, list) as again:
        assert again is first
    with scratch.lent(2, list) as wide:
        assert wide is not first and wide is not other


def test_after_an_error_it_is_dropped():
    scratch = Scratch()
    with pytest.raises(KeyError), scratch.lent(1, list) as first:
        raise KeyError
    with scratch.lent(1, list) as second:
        assert second is not first


def test_no_two_threads_share_a_piece():
    scratch, together = Scratch(), threading.Barrier(2 * MOST)

    def work():
        with scratch.lent(1, list) as piece:
            together.wait()
            piece.append(threading.get_ident())
            together.wait()
            assert piece == [threading.get_ident()]
            piece.clear()

    threads = [threading.Thread(target=work) for _ in range(2 * MOST)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(scratch._idle) == MOST and not any(scratch._idle)


def test_copies_are_empty():
    scratch = Scratch()
    with scratch.lent(1, list):
        pass
    assert not copy.deepcopy(scratch)._idle and not pickle.loads(pickle.dumps(scratch))._idle
