"""An index of a million rows on 4 workers, beside the local one at equal settings."""

import os
import signal
import tempfile
import time

import numpy as np

from benchmarks.distributed.cluster import alone, peaks, workers

DIM, K, SETTINGS = 64, 10, {"L": 16, "probes": 8, "seed": 1}


def data(rows):
    """Rows around 1,000 centres, and queries likewise."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((1000, DIM)).astype(np.float32)
    X = centres[rng.integers(0, 1000, rows + 500)] + 0.7 * rng.standard_normal((rows + 500, DIM), np.float32)
    return X[:rows], X[rows:]


def search(index, X, Q):
    """Recall, and seconds."""
    begun = time.perf_counter()
    for lo in range(0, len(X), 100_000):
        index.add(X[lo:lo + 100_000])
    added = time.perf_counter() - begun
    truth = index.query(Q, K, exact=True)[0]
    index.query(Q[:5], K)
    begun = time.perf_counter()
    found = index.query(Q, K)[0]
    return {"recall": np.mean([len(set(a) & set(b)) / K for a, b in zip(found.tolist(), truth.tolist(), strict=True)]), "add": added,
            "query": (time.perf_counter() - begun) / len(Q), "truth": truth.tolist()}


def local(rows):
    """Figures of the local index."""
    from mongoose_nb import LSHIndex

    return search(LSHIndex("l2", DIM, **SETTINGS), *data(rows))


def sharded(rows):
    """Figures of the index on 4 workers, of which one is killed."""
    from mongoose_nb.distributed import LSHIndex

    X, Q = data(rows)
    with workers(4, "1GB") as client, tempfile.TemporaryDirectory() as folder:
        index = LSHIndex("l2", DIM, client=client, checkpoint=folder, checkpoint_rows=2 * rows, **SETTINGS)
        found = {**search(index, X, Q), "workers": peaks(client)}
        index.checkpoint()
        before = index.query(Q, K)
        os.kill(client.run(os.getpid)[index.workers[1]], signal.SIGKILL)
        begun = time.perf_counter()
        after = index.query(Q, K)
        return {**found, "back": time.perf_counter() - begun, "lost": index.lost, "same": bool((before[0] == after[0]).all())}


def measure(args):
    """Both, one after the other."""
    one, _ = alone(local, args.vectors)
    four, _ = alone(sharded, args.vectors)
    return {"rows": args.vectors, "same_truth": one.pop("truth") == four.pop("truth"), "local": one, "4 workers": four}


def text(found):
    """A table."""
    lines = [f"{found['rows']:,} rows of {DIM} numbers, l2, {SETTINGS}; queries in a batch of 500",
             f"{'':10} {'recall@10':>10} {'adding s':>9} {'query ms':>9}"]
    lines += [f"{name:10} {own['recall']:>10.4f} {own['add']:>9.1f} {1e3 * own['query']:>9.3f}"
              for name, own in ((name, found[name]) for name in ("local", "4 workers"))]
    own = found["4 workers"]
    truth, same = ("the same" if good else "NOT the same" for good in (found["same_truth"], own["same"]))
    return "\n".join([*lines, f"exact answers are {truth}; a worker had at most {max(own['workers']) / 1e6:.0f} MB",
                      f"a worker was killed: after {own['back']:.1f} s the answers were {same}, with {own['lost']} shard made again"])
