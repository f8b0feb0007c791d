"""`mongoose clicks`: train a click classifier on a CSV or libfm file, and score it."""

from __future__ import annotations

import argparse
import time

from mongoose_nb.commands.console import json_line, result
from mongoose_nb.commands.values import INTEGER, NUMBER, ratio
from mongoose_nb.commands.warm import compiling, threads
from mongoose_nb.core.outputs import check_file


def add_arguments(sub: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    sub.add_argument("data", metavar="DATA", help="rows to train on: .csv with a line of names, or libfm (label id:1 id:1 ...); may be "
                     "compressed")
    sub.add_argument("--out", metavar="FILE", help="write the classifier there")
    sub.add_argument("--test", metavar="DATA", help="rows to score")
    sub.add_argument("--label", metavar="COLUMN", help="csv: column of the two classes (default: the first)")
    sub.add_argument("--numeric", nargs="+", metavar="COLUMN", help="csv: columns that are numbers; all others are categories")
    sub.add_argument("--embedding-dim", type=INTEGER, default=16, metavar="N", help="numbers of an embedding (default 16)")
    sub.add_argument("--hidden", nargs="*", type=INTEGER, default=[64], metavar="N", help="widths of the layers above; none: a "
                     "factorisation machine (default 64)")
    sub.add_argument("--interaction", choices=("fm", "dot", "none"), default="fm", help="fm is DeepFM, dot DLRM (default fm)")
    sub.add_argument("--compress", metavar="RATIO", help="keep embeddings in an array so many times smaller, such as 16x")
    sub.add_argument("--map", default="robe", metavar="NAME", help="index map of --compress (default robe)")
    sub.add_argument("--epochs", type=INTEGER, default=3, metavar="N")
    sub.add_argument("--batch-size", type=INTEGER, default=1024, metavar="N")
    sub.add_argument("--lr", type=NUMBER, help="learning rate (default: the optimiser's)")
    sub.add_argument("--seed", type=INTEGER, default=0, help="seed of everything random (default 0)")


def run(args: argparse.Namespace) -> None:
    """Train, score, save."""
    from mongoose_nb.compress import Compress
    from mongoose_nb.metrics import auc, log_loss
    from mongoose_nb.recommend import ClickClassifier
    from mongoose_nb.recommend.readers import read_clicks

    if args.out is not None:
        check_file("--out", args.out, (args.data, args.test))
    compress = None
    if args.compress:
        times = ratio(args.compress, "--compress")
        try:
            compress = Compress(args.map, times)
        except ValueError as error:
            raise ValueError(f"--compress {args.compress} --map {args.map}: {error}") from None
    X, y = read_clicks(args.data, label=args.label, numeric=args.numeric)
    test = None if args.test is None else read_clicks(args.test, label=args.label, numeric=args.numeric)
    if test is not None:
        found, classes = (sorted(set(part.tolist())) for part in (test[1], y))
        if found != classes:
            raise ValueError(f"{args.test} must have the same two classes as {args.data}, {classes}; it has {found[:5]}")
    model = ClickClassifier(args.embedding_dim, interaction=args.interaction, hidden=args.hidden, compress=compress, numeric=args.numeric,
                            lr=args.lr, epochs=args.epochs, batch_size=args.batch_size, random_state=args.seed)
    with threads(args.threads), compiling():
        start = time.perf_counter()
        model.fit(X, y)
        seconds = time.perf_counter() - start
        scores = {}
        if test is not None:
            p = model.predict_proba(test[0])[:, 1]
            target = (test[1] == model.classes_[1]).astype(int)
            scores = {"auc": auc(target, p), "log_loss": log_loss(target, p)}
    if args.out is not None:
        model.save(args.out)
    report = {"rows": len(y), "seconds": seconds, "table_bytes": model.model_.table_bytes, "loss": model.history_[-1], **scores}
    if args.json:
        json_line(report)
        return
    result(f"{len(y):,} rows, {args.epochs} epochs in {seconds:.1f} s, loss {model.history_[-1]:.4f}, embeddings "
           f"{model.model_.table_bytes / 2**20:.3f} MB")
    if scores:
        result(f"AUC {scores['auc']:.4f}   log-loss {scores['log_loss']:.4f}")
