"""Measure compressed parameters, and keep the figures that docs/development/compress.md and the page of claims are written from."""

import importlib
import json
import pathlib

from benchmarks.compress import page
from benchmarks.document import write_block
from benchmarks.rows import merged

HELP = "compressed parameters: quality at equal memory, speed and peak memory, beside full tables, smaller ones and PyTorch"
#: part -> what it measures; a module of this folder each
PARTS = {"frappe": "click models on Frappe", "mnist": "STABLE-RPS and ROAST on MNIST", "wide": "670,091 outputs in a tenth of the memory",
         "speed": "lookups, tiled products, training beside PyTorch", "fair": "federated averaging on MovieLens-1M",
         "factorization": "matrix factorisation on MovieLens-1M", "amazon": "Amazon employee access beside scikit-learn"}


def add_arguments(parser):
    """Arguments of ``python -m benchmarks compress``."""
    parser.add_argument("--parts", nargs="+", choices=sorted(PARTS), default=[], help="what to measure; without, only show what was kept: "
                        + "; ".join(f"{name}: {text}" for name, text in PARTS.items()))
    parser.add_argument("--data", type=pathlib.Path, default=pathlib.Path("data"), help="folder with frappe, mnist, ml-1m, amazon-access")
    parser.add_argument("--set", type=pathlib.Path, help="of `wide`: folder with train.npz and test.npz, as for train-step")
    parser.add_argument("--keep", type=pathlib.Path, required=True, help="JSON file to which the figures are added")
    parser.add_argument("--docs", type=pathlib.Path, help="folder of the documents, whose tables and chart are written")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="+", default=[], metavar="TEXT", help="of `frappe`, `factorization`, `fair` and `speed`: measure "
                        "the rows whose names contain one of these, and keep the others as they were")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PYTHON",
                        help="Python interpreter of an environment with torch")


def run(args):
    """Measure, keep, and write the tables."""
    kept = json.loads(args.keep.read_text(encoding="utf-8")) if args.keep.exists() else {}
    for part in args.parts:
        found = importlib.import_module(f"benchmarks.compress.{part}").measure(args)
        kept[part] = merged(kept.get(part), found) if args.only else found
        args.keep.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    text = page.tables(kept)
    if args.docs:
        write_block(args.docs / "development" / "compress.md", "compress", text, markdown=True)
        page.draw(kept, args.docs / "images" / "compress.svg")
    return kept, text
