"""Many threads and processes on one index, one network, one set of tables: right answers, whatever runs beside."""

import concurrent.futures
import multiprocessing
import threading

import numpy as np
import pytest
from nn_problem import FEATURES, OUTPUTS, problem

from mongoose_nb.nn import LSH, Network, Tables
from mongoose_nb.search import LSHIndex

WORKERS, ROUNDS = 6, 12


def rows(n=3000, seed=0):
    return np.random.default_rng(seed).standard_normal((n, 16)).astype(np.float32)


def ask(path):
    """In another process: the neighbours of the first rows, from a mapped file."""
    ids, distances = LSHIndex.load(path, mmap=True).query(rows()[:50], 3)
    return ids.tolist(), distances.tolist()


def predict(path):
    """In another process: what a saved network says."""
    ids, scores = Network.load(path).predict_topk(problem()[0], 3)
    return ids.tolist(), scores.tolist()


def in_threads(*works):
    """Run functions side by side; the first error is raised here."""
    with concurrent.futures.ThreadPoolExecutor(len(works)) as pool:
        for done in [pool.submit(work) for work in works]:
            done.result(timeout=120)


def test_readers_of_an_index_and_a_writer():
    """Rows that stay are found by every query, exactly and by buckets, while others come, change and go; a query sees no half change."""
    X, fresh = rows(), rows(1000, 1) + 50
    index = LSHIndex("l2", 16, seed=0)
    index.add(X)
    stop = threading.Event()

    def write():
        for i in range(ROUNDS):
            ids = index.add(fresh)
            index.update(ids[:500], fresh[:500] + i)
            index.remove(ids)
        stop.set()

    def read():
        while not stop.is_set():
            ids, distances = index.query(X[:40], 1)
            assert ids[:, 0].tolist() == list(range(40)) and not distances.any()
            found, _ = index.query(fresh[:5], 3, exact=True)
            far = (found >= 3000).sum(axis=1)
            assert set(far) <= {0, 3}  # all of the new rows are there, or none
            assert len(index) in (3000, 4000)

    in_threads(write, *[read] * WORKERS)
    assert len(index) == 3000


def test_readers_of_a_network_that_trains():
    """A prediction is that of the network after some whole step."""
    X, Y = problem()
    net = Network(FEATURES, OUTPUTS, hidden=(7,), sampler=LSH(30, tables=Tables(K=3, L=4, rehash=4)), seed=1)
    answers = {net.predict_topk(X, 3)[1].tobytes()}
    stop = threading.Event()
    seen = []

    def train():
        net.fit(X, Y, epochs=ROUNDS, batch_size=6,
                callbacks=[type("Every", (), {"on_batch_end": lambda self, n, logs: answers.add(n.predict_topk(X, 3)[1].tobytes())})()])
        stop.set()

    def read():
        while not stop.is_set():
            seen.append(net.predict_topk(X, 3)[1].tobytes())
            net.predict_topk(X, 3, exact=False)

    in_threads(train, *[read] * WORKERS)
    assert seen and set(seen) <= answers
    alone = Network(FEATURES, OUTPUTS, hidden=(7,), sampler=LSH(30, tables=Tables(K=3, L=4, rehash=4)), seed=1)
    alone.fit(X, Y, epochs=ROUNDS, batch_size=6)
    for name, p in alone.parameters().items():  # and being asked changes nothing
        np.testing.assert_array_equal(p.value, net.parameters()[name].value)


def test_networks_side_by_side():
    X, Y = problem()

    def train(seed):
        net = Network(FEATURES, OUTPUTS, hidden=(7,), sampler=LSH(30, tables=Tables(K=3, L=4, rehash=4)), seed=seed)
        net.fit(X, Y, epochs=4, batch_size=6)
        return net.predict_topk(X, 3)[1].tobytes()

    want = [train(seed) for seed in range(4)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert list(pool.map(train, range(4))) == want


@pytest.mark.slow
def test_processes(tmp_path):
    """Started anew, they answer as this one does."""
    index = LSHIndex("l2", 16, seed=0)
    index.add(rows())
    index.save(tmp_path / "index")
    net = Network(FEATURES, OUTPUTS, hidden=(7,), sampler="full").partial_fit(*problem())
    net.save(tmp_path / "net")
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        one, two = pool.submit(ask, tmp_path / "index"), pool.submit(predict, tmp_path / "net")
        assert one.result(timeout=120) == ask(tmp_path / "index")
        assert two.result(timeout=120) == predict(tmp_path / "net")
