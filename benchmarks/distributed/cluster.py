"""Clusters of single-threaded workers on this machine, and the memory of processes."""

import contextlib
import multiprocessing
import pathlib
import resource


@contextlib.contextmanager
def workers(n, memory="2GB", **settings):
    """A client of `n` new workers, each a process with one thread."""
    import dask
    import distributed

    environ = {**dask.config.get("distributed.nanny.pre-spawn-environ"), "NUMBA_NUM_THREADS": 1}
    with dask.config.set({"distributed.nanny.pre-spawn-environ": environ}), \
            distributed.LocalCluster(n_workers=n, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=":0",
                                     memory_limit=memory, **settings) as cluster, distributed.Client(cluster) as client:
        yield client


def peak():
    """Most memory that this process has had, bytes. What getrusage says begins with that of the process which started it."""
    status = pathlib.Path("/proc/self/status")
    if not status.exists():
        return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return 1024 * int(status.read_text(encoding="ascii").split("VmHWM:")[1].split()[0])


def peaks(client):
    """Most memory of every worker, bytes."""
    return sorted(client.run(peak).values())


def _answer(queue, function, arguments):
    import numba

    threads, *arguments = arguments
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    queue.put((function(*arguments), peak()))


def alone(function, *arguments, threads=2):
    """(result, most memory) of a function in a process of its own."""
    context = multiprocessing.get_context("spawn")
    queue = context.SimpleQueue()
    process = context.Process(target=_answer, args=(queue, function, (threads, *arguments)))
    process.start()
    answer = queue.get() if _wait(process, queue) else None
    process.join()
    if answer is None:
        raise RuntimeError(f"{function.__name__} ended with exit code {process.exitcode}")
    return answer


def _wait(process, queue):
    """Whether the process has answered; False where it died."""
    while queue.empty():
        process.join(0.1)
        if not process.is_alive() and queue.empty():
            return False
    return True
