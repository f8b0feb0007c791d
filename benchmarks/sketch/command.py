"""Measure sketches: parts of the benchmark, figures that are kept, the tables of docs/development/sketch.md."""

import importlib
import json
import pathlib

from benchmarks.document import write_block

HELP = "k-mer hashes, gene indexes and density sketches, beside rbloom, pybloomfiltermmap3, sourmash and scikit-learn"
PARTS = ("hashing", "speed", "keys", "search", "density", "large")


def add_arguments(parser):
    """Arguments of ``python -m benchmarks sketch``."""
    parser.add_argument("--data", type=pathlib.Path, help="folder with the folders genomes and anomaly; without, only show what was kept")
    parser.add_argument("--parts", default=",".join(PARTS), help="comma-separated; all by default")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PYTHON", help="Python interpreter of an environment with "
                        "rbloom, pybloomfiltermmap3 and sourmash: --peer sketch=PYTHON")
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("/tmp/mongoose-sketch"), help="folder for large files")
    parser.add_argument("--rounds", type=int, default=5, help="repetitions of what is timed")
    parser.add_argument("--letters", type=int, default=3_000_000_000, help="letters of the synthetic collection of part large")
    parser.add_argument("--keep", type=pathlib.Path, help="JSON file to which the figures are added")
    parser.add_argument("--docs", type=pathlib.Path, help="folder of the documents, whose tables and charts are written from what is kept")


def run(args):
    """Measure, keep, write."""
    kept = json.loads(args.keep.read_text(encoding="utf-8")) if args.keep and args.keep.exists() else {}
    peers = dict(pair.split("=", 1) for pair in args.peer)
    if args.data is not None:
        for part in args.parts.split(","):
            kept[part] = importlib.import_module(f"benchmarks.sketch.{part}").measure(args, peers)
            if args.keep:
                args.keep.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    from benchmarks.sketch.tables import tables

    texts = tables(kept)
    if args.docs:
        from benchmarks.sketch.charts import draw

        for name, text in texts.items():
            write_block(args.docs / "development" / "sketch.md", name, text, markdown=True)
        draw(kept, args.docs)
    return kept, "\n\n".join(texts.values())
