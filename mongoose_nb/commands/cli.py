"""The command `mongoose`: arguments, errors and exit codes. Each command is a module of `mongoose_nb.commands`.

Exit codes: 0; 1 where the work failed; 2 for input or usage that cannot be right; 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from mongoose_nb import __version__
from mongoose_nb.commands.clicks import add_arguments as add_clicks_arguments
from mongoose_nb.commands.compress import add_arguments as add_compress_arguments
from mongoose_nb.commands.console import note, one_line
from mongoose_nb.commands.genes import add_arguments as add_genes_arguments
from mongoose_nb.commands.index import add_arguments as add_index_arguments
from mongoose_nb.commands.options import add_options
from mongoose_nb.commands.reformer_options import add_arguments as add_reformer_arguments
from mongoose_nb.commands.values import INTEGER, NUMBER

# Errors that the user can correct.
USAGE_ERRORS = (ValueError, TypeError, FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError)


EXAMPLES = """
examples:
  mongoose train reviews.csv --out runs/reviews
      texts and labels, in the columns 'text' and 'label'; then: mongoose predict runs/reviews "some text"
  mongoose train train.txt --test test.txt --out runs/first --epochs 5
      rows of numbers in the format of the Extreme Classification Repository, scored on a test set
  mongoose train train.svm --validation 0.1 --early-stopping 2 --hidden 256 --lr 0.001 --out runs/second
      libsvm; a tenth of the rows decides when to stop
"""


class Paragraphs(argparse.HelpFormatter):
    """As argparse formats help; a text with line breaks keeps them."""

    def _fill_text(self, text, width, indent):
        if "\n" in text:
            return "".join(indent + line for line in text.splitlines(keepends=True))
        return super()._fill_text(text, width, indent)


class Parser(argparse.ArgumentParser):
    """A parser that reports errors in one line."""

    def error(self, message: str) -> NoReturn:
        """Exit with the message and a hint."""
        note(f"{self.prog}: error: {message}; see {self.prog} --help")
        raise SystemExit(2)


def build_parser() -> Parser:
    """The parser of the whole command line; `args.parser` is that of the command."""
    parser = Parser(prog="mongoose", allow_abbrev=False,
                    description="Train and serve networks with very wide output layers on CPUs by locality-sensitive hashing.")
    parser.add_argument("--version", action="version", version=f"mongoose_nb {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    def command(name, text, *, threads=True, epilog=None):
        sub = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".", epilog=epilog, allow_abbrev=False,
                                  formatter_class=Paragraphs)
        sub.set_defaults(parser=sub)
        every(sub, threads)
        return sub

    def every(sub, threads=True):
        sub.add_argument("--json", action="store_true", help="JSON on stdout")
        sub.add_argument("--debug", action="store_true", help="show the traceback of an error")
        if threads:
            sub.add_argument("--threads", type=INTEGER, metavar="N", help="Numba threads; results do not depend on them")

    demo = command("demo", "train an LSH network and its exact twin on the data that comes with the package")
    demo.add_argument("--epochs", type=INTEGER, metavar="N", help="passes over the training data")
    demo.add_argument("--seed", type=INTEGER, metavar="N", help="seed of everything random (default 0)")

    train = command("train", "train a network on a file and write a directory with settings, metrics and network",
                    epilog="RUN/settings.json records the values of all options.\n" + EXAMPLES)
    train.usage = "%(prog)s DATA --out RUN [OPTIONS]\n       %(prog)s --resume RUN [--epochs N]"
    train.add_argument("data", nargs="?", metavar="DATA", help="training data: a file, or a directory with train and test")
    train.add_argument("--out", metavar="RUN", help="directory to write")
    train.add_argument("--overwrite", action="store_true", help="replace the run in a directory that is not empty")
    train.add_argument("--resume", metavar="RUN",
                       help="resume RUN/model.mongoose until --epochs in all, with the same result as without an interruption; DATA may "
                       "have been moved, but not changed")
    train.add_argument("--scheduler", metavar="ADDRESS", help="train with the outputs spread over the workers of a Dask cluster, which see "
                       "RUN under the same path, such as tcp://host:8786; what ranks the outputs is trained here afterwards")
    train.add_argument("--config", metavar="TOML", help="file with settings under the names of these flags, which win")
    add_options(train)

    def table_of_texts(sub, *more):
        sub.add_argument("--format", default="auto", choices=("xc", "svmlight", "npz", "csv", "jsonl", *more, "auto"),
                         help="the form of DATA (default auto: by its name, or its first line)")
        sub.add_argument("--text-column", metavar="NAME", help="csv, jsonl: column of the text (default: as in training)")
        sub.add_argument("--label-column", metavar="NAME", help="csv, jsonl: column of the labels (default: as in training)")
        sub.add_argument("--label-separator", metavar="TEXT", help="csv, jsonl: what stands between the labels of a cell")

    def common(sub, part="test", name="DATA", text=None):
        sub.add_argument("model", metavar="RUN_OR_MODEL", help="directory of mongoose train, or a file of Network.save")
        sub.add_argument("data", metavar=name, help=text or f"a file, or a directory with train and test, of which {part} is used")
        table_of_texts(sub, *["lines"] * (text is not None))
        sub.add_argument("--zero-based", action=argparse.BooleanOptionalAction, default=None,
                         help="svmlight: features count from 0 (default: as in the training data of RUN)")

    def answers(sub, *data):
        common(sub, "test", *data)
        sub.add_argument("--k", type=INTEGER, metavar="K", help="outputs per row (default 5)")
        sub.add_argument("--lsh", action="store_true", help="score only what the hash tables retrieve (see fit-serving)")

    evaluate = command("evaluate", "score a network on labelled data: P@k, nDCG@k, recall R@k, PSP@k")
    answers(evaluate)
    evaluate.add_argument("--train", metavar="DATA", help="training data, whose label counts give the propensities for PSP@k")
    evaluate.add_argument("--A", type=NUMBER, help="propensity constant (default 0.55)")
    evaluate.add_argument("--B", type=NUMBER, help="propensity constant (default 1.5)")

    predict = command("predict", "print the best outputs of every row, or of a text",
                      epilog="A line has 'id:score id:score ...', scores being logits, or those of a ranking where the run has one; "
                      "where labels have names, "
                      "'name<TAB>score<TAB>name ...'. A single text gets a line for each answer.")
    answers(predict, "TEXT_OR_DATA", "a text, where the network was trained on texts; - for a text on each line of stdin; "
            "a file of texts (csv, jsonl, or lines) or of rows of numbers")
    predict.add_argument("--probabilities", action="store_true", help="probabilities instead of scores")
    predict.add_argument("--out", metavar="FILE", help="write there instead of stdout")

    serving = command("fit-serving", "train hash tables for fast prediction (predict --lsh), and save them with the network")
    common(serving, "train")
    serving.add_argument("--candidates", type=INTEGER, metavar="N", help="outputs to score for a row (default a hundredth, at least 100)")
    serving.add_argument("--target", type=NUMBER, metavar="SHARE",
                         help="choose the candidates: as few as give a P@1 at most so much below that of all outputs, such as 0.002")
    serving.add_argument("--validation", metavar="FILE",
                         help="rows for --target that the network was not trained on (default: some of the data)")
    serving.add_argument("--retriever", metavar="NAME",
                         help="another way to find outputs: exact | index | solar | ivf (default: tables with trained functions)")
    serving.add_argument("--rows", type=INTEGER, metavar="N", default=2000, help="rows on which exact and approximate P@1 are compared")
    serving.add_argument("--out", metavar="FILE", help="write the network there instead of replacing it")

    index = commands.add_parser("index", help="build, query, tune and describe a nearest-neighbour index", allow_abbrev=False)
    add_index_arguments(index, every)

    genes = commands.add_parser("genes", help="index genomes and find the ones that reads come from", allow_abbrev=False)
    add_genes_arguments(genes, every)

    reformer = command("reformer", "train a language model with LSH attention on the copy task or on a text file",
                       epilog="A list takes one value, or one for every layer. RUN/settings.json records all values.")
    add_reformer_arguments(reformer)

    add_clicks_arguments(command("clicks", "train a click model on categories and numbers, from a CSV or libfm file"))
    add_compress_arguments(command("compress", "report size, error and lookup speed of a model's tables under each index map"))

    report = command("report", "write a page with loss, P@1, recall, drift, buckets and time of training runs", threads=False)
    report.add_argument("runs", nargs="+", metavar="RUN", help="directory of mongoose train; several are compared")
    report.add_argument("-o", "--out", default="report.html", metavar="FILE", help="page to write (default report.html)")

    cluster = command("cluster-check", "check the workers of a Dask cluster: versions, kernels, memory, connection", threads=False)
    cluster.add_argument("address", metavar="ADDRESS", help="of the scheduler, such as tcp://host:8786")
    cluster.add_argument("--directory", metavar="DIR", help="check that all workers see this directory of the client and can write "
                         "there, as a run or a checkpoint needs it")
    cluster.add_argument("--timeout", type=NUMBER, default=10.0, metavar="S", help="seconds to wait for scheduler and workers (default 10)")

    command("doctor", "check compiler, extension, kernels, threads, caches and machine, with advice", threads=False)
    command("warmup", "compile the common kernels now, and keep them")
    command("info", "report versions, threads, caches and what of the machine matters", threads=False)
    return parser


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the arguments, or raise SystemExit. For an unknown flag the message names similar ones."""
    parser = build_parser()
    args, unknown = parser.parse_known_args(argv)
    if args.command is None:
        parser.error(f"unrecognized argument {unknown[0]}" if unknown else "a COMMAND is missing")
    if unknown:
        flags = [flag for action in args.parser._actions for flag in action.option_strings]
        close = difflib.get_close_matches(unknown[0].split("=")[0], flags, 3)
        args.parser.error(f"unrecognized argument {unknown[0]}" + (f", did you mean {' or '.join(close)}?" if close else ""))
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : list of str, optional
        Arguments; those of the program by default.

    Returns
    -------
    int
        Exit code.
    """
    if argv is None:
        # On busy machines the threads of GNU OpenMP, which spin by default, lose a time slice at the end of every parallel
        # loop. Read when the library is loaded; as a program we may decide that, as a module we may not.
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        if not (sys.argv[1:] if argv is None else argv):
            build_parser().print_help()
            return 0
        args = parse(argv)
    except SystemExit as stop:
        return int(stop.code or 0)
    try:
        code = importlib.import_module(f"mongoose_nb.commands.{args.command.replace('-', '_')}").run(args)
        sys.stdout.flush()
        return code or 0
    except KeyboardInterrupt as interrupt:
        below = "\n" if sys.stderr.isatty() else ""  # the terminal's ^C
        note(f"{below}mongoose: {str(interrupt) or 'interrupted'}")
        return 130
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if args.debug:
            raise
        if isinstance(error, (*USAGE_ERRORS, ImportError)):
            note(f"mongoose {args.command}: error: {one_line(error)}")
            return 2 if isinstance(error, USAGE_ERRORS) else 1
        if isinstance(error, MemoryError):
            note(f"mongoose {args.command}: error: not enough memory: {one_line(error)}")
            return 1
        known = isinstance(error, FloatingPointError | OSError)
        note(f"mongoose {args.command}: error: {'' if known else type(error).__name__ + ': '}{one_line(error)}"
             f"{'' if known else ' (--debug shows where)'}")
        return 1
