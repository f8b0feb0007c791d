"""Measure the methods of the family one by one, keep the figures, and write the tables."""

import json
import pathlib

from benchmarks.document import write_block
from benchmarks.family import batches, hardness, labels, lgd, registry, retrievers, serving, solar, tower, wide
from benchmarks.rows import merged

HELP = "SOLAR, LGD, LSH Label, angular hardness, and serving by a target"
PARTS = {"lgd": lgd, "batches": batches, "solar": solar, "tower": tower, "wide": wide, "labels": labels,
         "hardness": hardness, "serving": serving, "retrievers": retrievers, "registry": registry}


def add_arguments(parser):
    """Arguments of ``python -m benchmarks family``."""
    parser.add_argument("--data", type=pathlib.Path, help="folder with a folder for each set")
    parser.add_argument("--parts", nargs="*", choices=list(PARTS), default=list(PARTS), help="what to measure; none writes what was kept")
    parser.add_argument("--keep", type=pathlib.Path, help="JSON file to which figures are added, those of the same part and set replaced")
    parser.add_argument("--docs", type=pathlib.Path, help="folder of the documents, whose tables are written from all that is kept")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PYTHON",
                        help="Python interpreter of an environment with omikuji: --peer omikuji=PYTHON")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="+", default=[], metavar="TEXT", help="of `labels`: measure the samplers whose names contain one "
                        "of these, and keep the others as they were")


def run(args):
    """Figures by part, and all tables as text."""
    found = json.loads(args.keep.read_text(encoding="utf-8")) if args.keep and args.keep.exists() else {}
    for name in args.parts:
        new, before = PARTS[name].measure(args), found.get(name, {})
        if args.only:
            new = merged(before, new)
        found[name] = {**before, **new} if hasattr(PARTS[name], "SETS") else new  # sets that were not there now keep their figures
        if args.keep:
            args.keep.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    text = {name: PARTS[name].text(found[name]) for name in PARTS if name in found}
    if args.docs:
        for name, block in text.items():
            write_block(args.docs / "development" / "family.md", name, block)
    return found, "\n\n".join(text.values())
