"""The cluster that a computation runs on. All of Dask is imported here and in functions, so that nothing else needs it."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import Any

from mongoose_nb.core.validation import check_int

ADVICE = "pip install 'mongoose_nb[dask]'"


def need_dask() -> Any:
    """The module ``distributed`` of Dask.

    Raises
    ------
    ImportError
        It is not installed; the message says what to do.
    """
    try:
        import distributed
    except ImportError as error:
        raise ImportError(f"mongoose_nb.distributed needs Dask: {ADVICE}") from error
    return distributed


def client_of(client: Any = None) -> Any:
    """A Dask client: the one that is given, a new one for an address, or the one that was made last.

    A task that asks for one leaves the threads of its worker: it is going to wait for other tasks, for which they are needed.

    Parameters
    ----------
    client : distributed.Client or str, optional
        A client, or the address of a scheduler.

    Raises
    ------
    ImportError, TypeError, ValueError
        Dask is missing, this is no client, or there is none.
    """
    dask = need_dask()
    if client is None:
        try:
            client = dask.get_client()
        except ValueError as error:
            raise ValueError("there is no Dask client: make one, client = distributed.Client('tcp://HOST:8786'), or give client=, a "
                             "client or such an address") from error
    if isinstance(client, str):
        client = connect(client)
    if not isinstance(client, dask.Client):
        raise TypeError(f"client must be a distributed.Client or the address of a scheduler; got {type(client).__name__}")
    if client.asynchronous:
        raise ValueError("client waits for nothing (asynchronous=True), and these functions do: give a client without it")
    with contextlib.suppress(ValueError, KeyError, AttributeError):  # no task, or one that has left already
        dask.get_worker()
        dask.secede()
    return client


def connect(address: str, timeout: float | None = None) -> Any:
    """A new client of the scheduler at an address.

    Raises
    ------
    OSError
        None answers; the message says what to do.
    """
    dask = need_dask()
    try:
        return dask.Client(address, timeout=timeout) if timeout is not None else dask.Client(address)
    except (OSError, TimeoutError) as error:
        raise OSError(f"no Dask scheduler answers at {address}: start one, dask scheduler, and see its address in its log") from error


def workers_of(client: Any, wait: float = 30.0) -> list[str]:
    """Addresses of the workers that the scheduler knows now, sorted.

    Parameters
    ----------
    client : distributed.Client
    wait : float
        Seconds to wait for a first one.

    Raises
    ------
    RuntimeError
        There is none.
    """
    import time

    until = time.monotonic() + wait
    while True:
        workers = sorted(client.nthreads())
        if workers:
            return workers
        if time.monotonic() > until:
            raise RuntimeError(f"the cluster {client.scheduler.address} has no workers: start some, dask worker {client.scheduler.address}")
        time.sleep(0.1)


def check_replicas(replicas: int, client: Any) -> int:
    """How many workers have each row of an index.

    Parameters
    ----------
    replicas : int
    client : distributed.Client

    Raises
    ------
    ValueError
        More than there are workers.
    """
    replicas, workers = check_int("replicas", replicas, low=1), len(workers_of(client))
    if replicas > workers:
        raise ValueError(f"replicas={replicas} needs as many workers; the cluster has {workers}")
    return replicas


def memory_limit(dask_worker: Any) -> int:
    """Bytes that a worker may take, 0 where there is no limit; runs on it."""
    return int(getattr(dask_worker.memory_manager, "memory_limit", 0) or 0)


def check_room(client: Any, size: int, n: int) -> None:
    """Refuse objects that do not fit the workers, which would be killed one after the other.

    Parameters
    ----------
    client : distributed.Client
    size : int
        Bytes of the largest of them.
    n : int
        How many there are.

    Raises
    ------
    ValueError
        What a worker would hold is more than it may.
    """
    limits = [limit for limit in client.run(memory_limit, on_error="ignore").values() if limit]
    need = size * -(-n // max(1, len(workers_of(client))))
    if limits and need > min(limits):
        raise ValueError(f"a worker would hold {need / 1e9:.2f} GB of weights and moments, and may take {min(limits) / 1e9:.2f} GB of "
                         "memory: give the cluster more workers, or start them with a larger --memory-limit")


def check_directory(path: str) -> None:
    """Refuse a file in a directory that there is not, on the worker that is to write or read it.

    Parameters
    ----------
    path : str

    Raises
    ------
    FileNotFoundError
        It names the machine.
    """
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"a worker on {socket.gethostname()} does not see the directory {folder!r}: give one that the client and "
                                "all workers share, under the same path")
