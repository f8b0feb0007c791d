"""What else a user pays or gains: start-up, threads, width, rehashing, exact prediction. Each is measured in turn with what it is held
against."""

import os
import statistics
import subprocess
import sys
import tempfile
import time

import numba
import numpy as np
import scipy.sparse as sp

from benchmarks import limits
from benchmarks.systems import BATCH, HIDDEN, Ours, samplers
from mongoose_nb import DWTA, LSHTables, SimHash, data, nn
from mongoose_nb.core.threads import one_blas_thread
from mongoose_nb.kernels.layers.dense import matmul

FIRST_FIT = """
import time
start = time.perf_counter()
import numpy as np
from mongoose_nb import nn
X = (np.random.default_rng(0).random((512, 200)) < 0.05).astype(np.float32)
Y = [[i % 300] for i in range(512)]
nn.Network(200, 300, hidden=(16,), sampler=nn.LSH(50)).fit(X, Y, epochs=1, batch_size=64)
print(time.perf_counter() - start)
"""


def _python(code, **environment):
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=True)
    return float(done.stdout) if done.stdout.strip() else time.perf_counter() - start


def _times(call, rounds):
    out = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        out.append(time.perf_counter() - start)
    return statistics.median(out)


def start(args):
    """Import beside NumPy's, and the first fit of a tiny problem without and with compiled kernels."""
    pairs = [(_python("import numpy"), _python("import mongoose_nb")) for _ in range(11)]
    theirs, ours = (statistics.median(column) for column in zip(*pairs))
    with tempfile.TemporaryDirectory() as cache:
        cold, *warm = (_python(FIRST_FIT, NUMBA_CACHE_DIR=cache) for _ in range(4))
    yield f"import mongoose_nb {ours * 1e3:.0f} ms, import numpy {theirs * 1e3:.0f} ms: ratio {ours / theirs:.2f}"
    yield f"first fit of a tiny problem, import included: {cold:.1f} s without compiled kernels, {statistics.median(warm):.2f} s with"


def threads(args):
    """Speed on all threads over the speed on one, by sampler."""
    sets, most = data.load_dataset(args.set), numba.get_num_threads()
    machine = {}
    for n in (1, most):
        numba.set_num_threads(n)
        machine[n] = limits.measure(sets[1].shape[1], HIDDEN)
    one, all_ = machine[1], machine[most]
    gains = [f"random row {one['row_ns'] / all_['row_ns']:.2f}", f"Adam on one {one['adam_row_ns'] / all_['adam_row_ns']:.2f}",
             f"stream {all_['stream_GB_s'] / one['stream_GB_s']:.2f}", f"sgemm {all_['gemm_GFLOP_s'] / one['gemm_GFLOP_s']:.2f}"]
    yield f"the machine, 1 to {most} threads: {', '.join(gains)} times as fast"
    for name, (sampler, optimizer) in samplers(1000, 1000).items():
        system, batches = Ours(sampler, sets, lr=5e-3, optimizer=optimizer), 4 if name == "full" else 30
        system.train(batches)
        ratios = []
        for _ in range(args.rounds):
            seconds = {}
            for n in (1, most):
                numba.set_num_threads(n)
                seconds[n] = system.train(batches)["seconds"]
            ratios.append(seconds[1] / seconds[most])
        yield f"{name}: 1 to {most} threads {statistics.median(ratios):.2f} times as fast"


def width(args):
    """Speed at 1,000,000 outputs beside that at 100,000, at the same active set."""
    rng = np.random.default_rng(0)
    n, features = 20_000, 20_000
    X = sp.csr_matrix((rng.random(n * 50, np.float32), rng.integers(0, features, n * 50), np.arange(n + 1) * 50), (n, features))
    X.sum_duplicates()
    for name, (sampler, optimizer) in samplers(1000, 1000).items():
        if name == "full":
            continue
        systems = []
        for outputs in (100_000, 1_000_000):
            Y = sp.csr_matrix((np.ones(n, np.float32), rng.integers(0, outputs, n), np.arange(n + 1)), (n, outputs))
            systems.append(Ours(sampler, (X, Y, X, Y), lr=5e-3, optimizer=optimizer))
            systems[-1].train(30)
        speeds = np.array([[30 * BATCH / s.train(30)["seconds"] for s in systems] for _ in range(args.rounds)])
        weights = sum(p.value.nbytes for p in systems[1].net.parameters().values()) / 1e6
        yield (f"{name}: {np.median(speeds[:, 0]):,.0f} samples/s at 100,000 outputs, {np.median(speeds[:, 1]):,.0f} at 1,000,000 "
               f"({weights:,.0f} MB of weights): {np.median(speeds[:, 0] / speeds[:, 1]):.2f} times slower")


def rehash(args):
    """Full rehash of the rows of a wide layer, and moving some of them."""
    n = 670_091
    rows = np.random.default_rng(0).standard_normal((n, HIDDEN), np.float32)
    for family in (SimHash(HIDDEN, K=9, L=50), DWTA(HIDDEN, K=6, L=50)):
        tables = LSHTables(family, capacity=128, policy="reservoir")
        tables.build(rows)
        full = _times(lambda t=tables: t.build(rows), 3)
        yield f"{type(family).__name__} K={family.K} L={family.L}: all {n:,} rows in {full:.2f} s"
        for moved in (1_000, 10_000, 60_000):
            ids = np.random.default_rng(moved).choice(n, moved, replace=False).astype(np.int32)
            fresh = rows[ids] + np.random.default_rng(1).standard_normal((moved, HIDDEN), np.float32)
            seconds = _times(lambda t=tables, i=ids, x=fresh: t.move(i, x), 1)
            yield f"    {moved:,} moved rows in {seconds:.3f} s, {seconds / moved * 1e6:.1f} us a row"


def predict(args):
    """Exact predict_topk beside the matrix product it contains."""
    n, outputs = 1024, 670_091
    net = nn.Network(100, outputs, hidden=(HIDDEN,), sampler=nn.Full(), optimizer=nn.SGD(0.1))
    X = np.random.default_rng(0).random((n, 100)).astype(np.float32)
    net.predict_topk(X[:8], 5)
    H, W = net.hidden_activations(X), net.output.weights.value
    block, product = W[:65536], np.empty((65536, n), np.float32)
    ratios = []
    for _ in range(args.rounds):
        with one_blas_thread():
            gemm = _times(lambda: matmul(block, H.T, product), 3) * outputs / len(block)
        ours = _times(lambda: net.predict_topk(X, 5), 1)
        ratios.append(gemm / ours)
    yield f"exact predict_topk of {n:,} rows over {outputs:,} outputs: {ours:.2f} s, {statistics.median(ratios):.2f} of sgemm's rate"


def run(args):
    """Measure the parts asked for; see ``python -m benchmarks costs --help``."""
    lines = []
    for part in args.parts.split(","):
        lines += [*globals()[part](args)]
    return {"lines": lines}, "\n".join(lines)
