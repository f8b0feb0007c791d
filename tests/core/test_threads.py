"""BLAS keeps to one thread while kernels run, and gets its own number back."""

import threading

import numba
import pytest

from mongoose_nb.core.threads import THREADS_FROM, _blas, compute_threads, kernel_threads, one_blas_thread


def limits():
    return [library.num_threads for library in _blas()]


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


@pytest.mark.parametrize("first_out", ["first in", "last in"])
def test_two_threads_that_overlap(first_out):
    """The limit holds until the last one is out, whichever came first; both threads go on living."""
    before, seen = limits(), []
    inside, leave, out, end = (threading.Event() for _ in range(4))

    def other():
        with one_blas_thread():
            inside.set()
            leave.wait(10)
        out.set()
        end.wait(10)

    thread = threading.Thread(target=other)
    thread.start()
    inside.wait(10)
    with one_blas_thread():
        if first_out == "first in":
            leave.set()
            out.wait(10)
            seen.append(set(limits()))
    if first_out == "last in":
        seen.append(set(limits()))
        leave.set()
        out.wait(10)
    after = limits()
    end.set()
    thread.join()
    assert seen == [{1}] and after == before


def test_little_work_runs_on_one_thread():
    before, blas = numba.get_num_threads(), limits()
    for work, threads in ((0, 1), (THREADS_FROM - 1, 1), (THREADS_FROM, before)):
        with compute_threads(work):
            assert numba.get_num_threads() == threads and set(limits()) == {1}
            with compute_threads(THREADS_FROM):
                assert numba.get_num_threads() == threads
        with kernel_threads(work):
            assert numba.get_num_threads() == threads and limits() == blas
    with pytest.raises(RuntimeError), compute_threads(0):
        raise RuntimeError
    assert numba.get_num_threads() == before and limits() == blas
