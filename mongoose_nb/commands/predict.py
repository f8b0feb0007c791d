"""`mongoose predict`: the best outputs of every row of a file."""

from __future__ import annotations

import argparse
import os

from mongoose_nb.commands.console import note, result, to_json
from mongoose_nb.commands.datasets import read_for
from mongoose_nb.commands.runs import load_network
from mongoose_nb.commands.warm import compiling, threads

# Rows that are predicted, and turned into text, at a time.
BLOCK = 8192


def run(args: argparse.Namespace) -> None:
    """Write one line per row."""
    if args.out is not None and os.path.exists(args.out):
        for path in (args.data, args.model):
            if os.path.exists(path) and os.path.samefile(path, args.out):
                raise ValueError(f"--out {args.out} is an input of this command; give another file")
    with threads(args.threads), compiling():
        network, zero_based = load_network(args.model)
        zero_based = zero_based if args.zero_based is None else args.zero_based
        X = read_for(network, args.data, args.format, zero_based, labels=False).X
        k = min(5, network.n_outputs) if args.k is None else args.k
        first = _lines(network, X, 0, k, args)  # what cannot be predicted is refused before a file is touched
        blocks = range(BLOCK, X.shape[0], BLOCK)
        if args.out is None:
            result("\n".join(first))
            for lo in blocks:
                result("\n".join(_lines(network, X, lo, k, args)))
            return
        from mongoose_nb.data._files import replacing

        with replacing(args.out) as file:
            file.write("".join(line + "\n" for line in first).encode())
            for lo in blocks:
                file.write("".join(line + "\n" for line in _lines(network, X, lo, k, args)).encode())
    note(f"{X.shape[0]:,} rows written: {args.out}")


def _lines(network, X, lo, k, args):
    """Text of the block of rows from `lo` on. Hash tables may return fewer than k outputs: the line is shorter then."""
    ids, scores = network.predict_topk(X[lo:lo + BLOCK], k, exact=not args.lsh)
    lines = []
    for i, (row, values) in enumerate(zip(ids.tolist(), scores.tolist())):
        pairs = [(label, value) for label, value in zip(row, values) if label >= 0]
        if args.json:
            lines.append(to_json({"row": lo + i, "ids": [p[0] for p in pairs], "scores": [float(f"{p[1]:.7g}") for p in pairs]}))
        else:
            lines.append(" ".join(f"{label}:{value:.6g}" for label, value in pairs))
    return lines
