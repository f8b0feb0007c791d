"""`mongoose cluster-check`: whether the workers of a Dask cluster are fit for the work, with one line of advice for each problem."""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from typing import Any

import numpy as np

from mongoose_nb.commands.console import json_line, result

# Bytes that are sent to a worker and back to measure its connection.
SENT = 8 << 20
# Less memory is too little for a shard and the libraries.
LEAST_MEMORY = 1 << 30


def run(args: argparse.Namespace) -> int:
    """Print what the workers are; exit code 1 where one is not fit for the work."""
    from mongoose_nb.distributed.cluster import connect, memory_limit, workers_of

    if args.timeout is not None and args.timeout <= 0:
        raise ValueError(f"--timeout must be above 0 seconds; got {args.timeout:g}")
    with connect(args.address, args.timeout) as client:
        workers = workers_of(client, wait=args.timeout)
        mine, found = look(), client.run(look, workers=workers)
        limits = client.run(memory_limit, workers=workers)
        rows = [check(client, worker, found[worker], mine, limits[worker]) for worker in workers]
        if args.directory is not None:
            share(client, args.directory, rows)
    broken = sum(bool(row["problems"]) for row in rows)
    if args.json:
        json_line({"scheduler": args.address, "workers": rows, "broken": broken})
        return 1 if broken else 0
    for row in rows:
        result(f"{'broken' if row['problems'] else 'ok':6} {row['worker']}  mongoose_nb {row['version']}, {row['threads']} threads, "
               f"{row['memory'] / 1e9:.1f} GB, kernels in {row['kernel_seconds']:.1f} s, {row['megabytes_per_second']:.0f} MB/s, "
               f"{1000 * row['latency_seconds']:.1f} ms")
        for problem in row["problems"]:
            result(f"{'':6} -> {problem}")
    result(f"{broken} broken, {len(rows) - broken} ok")
    return 1 if broken else 0


def look() -> dict[str, Any]:
    """What this process is; runs on a worker, and compiles a kernel there."""
    import numba

    from mongoose_nb import LSHIndex
    from mongoose_nb.commands.system import versions

    start = time.perf_counter()
    index = LSHIndex("l2", 8)
    index.add(np.random.default_rng(0).standard_normal((1100, 8)).astype(np.float32))
    index.query(np.zeros((1, 8), np.float32))
    return {"versions": versions(), "threads": numba.get_num_threads(), "seconds": time.perf_counter() - start}


def echo(data: np.ndarray) -> np.ndarray:
    """What it is given."""
    return data


def leave(directory: str, name: str) -> str:
    """Write a file beside the one that the client has written; runs on a worker. Returns what is wrong, if anything is."""
    if not os.path.exists(os.path.join(directory, name)):
        return f"it does not see {directory} of the client: give a directory that all machines share, under the same path"
    try:
        with tempfile.NamedTemporaryFile(dir=directory):
            return ""
    except OSError as error:
        return f"it cannot write in {directory} ({error.strerror}): give its user the right to"


def share(client: Any, directory: str, rows: list[dict[str, Any]]) -> None:
    """Add to the problems of workers that a directory is not the same for them and the client."""
    directory = os.path.abspath(directory)
    if not os.path.isdir(directory):
        raise ValueError(f"--directory {directory} is no directory here: make it, and give all machines the same one")
    with tempfile.NamedTemporaryFile(dir=directory) as file:
        found = client.run(leave, directory, os.path.basename(file.name), workers=[row["worker"] for row in rows])
    for row in rows:
        row["problems"] += [found[row["worker"]]] if found[row["worker"]] else []


def check(client: Any, worker: str, found: dict[str, Any], mine: dict[str, Any], memory: int) -> dict[str, Any]:
    """Figures of one worker, and its problems."""
    def seconds(size):
        data = np.zeros(size, np.uint8)
        start = time.perf_counter()
        client.submit(echo, data, workers=[worker], pure=False).result()
        return time.perf_counter() - start

    latency = min(seconds(1) for _ in range(5))
    rate = 2 * SENT / max(min(seconds(SENT) for _ in range(2)) - latency, 1e-9)
    problems = [f"{name} {found['versions'][name]} here {mine['versions'][name]}: install the same version on all machines"
                for name in ("version", "python", "numpy", "numba", "scipy") if found["versions"][name] != mine["versions"][name]]
    if 0 < memory < LEAST_MEMORY:
        problems.append(f"{memory / 1e9:.2f} GB of memory: start the worker with --memory-limit 2GB or more, or fewer workers per machine")
    return {"worker": worker, "version": found["versions"]["version"], "threads": found["threads"], "memory": memory,
            "kernel_seconds": found["seconds"], "megabytes_per_second": rate / 1e6, "latency_seconds": latency, "problems": problems}
