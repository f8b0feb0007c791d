"""`mongoose warmup`: compile the kernels now, instead of at their first use, and cache them."""

from __future__ import annotations

import argparse
import time

from mongoose_nb.commands.console import json_line, note, result
from mongoose_nb.commands.warm import compiling, threads


def run(args: argparse.Namespace) -> None:
    """Run all common operations once on small data: what README.md, the guide and their commands use."""
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
        net.partial_fit(X, y, batch_size=16, micro_batch_size=9)
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
        index.query(data[:1], 2)
        index.update([1], data[:1])
        index.remove([2])


def _rankings():
    import numpy as np

    from mongoose_nb import nn

    X, y = _problem()
    net = nn.Network(40, 30, hidden=(8,), sampler=nn.Auto())
    net.fit(X, y, epochs=1, batch_size=16)
    net.fit_serving(X, y, candidates=10)
    net.fit_ranking(X, y)
    net.predict_topk(X, 3)
    net.predict_topk(X, 3, exact=False)
    many, classes = X[np.arange(240) % 48], y[np.arange(240) % 48]
    net = nn.Network(40, 30, hidden=(8,))
    net.fit_auto(many, classes, epochs=1)
    net.fit_ranking(many, classes, candidates=5, sources=["network", "rankers", "neighbours"], held_out=np.arange(24))
    net.predict_topk(X, 3, probabilities=True)


def _tables():
    import numpy as np

    from mongoose_nb import LSHIndex, LSHTables, SimHash

    rows = np.random.default_rng(0).standard_normal((600, 12)).astype(np.float32)
    tables = LSHTables(SimHash(12, K=4, L=4)).build(rows)
    tables.candidates(rows[:2])
    for metric in ("l2", "cosine", "ip"):
        index = LSHIndex(metric, 12, train_size=100)
        index.tune(rows, recall=0.8, k=2, n_queries=40)
        index.add(rows)
        index.query(rows[:100], 2)
        index.query(rows[:100], 2, exact=True)
        index.radius(rows[:2], 1.0)


def _sets():
    from mongoose_nb import DuplicateFinder, find_duplicates, shingles

    sets = shingles(["the cat sat on the mat", "the cat sat on the mat today", "a dog barked"])
    for measure in ("jaccard", "containment"):
        find_duplicates(sets, 0.5, measure=measure)
    finder = DuplicateFinder(0.5)
    finder.add(sets)
    finder.query(sets)


def _sketches():
    import numpy as np

    from mongoose_nb.sketch import COBSIndex, DensitySketch, IDLHash

    genes = COBSIndex(IDLHash(k=31))
    genes.add("one", "ACGTTGCATGCATTTGCAGCATCAGGATCAGGACTTACGAGC")
    genes.search("TGCATGCATTTGCAGCATCAGGATCAGGACTTACG")
    rows = np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)
    DensitySketch().fit(rows).score_samples(rows[:2])


def _attention():
    import numpy as np

    from mongoose_nb.attention import KVCache, LSHAttention, ScatterbrainAttention, attention_mass
    from mongoose_nb.reformer import ReformerLM

    qk, v = np.random.default_rng(0).standard_normal((2, 1, 2, 64, 8)).astype(np.float32)
    for layer in (LSHAttention(2, 8, True, exact_below=0), LSHAttention(kind="full", causal=True),
                  ScatterbrainAttention(n_features=32, n_hashes=1, bucket_size=32, causal=True)):
        out, cache = layer.forward(qk, v)
        layer.backward(out, cache)
    attention_mass(LSHAttention(2, 8, True, exact_below=0), qk)
    model = ReformerLM(16, max_length=32, width=8, n_heads=2, attention="full")
    for kept in (True, KVCache("scissorhands", budget=8, bits=4)):
        model.generate([1, 2, 3] * 6, 12, cache=kept, top_p=0.9, end=0)
    for kind in ("performer", "scatterbrain"):
        model = ReformerLM(16, max_length=32, width=8, n_heads=2, bucket_size=8, attention=kind, strict=True, n_features=8)
        model.generate([1, 2, 3], 12, cache=True)


def _language_models():
    from mongoose_nb.reformer import CopyTask, ReformerLM

    task = CopyTask(12, 32)
    for settings in ({"attention": "lsh"}, {"attention": "contrast", "reversible": False}, {"attention": "triplet", "strict": True},
                     {"attention": "full", "dropout": 0.1}, {"sampler": "lsh"}, {"sampler": "uniform", "positions": "axial"}):
        model = ReformerLM(12, max_length=32, width=8, n_heads=2, n_hashes=2, bucket_size=4, **settings)
        model.fit(task, batches=2, batch_size=2, validation=task, eval_batches=1)
        model.generate([0, 1], 2, temperature=0)


def _texts():
    import os
    import tempfile

    from mongoose_nb import data

    X, y = _problem()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "f.txt")
        data.write_xc(path, X, [[int(label)] for label in y])
        data.read_xc(path)


#: what README.md and the guide call, on small files
COMMANDS = (
    "train train.txt --validation 0.2 --epochs 1 --out run", "evaluate run train.txt", "predict run train.txt --k 5",
    "train train.txt --sampler lsh --candidates 10 --test train.txt --epochs 1 --save-steps 1 --keep 2 --out lsh",
    "fit-serving run train.txt --candidates 10 --rows 20", "predict run train.txt --lsh", "report run lsh -o report.html",
    "index build rows.npy --out rows.index --metric cosine --recall 0.9", "index query rows.index rows.npy --k 10",
    "reformer --out copy --nhid 8 --emsize 8 --nhead 2 --seq-len 32 --epochs 1 --train-batches 2 --eval-batches 1 --batch-size 2 "
    "--bucket-size-list 4 --sample 2",
)


def _commands():
    import contextlib
    import io
    import tempfile

    import numpy as np

    from mongoose_nb import data
    from mongoose_nb.commands.cli import main

    X, y = _problem()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        data.write_xc("train.txt", X, [[int(label)] for label in y])
        np.save("rows.npy", np.random.default_rng(0).standard_normal((600, 12)).astype(np.float32))
        for line in COMMANDS:
            said = io.StringIO()
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                code = main(line.split())
            if code:
                raise RuntimeError(f"mongoose {line}: {said.getvalue()}")


STEPS = {"networks": _networks, "schedules": _schedules, "rankings": _rankings, "tables": _tables, "indexes": _indexes, "sets": _sets,
         "sketches": _sketches, "attention": _attention, "language models": _language_models, "text files": _texts, "commands": _commands}
