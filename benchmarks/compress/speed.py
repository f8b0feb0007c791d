"""Speed: lookups beside a table that exceeds the last-level cache, tiled products beside single hashes, click models beside PyTorch."""

import json
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np

from benchmarks.compress.sets import frappe
from benchmarks.rows import wanted
from mongoose_nb import ClickClassifier
from mongoose_nb.compress import Compress, HashedArray
from mongoose_nb.core.arrays import aligned_zeros
from mongoose_nb.metrics import auc

ROUNDS = 5


def interleaved(systems, rounds=ROUNDS):
    """Median and spread of the seconds of each system, called in turn."""
    times = {name: [] for name in systems}
    for call in systems.values():
        call()  # compile
    for _ in range(rounds):
        for name, call in systems.items():
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    return {name: {"seconds": float(np.median(t)), "fastest": min(t), "slowest": max(t)} for name, t in times.items()}


def lookups():
    """Random rows of 64 floats: from tables of 64 MB to 1.5 GB, and from an array of 4 MB that stands for them."""
    out = {}
    for rows in (250_000, 6_000_000):
        table = aligned_zeros((rows, 64))
        table[:] = 1.0
        view = HashedArray(1_000_000).view("robe", (rows, 64), block=64)
        unsigned = HashedArray(1_000_000).view("robe", (rows, 64), block=64, signed=False)
        single = HashedArray(1_000_000).view("element", (rows, 64))
        ids = np.random.default_rng(0).integers(0, rows, 200_000)
        buffer = np.empty((len(ids), 64), np.float32)
        out[f"{rows * 256 / 2**20:.0f} MB"] = interleaved({
            "full table": lambda t=table, i=ids, b=buffer: np.take(t, i, axis=0, out=b),
            "ROBE-64": lambda v=view, i=ids, b=buffer: v.gather(i, out=b),
            "ROBE-64 without signs": lambda v=unsigned, i=ids, b=buffer: v.gather(i, out=b),
            "HashedNet": lambda v=single, i=ids, b=buffer: v.gather(i, out=b)})
        del table
    return out


def products():
    """X @ W.T with a 4,096 x 4,096 matrix that 2^18 cells stand for."""
    tiled, single = (HashedArray(1 << 18).view(name, (4096, 4096)) for name in ("roast", "element"))
    rng, out = np.random.default_rng(0), {}
    for n in (1, 64):
        X = rng.standard_normal((n, 4096)).astype(np.float32)
        out[f"{n} rows"] = interleaved({"ROAST": lambda X=X: tiled.product(X), "HashedNet": lambda X=X: single.product(X)}, 7)
    return out


def training(args):
    """DeepFM on Frappe: ours, full and compressed, beside PyTorch."""
    peers = dict(peer.split("=", 1) for peer in args.peer)
    (X, y), _, (test, clicks) = frappe(args.data)
    settings = {"width": 16, "hidden": [64, 32], "epochs": 4, "batch": 1024, "lr": 2e-3, "threads": 2}
    out = {}
    with tempfile.TemporaryDirectory() as folder:
        path = str(pathlib.Path(folder, "data.npz"))
        np.savez(path, ids=X.astype(np.int64), y=y, test=test.astype(np.int64), n_ids=int(max(X.max(), test.max())) + 1)
        for name, compress in (("ours, full table", None), ("ours, ROBE 4x", Compress("robe", 4))):
            def ours(epochs, compress=compress):
                return ClickClassifier(16, hidden=(64, 32), compress=compress, epochs=epochs, lr=2e-3, batch_size=1024)
            model, times = ours(1).fit(X, y), []
            ids, numbers = model.encoder_.transform(X)
            for epoch in range(3):
                order = np.random.default_rng(epoch).permutation(len(ids))
                start = time.perf_counter()
                for lo in range(0, len(order), 1024):
                    rows = order[lo:lo + 1024]
                    model.model_.train_step(ids[rows], numbers[rows], y[rows].astype(np.float32))
                times.append(time.perf_counter() - start)
                if epoch == 0:
                    score = auc(clicks, model.decision_function(test))
            out[name] = {"epoch_s": min(times), "slowest": max(times), "auc": score}
            if "torch" in peers and name == "ours, full table":  # in between: other work on the machine hits all alike
                done = subprocess.run([peers["torch"], "-m", "benchmarks.compress.torch_worker", path, json.dumps(settings)],
                                      capture_output=True, text=True, check=True)
                times = json.loads(done.stdout.splitlines()[-1])
                out["PyTorch"] = {"epoch_s": min(times), "slowest": max(times), "auc": auc(clicks, np.load(path + ".out.npy"))}
    return out


def measure(args):
    """All three, or those that are wanted."""
    out = {}
    calls = {"lookups": lookups, "products": products, "training": lambda: training(args)}
    for name, call in wanted(calls, args.only).items():
        out[name] = call()
        print(name, json.dumps(out[name]), file=sys.stderr, flush=True)
    return out
