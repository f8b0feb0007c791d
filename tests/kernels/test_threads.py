"""BLAS keeps to one thread while kernels run, and gets its own number back."""

import threading

import pytest

from mongoose_nb.kernels._threads import _controller, one_blas_thread


def limits():
    return [pool["num_threads"] for pool in _controller().info() if pool["user_api"] == "blas"]


def test_nested_and_raising():
    before = limits()
    with one_blas_thread():
        assert set(limits()) == {1}
        with one_blas_thread():
            assert set(limits()) == {1}
        assert set(limits()) == {1}
    assert limits() == before
    with pytest.raises(RuntimeError), one_blas_thread():
        raise RuntimeError
    assert limits() == before


def test_two_threads_that_overlap():
    before, seen = limits(), []
    inside, leave = threading.Event(), threading.Event()

    def other():
        with one_blas_thread():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    thread.start()
    inside.wait(10)
    with one_blas_thread():
        pass
    seen.append(set(limits()))  # the other one is still inside
    leave.set()
    thread.join()
    assert seen == [{1}] and limits() == before
