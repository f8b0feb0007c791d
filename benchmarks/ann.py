"""Nearest neighbours: queries a second at a recall, and build time; the other measures of search are reached from here."""

import os
import statistics
import time

import numpy as np

from benchmarks.ann_systems import systems

TOP = 0.985  # where a curve may end


def truth(metric, X, Q, k):
    """Distances (n, k) and a function of (queries, ids) to distances, exact."""
    from mongoose_nb import LSHIndex

    index = LSHIndex(metric, X.shape[1], train_size=X.shape[0] + 1)
    index.add(X)
    far = index.query(Q, k, exact=True)[1]

    def of(ids):
        indptr = np.arange(len(ids) + 1, dtype=np.int64) * ids.shape[1]
        slots = np.maximum(ids, 0).astype(np.int32).ravel()  # rows were added in order
        out = index.builder.snapshot().measure(index.builder.check(Q)[1], indptr, slots).reshape(ids.shape)
        out[ids < 0] = np.inf
        return out

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
    tune_queries, Q = Q[np.sort(order[args.n_queries:args.n_queries + 6000])], Q[np.sort(order[:args.n_queries])]
    far, distances_of = truth(args.metric, X, Q, args.k)
    result = {"rows": X.shape[0], "dim": X.shape[1], "metric": args.metric, "k": args.k, "recall": args.recall, "systems": {}}
    wanted = args.systems.split(",") if args.systems else None

    def measure(system, setting, rounds):
        seconds = []
        for _ in range(rounds + 1):
            start = time.perf_counter()
            ids = system.query(Q, args.k, setting)
            seconds.append(time.perf_counter() - start)
            if sum(seconds) > 10:
                break
        return {"setting": setting, "found": float(recall_of(np.sort(distances_of(ids), axis=1), far).mean()),
                "qps": Q.shape[0] / statistics.median(seconds)}

    with threadpool_limits(1):
        for system in systems(args.metric, args.recall, tune_queries, sparse):
            if wanted and not any(system.name.startswith(w) for w in wanted):
                continue
            start = time.perf_counter()
            system.build(X)
            entry = {"build_s": getattr(system, "build_s", time.perf_counter() - start), "tune_s": getattr(system, "tune_s", None),
                     "curve": []}
            for setting in (*system.settings, *(getattr(system, "more", ()) if args.plot else ())):
                point = measure(system, setting, 0)
                reached = point["found"] >= args.recall - 0.005
                if reached and "qps" not in entry:
                    point = measure(system, setting, args.rounds)
                    entry |= point
                entry["curve"].append(point)
                if reached and (not args.plot or (point["found"] > TOP and not hasattr(system, "more"))):
                    break
            result["systems"][system.name] = {**entry["curve"][-1], **entry}
    if args.plot:
        plot(result, args.plot)
    return result, table(result)


def plot(result, path):
    """Draw queries a second against recall into a file."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7.5, 4.5))
    for name, entry in result["systems"].items():
        points = sorted((p["found"], p["qps"]) for p in entry["curve"])
        ours = name.startswith("mongoose_nb")
        axes.plot(*zip(*points), marker="o" if ours else ".", linewidth=2.5 if name == "mongoose_nb" else 1, label=name)
    axes.set(xlabel=f"recall@{result['k']}", ylabel="queries/s, one thread", yscale="log",
             title=f"{result['rows']:,} x {result['dim']:,}, {result['metric']}")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="x-small", loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path, bbox_inches="tight", **({"metadata": {"Date": None}} if str(path).endswith(".svg") else {"dpi": 110}))


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
