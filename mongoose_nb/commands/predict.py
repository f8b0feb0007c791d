"""`mongoose predict`: the best outputs of every row of a file, or of a text."""

from __future__ import annotations

import argparse
import os
import re
import sys
from typing import Any

from mongoose_nb.commands.console import note, result, to_json
from mongoose_nb.commands.datasets import data_files, guess_format, read_for, table_like
from mongoose_nb.commands.runs import load_network, model_files, text_columns
from mongoose_nb.commands.warm import compiling, threads
from mongoose_nb.core.outputs import check_file

# Rows that are predicted, and turned into text, at a time.
BLOCK = 8192
# What looks like the name of a file and not like a text.
_FILE = re.compile(r"\S*(/|\\|\.(txt|csv|tsv|jsonl?|ndjson|npz|svm|libsvm|gz|bz2|xz|zip))\S*", re.I)


def run(args: argparse.Namespace) -> None:
    """Write one line per row."""
    if args.out is not None:
        check_file("--out", args.out, [*model_files(args.model), *data_files(args.data)])
    with threads(args.threads), compiling():
        network, zero_based = load_network(args.model)
        zero_based = zero_based if args.zero_based is None else args.zero_based
        single = args.data != "-" and not os.path.exists(args.data) and network.text is not None and not _FILE.fullmatch(args.data)
        X = _rows(network, zero_based, single, args)
        k = min(5, network.n_outputs) if args.k is None else args.k
        lines = _answers if single and not args.json else _lines
        first = lines(network, X, 0, k, args)  # what cannot be predicted is refused before a file is touched
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


def _rows(network: Any, zero_based: bool | None, single: bool, args: argparse.Namespace) -> Any:
    """The rows to predict for."""
    if single:
        X = network.rows([args.data])
        if X.nnz == 0:
            note("no word of the text is one that the network knows")
        return X
    if args.data == "-":
        if network.text is None:
            raise ValueError(f"{args.model} was trained on numbers; - is for texts, one on each line of stdin")
        from mongoose_nb.data._files import as_text, split_lines

        given = getattr(sys.stdin, "buffer", None)  # bytes: a terminal's encoding, or its way with errors, is not that of the texts
        texts = split_lines(sys.stdin.read() if given is None else as_text(given.read(), "stdin"))
        if not texts:
            raise ValueError("there is no text on stdin")
        return network.rows(texts)
    if network.text is None and not os.path.exists(args.data):
        more = "" if _FILE.fullmatch(args.data) else ", and the network was trained on numbers, so that it cannot be a text"
        raise FileNotFoundError(f"there is no file {args.data!r}{more}")
    if network.text is not None and args.format in ("auto", "lines") and not _of_numbers(args):
        from mongoose_nb.data import read_texts

        return network.rows(read_texts(args.data, format="lines", labels=False).texts)
    columns = text_columns(args.model, args.text_column, args.label_column, args.label_separator)
    return read_for(network, args.data, args.format, zero_based, labels=False, columns=columns).X


def _of_numbers(args):
    """Whether a file is a table, or rows of numbers, and not lines of text."""
    if args.format == "lines":
        return False
    if os.path.isdir(args.data) or table_like(args.data, "auto"):
        return True
    if guess_format(args.data) == "npz":
        return True
    from mongoose_nb.data._files import open_data

    with open_data(args.data) as file:
        head = file.readline(1 << 16).split()
    header = len(head) == 3 and all(token.isdigit() for token in head)  # of the xc format
    return header or len(head) > 1 and all(re.fullmatch(rb"\d+:\S+", token) for token in head[1:])


def _best(network, X, lo, k, args):
    """(ids, names or None, scores) of every row of the block from `lo` on. Hash tables may return fewer than k outputs."""
    ids, scores = network.predict_topk(X[lo:lo + BLOCK], k, exact=not args.lsh, probabilities=args.probabilities)
    for row, values in zip(ids.tolist(), scores.tolist()):
        pairs = [(label, value) for label, value in zip(row, values) if label >= 0]
        names = None if network.label_names is None else [str(network.label_names[label]) for label, _ in pairs]
        yield [label for label, _ in pairs], names, [value for _, value in pairs]


def _lines(network, X, lo, k, args):
    """Text of the block of rows from `lo` on."""
    lines = []
    for i, (ids, names, scores) in enumerate(_best(network, X, lo, k, args)):
        if args.json:
            named = {} if names is None else {"names": names}
            lines.append(to_json({"row": lo + i, "ids": ids, **named, "scores": [float(f"{score:.7g}") for score in scores]}))
        elif names is None:
            lines.append(" ".join(f"{label}:{score:.6g}" for label, score in zip(ids, scores)))
        else:
            lines.append("\t".join(f"{_one_word(name)}\t{score:.6g}" for name, score in zip(names, scores)))
    return lines


def _answers(network, X, lo, k, args):
    """A line for each answer to a single text."""
    ((ids, names, scores),) = _best(network, X, lo, k, args)
    return [f"{score:9.4f}  {_one_word(name)}" for name, score in zip(ids if names is None else names, scores)]


def _one_word(name):
    return re.sub(r"[\t\r\n]+", " ", str(name))
