"""`mongoose index`: build, query, tune and stats of a nearest-neighbour index."""

import argparse
import dataclasses
import os
import time
from collections.abc import Callable

import numpy as np

from mongoose_nb import search  # noqa: F401  (registers the metrics)
from mongoose_nb.commands.console import json_line, note, result, to_json
from mongoose_nb.commands.values import INTEGER, NUMBER
from mongoose_nb.commands.vectors import READS, read_vectors
from mongoose_nb.commands.warm import threads
from mongoose_nb.core.outputs import check_file
from mongoose_nb.core.registry import registered
from mongoose_nb.core.text_numbers import to_int

BLOCK = 4096


def add_arguments(parser: argparse.ArgumentParser, common: Callable[[argparse.ArgumentParser], None]) -> None:
    """Add the four subcommands. `common(sub)` adds the options of every command."""
    parts = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    def action(name, text):
        sub = parts.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".", allow_abbrev=False)
        sub.set_defaults(parser=sub)
        common(sub)
        return sub

    build = action("build", "index the rows of a file")
    tune = action("tune", "find the cheapest K, L, probes and rerank for a recall")
    for sub in (build, tune):
        sub.add_argument("data", metavar="DATA", help=f"rows: {READS}")
        sub.add_argument("--metric", choices=sorted(registered("search metric")), help="default: the file's, else l2 (of CSR: cosine)")
        sub.add_argument("--family", help="hash family (default: that of the metric)")
        sub.add_argument("--seed", type=INTEGER, help="seed of the hash functions (default 0)")
        sub.add_argument("--recall", type=NUMBER,
                         help="wanted share of the k nearest rows" + (": tune before building" if sub is build else " (default 0.9)"))
        sub.add_argument("--worst-tenth", type=NUMBER, metavar="RECALL",
                         help="also the share that the worst tenth of the queries is to find"
                         + (", with --recall" if sub is build else ""))
        sub.add_argument("--k", type=INTEGER, default=10, help="neighbours of that recall (default 10)")
        sub.add_argument("--memory", type=NUMBER, metavar="MB", help="most memory")
    tune.add_argument("--queries", metavar="FILE", help="queries like those to come (default: some of the rows)")
    build.add_argument("--out", required=True, metavar="INDEX", help="file to write")
    build.add_argument("--keys", metavar="FILE", help="text in UTF-8, a line for each row: keys, which answers name instead of numbers")
    build.add_argument("--overwrite", action="store_true", help="replace the file where it exists")
    for name, text in (("K", "hashes per table"), ("L", "tables"), ("probes", "buckets per table"), ("rerank", "exact distances per "
                       "neighbour"), ("capacity", "most rows in a bucket"), ("entries", "entries of buckets that are enough for a query")):
        build.add_argument(f"--{name}", type=INTEGER, help=text)
    build.add_argument("--storage", choices=("float16", "int8"), help="keep dense rows in a half or a quarter of the bytes")
    build.add_argument("--policy", choices=("fifo", "reservoir"), help="what a full bucket keeps (default fifo)")

    query = action("query", "print the nearest rows of every query as 'id:distance id:distance ...'")
    query.add_argument("index", metavar="INDEX", help="file of mongoose index build")
    query.add_argument("data", metavar="QUERIES", help=f"rows: {READS}")
    query.add_argument("--k", type=INTEGER, default=10, help="neighbours per query (default 10)")
    query.add_argument("--probes", type=INTEGER, help="buckets per table (default: the index's)")
    query.add_argument("--exact", action="store_true", help="look at every row")
    query.add_argument("--allowed", metavar="FILE", help="text in UTF-8, an id or key on each line: only these rows may be answers")
    query.add_argument("--recall", action="store_true", help="also print, on stderr, the share of the true neighbours that was found")
    stats = action("stats", "print what an index is and how full its buckets are")
    stats.add_argument("index", metavar="INDEX", help="file of mongoose index build")


def run(args: argparse.Namespace) -> None:
    """Run the action."""
    with threads(getattr(args, "threads", None)):
        {"build": _build, "query": _query, "tune": _tune, "stats": _stats}[args.action](args)


def _index(args, X, metric, **more):
    from mongoose_nb.search import LSHIndex

    metric = args.metric or metric or ("cosine" if hasattr(X, "tocsr") else "l2")
    given = {name: getattr(args, name) for name in ("family", "seed") if getattr(args, name) is not None}
    return LSHIndex(metric, X.shape[1], **given, **more)


def _tuned(args, index, X, recall, queries=None):
    memory = None if args.memory is None else int(args.memory * 1e6)
    return index.tune(X, queries=queries, recall=recall, k=args.k, memory=memory, worst_tenth=args.worst_tenth)


def _told(tuned):
    functions = ", learned functions" if tuned.learned else ""
    return (f"K={tuned.K} L={tuned.L} probes={tuned.probes} rerank={tuned.rerank}{functions}: expect recall {tuned.recall:.3f} +- "
            f"{tuned.error:.3f}, {tuned.worst_tenth:.3f} of the worst tenth of the queries, from {tuned.candidates:,.0f} candidates, "
            f"{tuned.memory / 1e6:,.1f} MB")


def _build(args):
    if args.worst_tenth is not None and args.recall is None:
        raise ValueError("--worst-tenth goes with --recall")
    if check_file("--out", args.out, (args.data, args.keys)).exists() and not args.overwrite:
        raise FileExistsError(f"{args.out} exists; give --overwrite to replace it")
    X, metric = read_vectors(args.data)
    names = "K", "L", "probes", "rerank", "capacity", "policy", "storage", "entries"
    more = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    index = _index(args, X, metric, **more)
    keys = None if args.keys is None else _lines(args.keys)
    if keys is not None and len(keys) != X.shape[0]:
        raise ValueError(f"--keys {args.keys}: {len(keys)} keys came with {X.shape[0]} rows of {args.data}; give a line for each row")
    tuned = None
    if args.recall is not None:
        tuned = _tuned(args, index, X, args.recall)
        note(_told(tuned))
    start = time.perf_counter()
    index.add(X, keys=keys)
    seconds = time.perf_counter() - start
    index.save(args.out)
    report = {"index": args.out, "rows": len(index), "seconds": round(seconds, 3), "bytes": os.path.getsize(args.out),
              "tuned": None if tuned is None else dataclasses.asdict(tuned)}
    if args.json:
        json_line(report)
    else:
        result(f"{len(index):,} rows in {seconds:.2f} s: {args.out} ({report['bytes'] / 1e6:,.1f} MB)")


def _lines(path):
    from mongoose_nb.data._files import read_lines

    return read_lines(path)


def _tune(args):
    X, metric = read_vectors(args.data)
    index = _index(args, X, metric)
    queries = None if args.queries is None else read_vectors(args.queries, "test", X.shape[1])[0]
    tuned = _tuned(args, index, X, 0.9 if args.recall is None else args.recall, queries)
    if args.json:
        json_line(dataclasses.asdict(tuned))
    else:
        result(_told(tuned))
    if not tuned.reached:
        note("the recall was not reached: give more memory, or ask for less")


def _allowed(path, index):
    """Ids or keys of the rows that may be answers, one on each line of a file."""
    lines = _lines(path)
    if index.keys is not None:
        names = np.array(list(dict.fromkeys(lines)), object)
    else:
        names = np.zeros(len(lines), np.int64)
        for i, line in enumerate(lines):
            try:
                names[i] = to_int(line)
            except (ValueError, OverflowError):
                raise ValueError(f"{path}, line {i + 1}: rows of this index have ids, and {line[:40]!r} is none; give an integer of 64 "
                                 "bits on each line") from None
    unknown = sum(name not in index for name in names.tolist())
    if unknown:
        note(f"{unknown:,} of the {len(names):,} allowed rows are not in the index")
    return names


def _query(args):
    from mongoose_nb.search import LSHIndex
    from mongoose_nb.search.tune import recall_of

    index = LSHIndex.load(args.index, mmap=True)
    Q, _ = read_vectors(args.data, "test", index.dim)
    allowed = None if args.allowed is None else _allowed(args.allowed, index)
    shares = []
    for lo in range(0, Q.shape[0], BLOCK):
        part = Q[lo:lo + BLOCK]
        ids, distances = index.query(part, args.k, probes=args.probes, exact=args.exact, allowed=allowed)
        if args.recall:
            shares.extend(recall_of(distances, index.query(part, args.k, exact=True, allowed=allowed)[1]))
        lines = []
        for i, (row, values) in enumerate(zip(ids.tolist(), distances.tolist())):
            pairs = [(one, value) for one, value in zip(row, values) if one not in (-1, None) or value < float("inf")]
            if args.json:
                lines.append(to_json({"row": lo + i, "ids": [p[0] for p in pairs], "distances": [float(f"{p[1]:.7g}") for p in pairs]}))
            else:
                lines.append(" ".join(f"{one}:{value:.6g}" for one, value in pairs))
        if lines:
            result("\n".join(lines))
    if shares:
        note(f"recall@{args.k}: {sum(shares) / len(shares):.4f}")


def _stats(args):
    from mongoose_nb.search import LSHIndex

    stats = LSHIndex.load(args.index, mmap=True).stats()
    if args.json:
        json_line(stats)
        return
    for name, value in {**stats, "buckets": None, **{f"bucket {k}": v for k, v in (stats["buckets"] or {}).items()}}.items():
        if value is not None:
            result(f"{name:22} {value}")
