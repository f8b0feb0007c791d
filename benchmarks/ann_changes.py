"""Single rows added, changed and removed: ours and hnswlib's, block by block in turn."""

import os
import statistics
import time

import numpy as np

from benchmarks.ann_systems import Hnswlib

BLOCK = 50


def changes(args, X, Q):
    """Rows a second and the median of the paired ratios; the result and its table."""
    os.environ["OMP_NUM_THREADS"] = "1"
    from mongoose_nb import LSHIndex

    index, graph = LSHIndex(args.metric, X.shape[1], n_threads=1), Hnswlib(args.metric)
    index.add(X)
    graph.build(X)
    theirs, first = graph.index, 10**7
    rows = [np.ascontiguousarray(Q[i:i + 1]) for i in range(BLOCK * (args.rounds + 1) * 2)]
    steps = {
        "add": (lambda row, i: index.add(row, [i]), lambda row, i: theirs.add_items(row, [i], num_threads=1)),
        "update": (lambda row, i: index.update([i], row), lambda row, i: theirs.add_items(row, [i], num_threads=1)),
        "remove": (lambda row, i: index.remove([i]), lambda row, i: theirs.mark_deleted(i)),
    }
    result = {"rows": X.shape[0], "dim": X.shape[1], "metric": args.metric}
    for number, (name, pair) in enumerate(steps.items()):
        seconds = [[], []]
        for r in range(args.rounds + 1):  # the first warms up
            for side, step in enumerate(pair):
                start = time.perf_counter()
                for i in range(r * BLOCK, (r + 1) * BLOCK):
                    step(rows[i + BLOCK * (args.rounds + 1) * (number == 1)], first + i)
                seconds[side].append(time.perf_counter() - start)
        ours, others = ([s / BLOCK for s in side[1:]] for side in seconds)
        result[name] = {"ours": 1 / statistics.median(ours), "hnswlib": 1 / statistics.median(others),
                        "ratio": statistics.median(b / a for a, b in zip(ours, others))}
    lines = [f"{X.shape[0]:,} x {X.shape[1]}, {args.metric}; rows a second, one a call, {args.rounds} pairs of {BLOCK} calls in turn",
             f"{'':8} {'mongoose_nb':>12} {'hnswlib':>12} {'ratio':>8}"]
    lines += [f"{name:8} {e['ours']:12,.0f} {e['hnswlib']:12,.0f} {e['ratio']:8.1f}" for name, e in
              ((name, result[name]) for name in steps)]
    return result, "\n".join(lines)
