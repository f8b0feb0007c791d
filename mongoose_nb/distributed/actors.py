"""Objects that live on workers, one for each shard, and come back when their worker is lost.

Dask says that a call has failed, but not whether the object or the connection did; so `Host` gives errors of the object back as values,
and whatever is raised means that the worker is lost. A lost object is made again on another worker, by calls that its owner names.

An object lives as long as a future of the client that made it, which `Shards` keeps. Handles of Dask (``distributed.Actor``) are not used:
they keep a future of whichever client was made last in the program, so that the object goes when that other client is closed; and a call of
an object that has gone waits forever, since Dask drops the error.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from mongoose_nb.distributed.cluster import workers_of

# Seconds between two looks at whether the worker of a call is still there.
LOOK = 0.5
# Seconds in which a worker has to answer the client itself: else messages go through the scheduler.
REACH = 2.0
# Seconds without an answer after which a warning says so, again and again.
SAY = 60
# Seconds for which a lost shard waits for a worker to come, where all are lost.
RESTART = 300
# Workers that one shard may lose in one call.
MOST_LOST = 8

LOGGER = logging.getLogger("mongoose_nb")


class Host:
    """Holds an object on a worker.

    Parameters
    ----------
    cls : type
        Called without arguments.
    """

    def __init__(self, cls: type) -> None:
        from distributed import get_worker

        self.object, self.threads = cls(), get_worker().state.nthreads

    def call(self, name: str, arguments: tuple) -> tuple[bool, Any, float]:
        """(True, result) of a method, or (False, error), and the seconds it took. Kernels use as many threads as the worker has been
        given."""
        import numba

        numba.set_num_threads(min(self.threads, numba.config.NUMBA_NUM_THREADS))  # type: ignore[attr-defined]
        start = time.perf_counter()
        try:
            result = True, getattr(self.object, name)(*arguments)
        except Exception as error:
            result = False, error
        return *result, time.perf_counter() - start

    async def version(self) -> str:
        """That of this package on the worker. It is told at once, also while another object computes there."""
        from mongoose_nb import __version__

        return __version__


class LostError(RuntimeError):
    """A worker was lost, with what it held."""


class UnreachedError(LostError):
    """A message to a worker failed, which the scheduler may not know to be lost yet."""


class Shards:
    """Objects of one class on the workers of a cluster.

    Parameters
    ----------
    client : distributed.Client
    cls : type
    n : int
    recipe : callable
        ``recipe(i)`` gives pairs (method, arguments) that bring a new object into the state of shard i; may raise `LostError`.
    """

    def __init__(self, client: Any, cls: type, n: int, recipe: Callable[[int], Iterable[tuple[str, tuple]]]) -> None:
        self.client, self.cls, self.n, self.recipe = client, cls, n, recipe
        self.workers: list[str | None] = [None] * n
        self._direct: dict[str | None, bool] = {}  # whether messages go straight to a worker, by address
        self._futures: list[Any] = [None] * n
        self.closed = False
        #: how often a shard was made again because its worker was lost
        self.lost = 0
        #: seconds that each shard computed for the last call, without messages
        self.seconds = [0.0] * n
        for i in range(n):
            self._revive(i)

    def call(self, method: str, arguments: Sequence[tuple | None]) -> list[Any]:
        """Call a method of all shards at once, with arguments for each; a shard with None is not called. A shard that is lost is made
        again, and called again.

        Returns
        -------
        list
            Results, and errors as values.

        Raises
        ------
        RuntimeError
            It is closed.
        """
        if self.closed:
            raise RuntimeError("this was closed, and its shards have left the workers: make a new one, or read its directory again where "
                               "it has one, LSHIndex.load(directory)")
        self.seconds = [0.0] * self.n
        started = [self.begin(i, method, given) if given is not None else None for i, given in enumerate(arguments)]
        return [None if given is None else self.end(i, started[i], method, given) for i, given in enumerate(arguments)]

    def call_or_raise(self, method: str, arguments: Sequence[tuple | None]) -> list[Any]:
        """As `call`; the first error is raised."""
        results = self.call(method, arguments)
        for result in results:
            if isinstance(result, Exception):
                raise result
        return results

    def begin(self, i: int, method: str, arguments: tuple) -> Any:
        """Send a call to one shard, for `end`."""
        if self._futures[i] is None or self.client.status in ("closing", "closed"):
            return None
        return asyncio.run_coroutine_threadsafe(self._execute(self.workers[i], self._futures[i].key, method, arguments),
                                                self.client.loop.asyncio_loop)

    def end(self, i: int, started: Any, method: str, arguments: tuple) -> Any:
        """The result of a call that has begun, or its error as a value."""
        for _ in range(MOST_LOST):
            try:
                _, value, self.seconds[i] = self._wait(i, started)
                return value
            except LostError:
                self.lost += 1
                self._revive(i)
                started = self.begin(i, method, arguments)
        raise LostError(f"shard {i} lost {MOST_LOST} workers during one call of {method}: look at their logs, memory first")

    def move(self, i: int, worker: str) -> None:
        """Make one shard again on a worker."""
        self._revive(i, worker)

    def close(self) -> None:
        """Let go of all objects; calls are refused from now on."""
        self.closed = True
        self._futures = [None] * self.n

    async def _execute(self, worker, key, method, arguments):
        """Call a method of the object of a `Host`."""
        from distributed.protocol import to_serialize

        return await self._send(self._direct[worker], worker, key, "call", to_serialize(method), to_serialize(arguments))

    async def _send(self, direct, worker, key, function, *arguments):
        """Call a method of a `Host` by the messages that Dask's actors use, directly or through the scheduler."""
        message = {"actor": key, "function": function, "args": list(arguments), "kwargs": {}}
        if direct:
            answer = await self.client.rpc(worker).actor_execute(**message)
        else:
            answer = await self.client.scheduler.proxy(worker=worker, msg={"op": "actor_execute", **message})
        if answer["status"] != "OK":
            raise answer["exception"]
        return answer["result"]

    def _meet(self, worker, key):
        """Find out how messages reach a worker, by one to its new `Host`, and refuse a worker of another version. No other worker has
        that object, though it may have the same address elsewhere. Where one was not reached, the others are not asked."""
        from mongoose_nb import __version__

        told = self.client.direct_to_workers
        ways = (bool(told),) if told is not None else (True, False) if self._direct.get(worker, all(self._direct.values())) else (False,)
        for direct in ways:
            asked = asyncio.wait_for(self._send(direct, worker, key, "version"), REACH if len(ways) > 1 and direct else None)
            try:
                version = asyncio.run_coroutine_threadsafe(asked, self.client.loop.asyncio_loop).result()
            except AttributeError:  # of a time when a host had no version
                version = "an older version"
            except Exception as error:
                last = error
                continue
            if version != __version__:
                raise RuntimeError(f"worker {worker} has mongoose_nb {version}, and the client {__version__}: install the same version on "
                                   f"all machines; mongoose cluster-check {self.client.scheduler.address} compares them")
            self._direct[worker] = direct
            return
        raise UnreachedError(f"worker {worker} does not answer: {last}")

    def _wait(self, i, started):
        """What `Host.call` returned; `LostError` as soon as it is known that it will not."""
        if started is None:
            self._check_client()
            raise LostError(f"shard {i} has no worker")
        watch = Watch(f"shard {i} on worker {self.workers[i]} has not answered", "look at its dashboard")
        while not concurrent.futures.wait([started], LOOK).done:
            try:
                self._check_client()
                self._check_worker(self.workers[i])
                if self._futures[i].key not in self.client.has_what([self.workers[i]])[self.workers[i]]:
                    raise UnreachedError(f"worker {self.workers[i]} does not hold shard {i} any more")
            except BaseException:
                started.cancel()
                raise
            watch.look()
        try:
            return started.result()
        except Exception as error:
            raise UnreachedError(str(error)) from error

    def _check_client(self):
        if self.client.status in ("closing", "closed"):
            raise RuntimeError(f"the client of the cluster is {self.client.status}: keep it open until the work with it has ended")

    def _check_worker(self, worker):
        if worker not in self.client.nthreads():
            raise LostError(f"worker {worker} is lost")

    def _revive(self, i, worker=None):
        """Make a shard on the worker that has fewest."""
        for _ in range(MOST_LOST):
            self._futures[i], self.workers[i] = None, None
            self._check_client()
            there = workers_of(self.client, wait=RESTART)
            place = worker if worker in there else min(there, key=lambda address: (self.workers.count(address), address))
            worker = None
            try:
                self._futures[i] = self._start(i, place)
                self.workers[i] = place
                self._meet(place, self._futures[i].key)
                for method, arguments in self.recipe(i):
                    good, value, _ = self._wait(i, self.begin(i, method, arguments))
                    if not good:
                        raise value
                return
            except LostError as error:
                known = self.workers[i] in self.client.nthreads()
                if known and not isinstance(error, UnreachedError):  # the recipe says that there is nothing to go on from
                    raise
                last = error
                time.sleep(LOOK)  # the scheduler may not know yet
        raise LostError(f"shard {i} cannot be made on any worker: {last}")

    def _start(self, i, place):
        """The future of a new `Host`."""
        from distributed import wait

        future = self.client.submit(Host, self.cls, actor=True, workers=[place], allow_other_workers=False, pure=False)
        watch = Watch(f"worker {place} has not begun shard {i}",
                      "it is busy with other tasks, or paused because its memory is full; see its dashboard")
        while True:
            try:
                wait([future], timeout=LOOK)
                break
            except TimeoutError:
                self._check_client()
                self._check_worker(place)
                watch.look()
        if future.status != "finished":
            raise LostError(f"worker {place} cannot make a shard: {future.exception() if future.status == 'error' else future.status}")
        return future


class Watch:
    """Warns, again and again, that something takes long.

    Parameters
    ----------
    what, advice : str
    """

    def __init__(self, what: str, advice: str) -> None:
        self.what, self.advice, self.begun, self.said = what, advice, time.monotonic(), 0

    def look(self) -> None:
        """Warn if it is time to."""
        waited = time.monotonic() - self.begun
        if waited >= SAY * (self.said + 1):
            self.said += 1
            LOGGER.warning("%s for %d s, though the worker is there: %s", self.what, waited, self.advice)
