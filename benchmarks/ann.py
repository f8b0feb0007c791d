"""Nearest neighbours: queries a second at a recall, build time, and single changes a second; duplicates of 100,000 documents."""

import os
import statistics
import time

import numpy as np

from benchmarks.ann_systems import Hnswlib, systems


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
        return duplicates(args)
    X, Q = read_vectors(str(args.data))[0], read_vectors(str(args.queries), "test")[0]
    sparse = hasattr(X, "tocsr")
    if not sparse:
        X, Q = np.array(X, np.float32), np.array(Q, np.float32)
    order = np.random.default_rng(0).permutation(Q.shape[0])
    tune_queries, Q = Q[np.sort(order[args.n_queries:args.n_queries + 1000])], Q[np.sort(order[:args.n_queries])]
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
            if args.changes and isinstance(system, Hnswlib) or system.name == "mongoose_nb":
                entry["changes"] = changes(system, Q)
    return result, table(result)


def changes(system, Q, m=300):
    """Additions, updates and removals a second, one row at a time."""
    n, out, index = 10**7, {}, system.index
    ours = not isinstance(system, Hnswlib)
    if hasattr(Q, "tocsr"):
        m = min(m, Q.shape[0])
    rows = [Q[i:i + 1] for i in range(m)]
    again = [Q[m - 1 - i:m - i] for i in range(m)]
    index.add(rows[0], [n - 1]) if ours else index.add_items(rows[0], [n - 1])
    start = time.perf_counter()
    for i in range(m):
        index.add(rows[i], [n + i]) if ours else index.add_items(rows[i], [n + i])
    out["add"] = m / (time.perf_counter() - start)
    start = time.perf_counter()
    for i in range(m):
        index.update([n + i], again[i]) if ours else index.add_items(again[i], [n + i])
    out["update"] = m / (time.perf_counter() - start)
    start = time.perf_counter()
    for i in range(m):
        index.remove([n + i]) if ours else index.mark_deleted(n + i)
    out["remove"] = m / (time.perf_counter() - start)
    return out


def table(result):
    """The result as text."""
    ours = result["systems"].get("mongoose_nb")
    lines = [f"{result['rows']:,} x {result['dim']:,}, {result['metric']}, recall@{result['k']} >= {result['recall']}, one thread",
             f"{'system':44} {'recall':>7} {'queries/s':>10} {'x ours':>7} {'build s':>8}  setting"]
    for name, e in result["systems"].items():
        ratio = f"{ours['qps'] / e['qps']:7.1f}" if ours else " " * 7
        lines.append(f"{name:44} {e['found']:7.3f} {e['qps']:10,.0f} {ratio} {e['build_s']:8.1f}  {e['setting'] or ''}"
                     + (f" (tuning {e['tune_s']:.1f} s)" if e["tune_s"] else ""))
    for name, e in result["systems"].items():
        if "changes" in e:
            lines.append(f"{name}: single rows a second: " + ", ".join(f"{what} {rate:,.0f}" for what, rate in e["changes"].items()))
    return "\n".join(lines)


def documents(n, seed=0, size=100, words=50_000):
    """Sets of words; a fifth are copies of an earlier one with some words replaced."""
    rng = np.random.default_rng(seed)
    out = []
    for i in range(n):
        if i and rng.random() < 0.2:
            one = out[rng.integers(0, i)].copy()
            change = rng.integers(0, size // 3)
            one[rng.choice(len(one), change, replace=False)] = rng.integers(0, words, change)
        else:
            one = rng.integers(0, words, size)
        out.append(one)
    return [np.unique(one) for one in out]


def duplicates(args, threshold=0.7):
    """find_duplicates and datasketch's MinHashLSH on the same sets, 128 hashes each."""
    from datasketch import MinHash, MinHashLSH
    from scipy.sparse import csr_matrix

    from mongoose_nb.search.dedup import find_duplicates

    sets = documents(args.documents)
    indptr = np.cumsum([0] + [len(s) for s in sets])
    X = csr_matrix((np.ones(indptr[-1], np.float32), np.concatenate(sets), indptr))
    find_duplicates(X[:1000], threshold, n_threads=1)  # compiles
    start = time.perf_counter()
    ours = find_duplicates(X, threshold, n_threads=1)
    ours_s = time.perf_counter() - start
    exact = find_duplicates(X, threshold, recall=0.99999, n_hashes=1024, n_threads=1)
    true = set(map(tuple, exact.pairs.tolist()))
    start = time.perf_counter()
    lsh = MinHashLSH(threshold=threshold, num_perm=128)
    found = set()
    for i, one in enumerate(sets):
        sketch = MinHash(num_perm=128)
        sketch.update_batch([b"%d" % word for word in one.tolist()])
        found.update((int(j), i) for j in lsh.query(sketch))
        lsh.insert(str(i), sketch)
    theirs_s = time.perf_counter() - start
    mine = set(map(tuple, ours.pairs.tolist()))
    result = {"documents": args.documents, "threshold": threshold, "pairs": len(true)}
    for name, pairs, seconds in (("mongoose_nb", mine, ours_s), ("datasketch", found, theirs_s)):
        both = len(pairs & true)
        result[name] = {"seconds": seconds, "recall": both / max(len(true), 1), "precision": both / max(len(pairs), 1)}
    text = "\n".join([f"{args.documents:,} documents of about 100 words, {len(true):,} pairs of similarity >= {threshold}; one thread"]
                     + [f"{name:12} {e['seconds']:8.2f} s  recall {e['recall']:.4f}  precision {e['precision']:.4f}"
                        for name, e in ((n, result[n]) for n in ("mongoose_nb", "datasketch"))]
                     + [f"ratio {theirs_s / ours_s:.1f}"])
    return result, text
