"""Parallel kernels under every threading layer, from many threads and after a fork; locks that are fair and survive a fork."""

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from mongoose_nb.core.guard import Guarded
from mongoose_nb.core.locks import FairLock
from mongoose_nb.kernels.layers.dense import matmul

# What a process of its own does; the last word it prints is the answer.
SETUP = """
import os, sys, threading, numpy as np
from mongoose_nb.kernels.layers.dense import matmul
A = np.random.default_rng(0).random((300, 40), np.float32)
B = np.random.default_rng(1).random((40, 500), np.float32)
want = A @ B
def right():
    C = np.empty((300, 500), np.float32)
    matmul(A, B, C)
    return bool(np.allclose(C, want, rtol=1e-5))
"""
THREADS = SETUP + """
answers = []
threads = [threading.Thread(target=lambda: answers.extend(right() for _ in range(30))) for _ in range(8)]
[t.start() for t in threads]
[t.join() for t in threads]
print(len(answers) == 240 and all(answers))
"""
FORK = SETUP + """
if sys.argv[1] == "after":
    assert right()
child = os.fork()
if child == 0:
    try:
        os._exit(0 if right() else 1)
    except RuntimeError as error:
        os._exit(2 if "spawn" in str(error) and "NUMBA_THREADING_LAYER" in str(error) else 3)
print({0: "right", 2: "message"}.get(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), "wrong"), right())
"""


def layers():
    """Threading layers that work here."""
    found = ["workqueue"]
    from numba.np.ufunc import parallel  # noqa: F401

    for name in ("omp", "tbb"):
        try:
            __import__(f"numba.np.ufunc.{name}pool")
        except ImportError:
            continue
        found.append(name)
    return found


@pytest.fixture(params=layers())
def run(request):
    def call(code, *argv):
        environment = {**os.environ, "NUMBA_THREADING_LAYER": request.param, "NUMBA_NUM_THREADS": "2"}
        done = subprocess.run([sys.executable, "-c", code, *argv], capture_output=True, text=True, env=environment, timeout=120)
        assert done.returncode == 0, done.stderr
        return request.param, done.stdout.split()

    return call


@pytest.mark.slow
def test_many_threads(run):
    assert run(THREADS)[1] == ["True"]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_fork(run):
    """Before the first kernel a child is like any process; after it, the child's kernels are right, or say why they cannot run."""
    assert run(FORK, "before")[1] == ["right", "True"]
    layer, answer = run(FORK, "after")
    assert answer == ["message" if layer == "omp" else "right", "True"]


def test_parallel_kernels_are_guarded_and_serial_ones_are_not():
    from mongoose_nb.kernels.data import text
    from mongoose_nb.kernels.hashing import simhash as hashing

    assert isinstance(matmul, Guarded)
    kernels = [k for module in (hashing, text) for k in vars(module).values() if hasattr(k, "py_func")]
    for kernel in kernels:
        assert isinstance(kernel, Guarded) == bool(kernel.targetoptions.get("parallel")), kernel


class TestFairLock:
    def test_one_at_a_time_and_reentrant(self):
        lock, inside, most = FairLock(), [], []

        def work():
            for _ in range(200):
                with lock, lock:
                    inside.append(1)
                    most.append(len(inside))
                    time.sleep(0)
                    inside.pop()

        threads = [threading.Thread(target=work) for _ in range(6)]
        [t.start() for t in threads]
        [t.join() for t in threads]
        assert len(most) == 1200 and set(most) == {1}

    def test_in_the_order_of_asking(self):
        """Who releases and asks again at once waits behind the others."""
        lock, turns, stop = FairLock(), [], threading.Event()

        def greedy():
            while not stop.is_set():
                with lock:
                    turns.append("greedy")

        thread = threading.Thread(target=greedy)
        thread.start()
        try:
            for _ in range(50):
                before = len(turns)
                with lock:
                    turns.append("other")
                assert turns[before:].count("other") == 1
        finally:
            stop.set()
            thread.join()

    def test_an_error_inside_releases(self):
        lock = FairLock()
        with pytest.raises(KeyError), lock:
            raise KeyError
        done = threading.Thread(target=lambda: lock.__enter__())
        done.start()
        done.join(5)
        assert not done.is_alive()

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
    def test_a_child_does_not_wait_for_a_thread_that_it_does_not_have(self):
        code = ("import os, threading\nfrom mongoose_nb.core.locks import FairLock\nlock, held = FairLock(), threading.Event()\n"
                "def hold():\n    with lock:\n        held.set()\n        threading.Event().wait(30)\n"
                "threading.Thread(target=hold, daemon=True).start()\nheld.wait()\n"
                "child = os.fork()\nif child == 0:\n    with lock:\n        os._exit(0)\n"
                "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n")
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20)
        assert done.stdout.strip() == "0", done.stderr


def test_results_do_not_depend_on_the_guard():
    A = np.ones((3, 4), np.float32)
    C = np.empty((3, 3), np.float32)
    matmul(A, np.ascontiguousarray(A.T), C)
    np.testing.assert_array_equal(C, np.full((3, 3), 4, np.float32))
