"""`mongoose evaluate`: scores of a trained network on a labelled file."""

from __future__ import annotations

import argparse
import time

from mongoose_nb.commands.console import json_line, result
from mongoose_nb.commands.datasets import read_for, with_labels
from mongoose_nb.commands.runs import load_network, text_columns
from mongoose_nb.commands.scores import show_scores
from mongoose_nb.commands.warm import compiling, threads


def run(args: argparse.Namespace) -> None:
    """Print P@k, nDCG@k, R@k and, with --train, PSP@k."""
    if args.train is None and (args.A is not None or args.B is not None):
        raise ValueError("--A and --B are constants of the propensities, which need --train DATA")
    with threads(args.threads), compiling():
        network, zero_based = load_network(args.model)
        columns = text_columns(args.model, args.text_column, args.label_column, args.label_separator)
        zero_based = zero_based if args.zero_based is None else args.zero_based
        data = read_for(network, args.data, args.format, zero_based, columns=columns)
        propensity = _propensity(network, args, zero_based, columns)
        X, Y, left_out = with_labels(data.X, data.Y, args.data)
        network.predict_topk(X[:1], 1, exact=not args.lsh)  # compile the kernels, or load them
        start = time.perf_counter()
        scores = network.evaluate(X, Y, k=args.k, exact=not args.lsh, propensity=propensity)
        seconds = time.perf_counter() - start
    rows = X.shape[0]
    if args.json:
        json_line({"model": args.model, "data": args.data, "rows": rows, "without_labels": left_out, "exact": not args.lsh, **scores,
                   "seconds": seconds})
        return
    show_scores(scores, f"{rows:,} rows, {'outputs that the hash tables retrieve' if args.lsh else 'every output'} scored")
    result(f"{seconds:.2f} s, {rows / seconds:,.0f} rows/s")


def _propensity(network, args, zero_based, columns):
    if args.train is None:
        return None
    from mongoose_nb.metrics import inverse_propensity

    constants = {name: value for name, value in (("A", args.A), ("B", args.B)) if value is not None}
    return inverse_propensity(read_for(network, args.train, args.format, zero_based, part="train", columns=columns).Y, **constants)
