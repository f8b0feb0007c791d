"""`mongoose fit-serving`: train hash tables for fast prediction with a trained network, and save them with it."""

from __future__ import annotations

import argparse
import pathlib

from mongoose_nb.commands import runs
from mongoose_nb.commands.console import json_line, result
from mongoose_nb.commands.datasets import data_files, read_for
from mongoose_nb.commands.runs import load_network, text_columns
from mongoose_nb.commands.warm import compiling, threads
from mongoose_nb.core.outputs import check_file


def run(args: argparse.Namespace) -> None:
    """Train the hash functions on the rows of a file, and compare P@1 over all outputs and by the tables on these rows."""
    model = pathlib.Path(args.model)
    own = model / runs.MODEL if model.is_dir() else model
    out = own if args.out is None else args.out
    if args.rows < 1:
        raise ValueError(f"--rows must be at least 1; got {args.rows}")
    if args.out is not None or own.exists():
        others = [file for file in runs.model_files(model) if file != own]  # the network itself may be replaced
        out = check_file("--out", out, [*others, *data_files(args.data), *data_files(args.validation)])
    with threads(args.threads), compiling():
        network, zero_based = load_network(model)
        columns = text_columns(model, args.text_column, args.label_column, args.label_separator)
        zero_based = zero_based if args.zero_based is None else args.zero_based
        data = read_for(network, args.data, args.format, zero_based, part="train", columns=columns)
        retriever, candidates = args.retriever, args.candidates
        if retriever is not None and candidates is not None:
            retriever, candidates = {"name": retriever, "candidates": candidates}, None
        if retriever is not None and args.target is not None and args.candidates is not None:
            raise ValueError("--target chooses the number of candidates: give one of the two")
        validation = None
        if args.validation is not None:
            held = read_for(network, args.validation, args.format, zero_based, part="test", columns=columns)
            validation = held.X, held.Y
        report = network.fit_serving(data.X, data.Y, candidates=candidates, retriever=retriever, target=args.target, validation=validation)
        rows = min(data.X.shape[0], args.rows)
        exact, tables = (network.evaluate(data.X[:rows], data.Y[:rows], k=1, exact=exact)["P@1"] for exact in (True, False))
        network.save(out)
    scored = network.retriever.candidates
    if args.json:
        json_line({"model": str(out), "candidates": scored, "outputs": network.n_outputs, "rows": rows, "P@1": exact,
                   "P@1_tables": tables, **report})
        return
    result(f"P@1 on {rows:,} of these rows: {exact:.4f} by all {network.n_outputs:,} outputs, {tables:.4f} by the {scored:,} that tables "
           f"give; trained in {report['seconds']:.1f} s")
    if report["multiply_adds"] >= report["exact_multiply_adds"]:
        result(f"a row takes about {report['multiply_adds']:,.0f} multiply-adds so, and {report['exact_multiply_adds']:,.0f} by all "
               "outputs: here predict without --lsh is cheaper, and exact")
    result(f"written: {out}; answer by tables with: mongoose predict {out} DATA --lsh")
