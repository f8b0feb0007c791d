"""Objects on workers, where clients, workers and objects come and go."""

import os
import signal
import threading
import time

import pytest

from mongoose_nb.distributed import actors
from mongoose_nb.distributed.actors import LostError, Shards

distributed = pytest.importorskip("dask.distributed")


class Counter:
    """An object of a shard."""

    def open(self):
        self.n = 0

    def add(self, n):
        self.n += n
        return self.n

    def fail(self):
        raise KeyError("no such thing")

    def wait(self, seconds):
        time.sleep(seconds)
        return seconds


def recipe(i):
    return [("open", ())]


@pytest.fixture(params=["made before", "made after", "of another cluster"])
def other(request, threads):
    """Makes the client of a shard, and another one, which is closed when the test says so."""
    address = threads.scheduler.address
    if request.param == "of another cluster":
        with distributed.LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0") as cluster:
            yield threads, distributed.Client(cluster)
    elif request.param == "made after":
        yield threads, distributed.Client(address)
    else:
        first = distributed.Client(address)
        with distributed.Client(address) as client:
            yield client, first


def test_another_client_is_closed(other):
    """A shard belongs to the client that made it: Dask's own handle belonged to the client made last, and calls waited forever."""
    client, second = other
    shards = Shards(client, Counter, 2, recipe)
    assert shards.call("add", [(1,), (2,)]) == [1, 2]
    second.close()
    time.sleep(0.2)
    for n in range(1, 4):
        assert shards.call("add", [(1,), (2,)]) == [n + 1, 2 * n + 2]
    assert shards.lost == 0
    shards.close()


def test_two_clients_work_at_once(threads):
    with distributed.Client(threads.scheduler.address) as second:
        shards = [Shards(client, Counter, 3, recipe) for client in (threads, second)]

        def count(one):
            for _ in range(50):
                found.append(one.call("add", [(1,)] * 3))

        found = []
        workers = [threading.Thread(target=count, args=(one,)) for one in shards]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(60)
            assert not worker.is_alive()
        assert sorted(found) == sorted([[n] * 3 for n in range(1, 51)] * 2)


def test_an_object_that_has_gone_is_made_again(threads, monkeypatch):
    """Whatever happens to an object, a call of it ends."""
    monkeypatch.setattr(actors, "LOOK", 0.05)
    shards = Shards(threads, Counter, 1, recipe)
    assert shards.call("add", [(5,)]) == [5]
    shards._futures[0].cancel(force=True)
    time.sleep(0.2)
    assert shards.call("add", [(1,)]) == [1] and shards.lost == 1
    started = shards.begin(0, "wait", (0.5,))
    assert shards.end(0, started, "wait", (0.5,)) == 0.5 and shards.lost == 1  # slow is not lost
    error, = shards.call("fail", [()])
    assert isinstance(error, KeyError)


def test_what_takes_long_is_said(threads, monkeypatch, caplog):
    monkeypatch.setattr(actors, "LOOK", 0.02)
    monkeypatch.setattr(actors, "SAY", 0.1)
    shards = Shards(threads, Counter, 1, recipe)
    place, = shards.workers
    assert shards.call("wait", [(0.3,)]) == [0.3]
    assert f"worker {place} has not answered" in caplog.text
    busy = threads.submit(time.sleep, 0.4, workers=[place], pure=False)
    shards.move(0, place)
    assert f"worker {place} has not begun shard 0" in caplog.text and "busy with other tasks" in caplog.text
    busy.result()


def test_a_closed_client_is_an_error(threads):
    with distributed.Client(threads.scheduler.address) as client:
        shards = Shards(client, Counter, 2, recipe)
    with pytest.raises(RuntimeError, match="client of the cluster is closed: keep it open"):
        shards.call("add", [(1,), (1,)])


def test_inside_a_task(threads):
    """A task may use shards on the worker that runs it, though that has one thread."""
    def work():
        from mongoose_nb.distributed.cluster import client_of

        shards = Shards(client_of(), Counter, 4, recipe)
        return shards.call("add", [(1,)] * 4)

    assert threads.submit(work, pure=False).result(timeout=30) == [1] * 4


@pytest.mark.parametrize("given, reached", [(None, True), (None, False), (False, False), (True, True)])
def test_messages_go_straight_to_workers_that_are_reached(threads, monkeypatch, given, reached):
    """Through the scheduler where a worker does not answer the client, or where the client is told so."""
    asked = []

    class Elsewhere:
        """What answers at the address does not hold the object."""

        def __init__(self, worker):
            asked.append(worker)

        async def actor_execute(self, **message):
            raise KeyError(message["actor"])

    if not reached:
        monkeypatch.setattr(threads, "rpc", Elsewhere)
    monkeypatch.setattr(threads, "direct_to_workers", given)
    shards = Shards(threads, Counter, 8, recipe)
    assert shards.call("add", [(i,) for i in range(8)]) == list(range(8)) and shards.lost == 0
    assert set(shards._direct.values()) == {reached} and len(shards._direct) == 4
    assert len(asked) == (given is None and not reached)  # none is asked again
    shards.close()


@pytest.mark.parametrize("found", ["0.1", None])
def test_workers_of_another_version_are_refused(threads, monkeypatch, found):
    """Also of a time when they did not tell it."""
    if found is None:
        monkeypatch.delattr(actors.Host, "version")
    else:
        monkeypatch.setattr(actors.Host, "version", lambda self: found)
    with pytest.raises(RuntimeError, match=f"has mongoose_nb {found or 'an older version'}, and the client .* cluster-check"):
        Shards(threads, Counter, 2, recipe)


@pytest.mark.slow
def test_a_worker_that_dies_during_a_call(processes):
    shards = Shards(processes, Counter, 2, recipe)
    started = shards.begin(0, "wait", (0.6,))
    os.kill(processes.run(os.getpid)[shards.workers[0]], signal.SIGKILL)
    assert shards.end(0, started, "wait", (0.6,)) == 0.6 and shards.lost == 1

    def nothing(i):
        raise LostError("there is nothing to go on from")

    shards.recipe = nothing
    os.kill(processes.run(os.getpid)[shards.workers[0]], signal.SIGKILL)
    with pytest.raises(LostError, match="nothing to go on from"):
        shards.call("add", [(1,), None])
