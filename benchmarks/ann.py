"""Nearest neighbours: queries a second at a recall, and build time; the other measures of search are reached from here."""

import os
import statistics
import time

import numpy as np

from benchmarks.ann_systems import systems


def _truth(metric, X, Q, k):
    """Distances (n, k) and a function of (queries, ids) to distances, exact."""
    from mongoose_nb import LSHIndex

    index = LSHIndex(metric, X.shape[1], train_size=X.shape[0] + 1)
    index.add(X)
    far = index.query(Q, k, exact=True)[1]

    def of(ids):
        searcher, batch = index._ready(), index._rows.check(Q)
        indptr = np.arange(len(ids) + 1, dtype=np.int64) * ids.shape[1]
        out = searcher.measure(batch, indptr, np.maximum(ids, 0).astype(np.int32).ravel()).reshape(ids.shape)
        out[ids < 0] = np.inf
        return np.sqrt(out) if metric == "l2" else out

    return far, of


def run(args):
    """Measure; the result and its table. See ``python -m benchmarks ann --help``."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    from threadpoolctl import threadpool_limits

    from mongoose_nb.commands.vectors import read_vectors
    from mongoose_nb.search.tune import recall_of

    if args.documents:
        from benchmarks import ann_sets

        return (ann_sets.neighbours if args.metric == "jaccard" else ann_sets.duplicates)(args)
    X, Q = read_vectors(str(args.data))[0], read_vectors(str(args.queries), "test")[0]
    sparse = hasattr(X, "tocsr")
    if not sparse:
        X, Q = np.array(X, np.float32), np.array(Q, np.float32)
    if args.changes:
        from benchmarks.ann_changes import changes

        return changes(args, X, Q)
    if args.promise:
        from benchmarks.ann_promise import promise

        return promise(args, X, Q)
    order = np.random.default_rng(0).permutation(Q.shape[0])
    tune_queries, Q = Q[np.sort(order[args.n_queries:args.n_queries + 2000])], Q[np.sort(order[:args.n_queries])]
    far, distances_of = _truth(args.metric, X, Q, args.k)
    result = {"rows": X.shape[0], "dim": X.shape[1], "metric": args.metric, "k": args.k, "recall": args.recall, "systems": {}}
    wanted = args.systems.split(",") if args.systems else None
    with threadpool_limits(1):
        for system in systems(args.metric, args.recall, tune_queries, sparse):
            if wanted and not any(system.name.startswith(w) for w in wanted):
                continue
            start = time.perf_counter()
            system.build(X)
            entry = {"build_s": getattr(system, "build_s", time.perf_counter() - start), "tune_s": getattr(system, "tune_s", None)}
            for setting in system.settings:
                start = time.perf_counter()
                ids = system.query(Q, args.k, setting)
                first = time.perf_counter() - start
                entry |= {"setting": setting, "found": float(recall_of(np.sort(distances_of(ids), axis=1), far).mean())}
                if entry["found"] >= args.recall - 0.005:
                    break
            seconds = [first]
            for _ in range(args.rounds if first < 10 else 1):
                start = time.perf_counter()
                system.query(Q, args.k, setting)
                seconds.append(time.perf_counter() - start)
            entry["qps"] = Q.shape[0] / statistics.median(seconds)
            result["systems"][system.name] = entry
    return result, table(result)


def table(result):
    """The result as text."""
    ours = result["systems"].get("mongoose_nb")
    lines = [f"{result['rows']:,} x {result['dim']:,}, {result['metric']}, recall@{result['k']} >= {result['recall']}, one thread",
             f"{'system':44} {'recall':>7} {'queries/s':>10} {'x ours':>7} {'build s':>8}  setting"]
    for name, e in result["systems"].items():
        ratio = f"{ours['qps'] / e['qps']:7.1f}" if ours else " " * 7
        lines.append(f"{name:44} {e['found']:7.3f} {e['qps']:10,.0f} {ratio} {e['build_s']:8.1f}  {e['setting'] or ''}"
                     + (f" (tuned in {e['tune_s']:.1f} s)" if e["tune_s"] else ""))
    return "\n".join(lines)
