"""A text that is larger than the memory that the process may take: read whole it does not fit, chunk by chunk it trains.

The limit is that of ``ulimit -v`` (`resource.RLIMIT_AS`), set above what the interpreter and the compiled kernels have mapped before.
"""

import argparse
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np
import scipy.sparse as sp

from mongoose_nb import data, nn

FEATURES, OUTPUTS, PER_ROW = 5000, 2000, 60


def add_arguments(parser):
    """Flags of this trial."""
    parser.add_argument("--megabytes", type=int, default=400, help="arrays of the data set")
    parser.add_argument("--room", type=int, default=200, help="megabytes that the process may take for it")
    parser.add_argument("--child", nargs=2, metavar=("WAY", "FILE"), help=argparse.SUPPRESS)


def write(folder, megabytes):
    """The data set as text and as arrays to be mapped, and its rows."""
    n = megabytes * 10**6 // (8 * PER_ROW + 12)
    rng = np.random.default_rng(0)
    label = rng.integers(0, OUTPUTS, n)
    columns = np.sort(rng.integers(0, FEATURES, (n, PER_ROW), dtype=np.int32), axis=1)
    columns[:, 0] = label % FEATURES
    X = sp.csr_matrix((np.ones(n * PER_ROW, np.float32), columns.ravel(), np.arange(n + 1) * PER_ROW), shape=(n, FEATURES))
    X.sum_duplicates()
    Y = sp.csr_matrix((np.ones(n, np.float32), label, np.arange(n + 1)), shape=(n, OUTPUTS))
    data.write_xc(folder / "set.txt", X, Y)
    data.save_arrays(folder / "set.arrays", X, Y)
    return n


def child(way, path, room):
    """Train under the limit; prints figures."""
    def network():
        return nn.Network(FEATURES, OUTPUTS, hidden=(16,), sampler=nn.Uniform(100))

    rng = np.random.default_rng(1)
    small = [(sp.random(600, FEATURES, 0.01, format="csr", dtype=np.float32, random_state=0), rng.integers(0, OUTPUTS, 600))]
    network().fit(small, epochs=1)  # compiles
    with tempfile.TemporaryDirectory() as folder:
        data.write_xc(folder + "/f", *small[0][:1], [[int(v)] for v in small[0][1]])
        data.read_xc(folder + "/f")
    size = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    # files that are mapped count for -v, but not for -d
    kind = resource.RLIMIT_DATA if way == "mapped" else resource.RLIMIT_AS
    if way == "mapped":
        size = next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmData"))
    resource.setrlimit(kind, (size + room * 10**6,) * 2)
    start = time.perf_counter()
    try:
        if way == "whole":
            history = network().fit(*data.read_xc(path), epochs=1)
        elif way == "chunks":
            history = network().fit(data.XCChunks(path, chunk_bytes=1 << 23), epochs=1)
        else:
            history = network().fit(*data.map_arrays(path), epochs=1)
        print(json.dumps({"ended": True, "loss": round(history[-1]["loss"], 3), "seconds": round(time.perf_counter() - start, 1)}))
    except MemoryError as error:
        print(json.dumps({"ended": False, "error": (str(error) or "MemoryError")[:200]}))


def run(args):
    """The trial."""
    if args.child:
        child(*args.child, args.room)
        sys.exit(0)
    found, failures = {}, []
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive", "NUMBA_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        n = write(folder, args.megabytes)
        text = (folder / "set.txt").stat().st_size / 1e6
        for way, file in (("whole", "set.txt"), ("chunks", "set.txt"), ("mapped", "set.arrays")):
            done = subprocess.run([sys.executable, "-m", "benchmarks.reliability", "limits", "--room", str(args.room), "--child", way,
                                   str(folder / file)], capture_output=True, text=True, env=environment)
            try:
                found[way] = json.loads(done.stdout.splitlines()[-1])
            except (IndexError, ValueError):
                found[way] = {"ended": False, "error": f"code {done.returncode}: {done.stderr[-300:]}"}
    for way, ends in (("whole", False), ("chunks", True), ("mapped", True)):
        if found[way]["ended"] != ends:
            failures.append(f"{way}: {found[way]}")
    lines = [f"{n:,} rows, {text:,.0f} MB of text, {args.megabytes} MB of arrays; {args.room} MB to take beyond what the process had"]
    for way, name in (("whole", "read whole"), ("chunks", "XCChunks, ulimit -v"), ("mapped", "map_arrays, ulimit -d")):
        got = found[way]
        lines.append(f"{name:22} " + (f"an epoch in {got['seconds']} s, loss {got['loss']}" if got["ended"] else
                                      f"does not fit: {' '.join(got['error'].split())[:90]}"))
    return found, "\n".join(lines), failures
