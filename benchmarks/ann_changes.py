"""Single rows added, changed, replaced and removed: ours and hnswlib's, block by block in turn, and recall before and after."""

import os
import statistics
import time

import numpy as np

from benchmarks.ann_systems import Hnswlib

BLOCK = 50
_STEPS = ("add", "update", "replace", "remove")


def changes(args, X, Q):
    """Rows a second and the median of the paired ratios; the result and its table."""
    os.environ["OMP_NUM_THREADS"] = "1"
    from benchmarks.ann import truth
    from mongoose_nb import LSHIndex
    from mongoose_nb.search.tune import recall_of

    Q, spare = Q[:args.n_queries], Q[args.n_queries:]
    far, distances_of = truth(args.metric, X, Q, args.k)

    def recall(ids):
        return float(recall_of(np.sort(distances_of(ids), axis=1), far).mean())

    index, graph = LSHIndex(args.metric, X.shape[1], n_threads=1), Hnswlib(args.metric)
    index.add(X)
    graph.reuse = True
    graph.build(X)
    theirs = graph.index
    before = recall(index.query(Q, args.k)[0])
    # the least effort with which the graph finds as much
    ef = next((s for s in graph.settings if recall(graph.query(Q, args.k, s)) >= before), graph.settings[-1])
    result = {"rows": X.shape[0], "dim": X.shape[1], "metric": args.metric, "ef": ef, "recall": [before],
              "hnswlib_recall": [recall(graph.query(Q, args.k, ef))]}
    many = BLOCK * (args.rounds + 1)
    rows = [np.ascontiguousarray(spare[i:i + 1]) for i in range(many)]
    first, second = 10**7, 2 * 10**7  # ids of rows that are added, and of those that take their places

    def replace(i):
        index.remove([first + i])
        index.add(rows[i], [second + i])

    def replace_theirs(i):
        theirs.mark_deleted(first + i)
        theirs.add_items(rows[i], [second + i], num_threads=1, replace_deleted=True)

    steps = {
        "add": (lambda i: index.add(rows[i], [first + i]), lambda i: theirs.add_items(rows[i], [first + i], num_threads=1)),
        "update": (lambda i: index.update([first + i], rows[-1 - i]),
                   lambda i: theirs.add_items(rows[-1 - i], [first + i], num_threads=1)),
        "replace": (replace, replace_theirs),
        "remove": (lambda i: index.remove([second + i]), lambda i: theirs.mark_deleted(second + i)),
    }
    for name in _STEPS:
        seconds = [[], []]
        for r in range(args.rounds + 1):  # the first warms up
            for side, step in enumerate(steps[name]):
                start = time.perf_counter()
                for i in range(r * BLOCK, (r + 1) * BLOCK):
                    step(i)
                seconds[side].append(time.perf_counter() - start)
        ours, others = ([s / BLOCK for s in side[1:]] for side in seconds)
        result[name] = {"ours": 1 / statistics.median(ours), "hnswlib": 1 / statistics.median(others),
                        "ratio": statistics.median(b / a for a, b in zip(ours, others))}
    # all that came is gone again, so the truth is what it was
    result["recall"].append(recall(index.query(Q, args.k)[0]))
    result["hnswlib_recall"].append(recall(graph.query(Q, args.k, ef)))
    places = np.random.default_rng(0).permutation(X.shape[0])
    start = time.perf_counter()
    for i, place in enumerate(places.tolist()):
        index.update([place], X[i:i + 1])
    result["replace_all_s"] = time.perf_counter() - start
    row_of = np.append(np.argsort(places), -1)  # an id that is missing stays so
    result["recall"].append(recall(row_of[index.query(Q, args.k)[0]]))
    return result, _table(result, args)


def _table(result, args):
    lines = [f"{result['rows']:,} x {result['dim']}, {result['metric']}; rows a second, one a call, {args.rounds} pairs of {BLOCK} calls "
             "in turn",
             f"{'':8} {'mongoose_nb':>12} {'hnswlib':>12} {'ratio':>8}"]
    lines += [f"{name:8} {result[name]['ours']:12,.0f} {result[name]['hnswlib']:12,.0f} {result[name]['ratio']:8.1f}" for name in _STEPS]
    before, after, replaced = result["recall"]
    lines += [f"recall@{args.k}, mongoose_nb: {before:.3f}, after these changes {after:.3f}, after {result['rows']:,} updates that put "
              f"every row in another's place {replaced:.3f} ({result['replace_all_s']:.1f} s)",
              f"recall@{args.k}, hnswlib at ef={result['ef']}: {result['hnswlib_recall'][0]:.3f}, after these changes "
              f"{result['hnswlib_recall'][1]:.3f}"]
    return "\n".join(lines)
