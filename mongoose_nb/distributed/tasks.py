"""Many tasks of one function, of which only a few are under way: what they need is sent when a worker is about to be free."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from mongoose_nb.distributed.cluster import workers_of

# Tasks that a worker has at hand at once, so that it never waits.
AHEAD = 2


def in_turn(client: Any, function: Callable, calls: Iterable[tuple]) -> Iterator[Any]:
    """Results of a function for each tuple of arguments, in their order; arguments are taken as they are needed.

    Parameters
    ----------
    client : distributed.Client
    function : callable
    calls : iterable of tuple
    """
    waiting = list[Any]()
    most = AHEAD * len(workers_of(client))
    for arguments in calls:
        if len(waiting) == most:
            yield waiting.pop(0).result()
        waiting.append(client.submit(function, *arguments, pure=False))
    while waiting:
        yield waiting.pop(0).result()
