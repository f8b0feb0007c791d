"""`mongoose warmup`: compile the kernels now, instead of at their first use, and cache them."""

from __future__ import annotations

import argparse
import time

from mongoose_nb.commands.console import json_line, note, result
from mongoose_nb.commands.warm import compiling, threads


def run(args: argparse.Namespace) -> None:
    """Run all common operations once on small data."""
    from mongoose_nb.commands.system import cached_bytes
    from mongoose_nb.core.jit import CACHE_DIR

    start = time.perf_counter()
    with threads(args.threads), compiling() as clock:
        for name, step in STEPS.items():
            if not args.json:
                note(f"{name} ...")
            step()
    seconds, size = time.perf_counter() - start, cached_bytes()
    if args.json:
        json_line({"seconds": seconds, "compile_seconds": clock.seconds, "cache_dir": CACHE_DIR, "cache_bytes": size})
        return
    kept = f"kept in {CACHE_DIR} ({size / 1e6:.1f} MB)" if CACHE_DIR else "not kept: no cache directory can be written (mongoose doctor)"
    result(f"compiled in {clock.seconds:.1f} s of {seconds:.1f} s, {kept}")


def _problem():
    import numpy as np
    import scipy.sparse as sp

    X = sp.random(48, 40, 0.2, format="csr", dtype=np.float32, random_state=0)
    return X, np.arange(48) % 30


def _networks():
    from mongoose_nb import nn

    X, y = _problem()
    tables = nn.Tables(K=2, L=2, rehash=2)
    for sampler in (nn.LSH(8, tables=tables), nn.LSH(8, shape="batch", tables=tables), nn.Uniform(8),
                    nn.Uniform(8, shape="sample"), nn.Full()):
        net = nn.Network(40, 30, hidden=(8, 4), sampler=sampler)
        net.fit(X, y, epochs=1, batch_size=16)
        net.predict_topk(X, 3)
        if hasattr(net.output.sampler, "retrieve"):
            net.predict_topk(X, 3, exact=False)


def _schedules():
    from mongoose_nb import nn
    from mongoose_nb.rehash import Drift

    X, y = _problem()
    for settings in ({"rehash": Drift(0.01, check_every=1)}, {"rehash": 2, "learn": "contrast"}):
        sampler = nn.LSH(8, tables=nn.Tables(K=2, L=2, **settings))
        nn.Network(40, 30, hidden=(8,), sampler=sampler, optimizer="rowadam").fit(X, y, epochs=1, batch_size=16)


def _indexes():
    import numpy as np

    from mongoose_nb.search import LSHIndex

    rows = np.random.default_rng(0).standard_normal((1200, 12)).astype(np.float32)
    X, _ = _problem()
    for metric, data in (("l2", rows), ("cosine", rows), ("ip", rows), ("cosine", X), ("jaccard", X), ("hamming", rows > 0)):
        index = LSHIndex(metric, data.shape[1], train_size=32)
        index.add(data)
        index.query(data[:3], 2)
        index.update([1], data[:1])
        index.remove([2])


def _texts():
    import os
    import tempfile

    from mongoose_nb import data

    X, y = _problem()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "f.txt")
        data.write_xc(path, X, [[int(label)] for label in y])
        data.read_xc(path)


STEPS = {"networks": _networks, "schedules": _schedules, "indexes": _indexes, "text files": _texts}
