"""Threads for many queries at once."""

import concurrent.futures
import os
from collections.abc import Callable

from mongoose_nb.core.locks import FairLock

# Queries from which another thread is worth its start.
BLOCK = 32
_pools = {}
_pools_lock = FairLock()


def pool_of(n_threads: int) -> concurrent.futures.ThreadPoolExecutor:
    """A pool of threads of this process; a process that was forked off makes its own."""
    key = os.getpid(), n_threads
    with _pools_lock:
        if key not in _pools:
            for old in [k for k in _pools if k[0] != key[0]]:
                del _pools[old]
            _pools[key] = concurrent.futures.ThreadPoolExecutor(n_threads, thread_name_prefix="mongoose-search")
        return _pools[key]


def default_threads() -> int:
    """Numba's number of threads, which NUMBA_NUM_THREADS and set_num_threads bound."""
    import numba

    return numba.get_num_threads()


def in_parts(n: int, n_threads: int, work: Callable[[int, int], None]) -> None:
    """Run ``work(lo, hi)`` over 0 to n, in as many parts as threads are worth it."""
    parts = min(n_threads, n // BLOCK)
    if parts < 2:
        work(0, n)
        return
    bounds = [n * p // parts for p in range(parts + 1)]
    for done in [pool_of(n_threads).submit(work, lo, hi) for lo, hi in zip(bounds, bounds[1:])]:
        done.result()
