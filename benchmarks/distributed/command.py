"""Measure what runs on a cluster, keep the figures, and write the tables."""

import json
import pathlib

from benchmarks.distributed import batches, documents, index, kills, large, steps
from benchmarks.document import write_block

HELP = "training, search and duplicates on workers of this machine, a model of the time of a step, and workers that are killed"
PARTS = {"steps": steps, "batches": batches, "large": large, "index": index, "documents": documents, "kills": kills}


def add_arguments(parser):
    """Arguments of ``python -m benchmarks distributed``."""
    parser.add_argument("--data", type=pathlib.Path, help="folder with a folder amazon, which has train.npz and test.npz")
    parser.add_argument("--parts", nargs="*", choices=list(PARTS), default=list(PARTS), help="what to measure; none writes what was kept")
    parser.add_argument("--keep", type=pathlib.Path, help="JSON file to which the figures are added, those of the same part replaced")
    parser.add_argument("--docs", type=pathlib.Path, help="folder of the documents, whose tables are written from all that is kept")
    parser.add_argument("--rows", type=int, default=30_000, help="rows of the set of 670,091 outputs")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--vectors", type=int, default=1_000_000, help="rows of the index")
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--kills", type=int, default=10)


def run(args):
    """Figures by part, and all tables as text."""
    found = json.loads(args.keep.read_text(encoding="utf-8")) if args.keep and args.keep.exists() else {}
    for name in args.parts:
        found[name] = json.loads(json.dumps(PARTS[name].measure(args)))
        if args.keep:
            args.keep.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    text = {name: PARTS[name].text(found[name]) for name in PARTS if name in found}
    if args.docs:
        for name, block in text.items():
            write_block(args.docs / "development" / "distributed.md", name, block)
    return found, "\n\n".join(text.values())
