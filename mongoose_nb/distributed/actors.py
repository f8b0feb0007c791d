"""Objects that live on workers, one for each shard, and come back when their worker is lost.

Dask says that a call has failed, but not whether the object or the connection did; so `Host` gives errors of the object back as values,
and whatever is raised means that the worker is lost. A lost object is made again on another worker, by calls that its owner names.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from mongoose_nb.distributed.cluster import workers_of

# Seconds between two looks at whether the worker of a call is still there.
LOOK = 0.5
# Seconds without an answer after which a warning says so, again and again.
SAY = 60
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
        self.object = cls()

    def call(self, name: str, arguments: tuple) -> tuple[bool, Any]:
        """(True, result) of a method, or (False, error)."""
        try:
            return True, getattr(self.object, name)(*arguments)
        except Exception as error:
            return False, error


class LostError(RuntimeError):
    """A worker was lost, with what it held."""


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
        self._actors: list[Any] = [None] * n
        #: how often a shard was made again because its worker was lost
        self.lost = 0
        for i in range(n):
            self._revive(i)

    def call(self, method: str, arguments: Sequence[tuple | None]) -> list[Any]:
        """Call a method of all shards at once, with arguments for each; a shard with None is not called. A shard that is lost is made
        again, and called again.

        Returns
        -------
        list
            Results, and errors as values.
        """
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
        try:
            with self.client.as_current():  # a program may have clients of several clusters
                return self._actors[i].call(method, arguments)
        except Exception as error:  # the worker is known to be lost
            return error

    def end(self, i: int, started: Any, method: str, arguments: tuple) -> Any:
        """The result of a call that has begun, or its error as a value."""
        for _ in range(MOST_LOST):
            try:
                good, value = self._wait(i, started)
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
        """Let go of all objects."""
        self._actors = [None] * self.n

    def _wait(self, i, started):
        if isinstance(started, Exception):
            raise LostError(str(started)) from started
        begun, said = time.monotonic(), 0
        while True:
            try:
                return started.result(timeout=LOOK)
            except TimeoutError:
                if self.workers[i] not in self.client.nthreads():
                    raise LostError(f"worker {self.workers[i]} is lost") from None
                waited = time.monotonic() - begun
                if waited >= SAY * (said + 1):
                    said += 1
                    LOGGER.warning("shard %d on worker %s has not answered for %d s, though the worker is there: look at its dashboard; "
                                   "close other clients in this program", i, self.workers[i], waited)
            except Exception as error:
                raise LostError(str(error)) from error

    def _revive(self, i, worker=None):
        """Make a shard on the worker that has fewest."""
        for _ in range(MOST_LOST):
            self._actors[i], self.workers[i] = None, None
            there = workers_of(self.client)
            place = worker if worker in there else min(there, key=lambda address: (self.workers.count(address), address))
            worker = None
            try:
                self._actors[i] = self._start(place)
                self.workers[i] = place
                for method, arguments in self.recipe(i):
                    good, value = self._wait(i, self.begin(i, method, arguments))
                    if not good:
                        raise value
                return
            except LostError as error:
                if self.workers[i] in self.client.nthreads():  # the recipe says that there is nothing to go on from
                    raise
                last = error
                time.sleep(LOOK)  # the scheduler may not know yet
        raise LostError(f"shard {i} cannot be made on any worker: {last}")

    def _start(self, place):
        future = self.client.submit(Host, self.cls, actor=True, workers=[place], allow_other_workers=False, pure=False)
        while True:
            try:
                with self.client.as_current():
                    return future.result(timeout=LOOK)
            except TimeoutError:
                if place not in self.client.nthreads():
                    future.cancel()
                    raise LostError(f"worker {place} is lost") from None
            except Exception as error:
                raise LostError(f"worker {place} cannot make a shard: {error}") from error
