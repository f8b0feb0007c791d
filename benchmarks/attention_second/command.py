"""Scatterbrain's errors beside its parents', speed of generation, and perplexity with caches that forget."""

import json
import pathlib

from benchmarks.attention_second import caches, errors, generation, sets
from benchmarks.document import write_block

HELP = "errors of Scatterbrain, speed of generation with a cache, perplexity with caches that forget"
PARTS = {"errors": errors, "generation": generation, "caches": caches, "sets": sets}


def add_arguments(parser):
    """Arguments of ``python -m benchmarks attention_second``."""
    parser.add_argument("--parts", nargs="*", choices=list(PARTS), default=list(PARTS), help="what to measure; none writes what was kept")
    parser.add_argument("--keep", type=pathlib.Path, help="JSON file to which the figures are added, those of the same part replaced")
    parser.add_argument("--docs", type=pathlib.Path, help="folder of the documents, whose tables are written from all that is kept")
    parser.add_argument("--texts", type=pathlib.Path, nargs="+", default=[], help="caches: text files, compressed or not")
    parser.add_argument("--mnist", type=pathlib.Path, help="sets: folder of MNIST, four .gz files")
    parser.add_argument("--length", type=int, default=256, help="caches: tokens of a window")
    parser.add_argument("--windows", type=int, default=6, help="caches: windows that are scored")
    parser.add_argument("--width", type=int, default=64, help="caches: of the model")
    parser.add_argument("--steps", type=int, default=300, help="caches: of training")


def run(args):
    """Measure, keep, write."""
    found = {} if args.keep is None or not args.keep.exists() else json.loads(args.keep.read_text(encoding="utf-8"))
    for part in args.parts:
        found[part] = json.loads(json.dumps(PARTS[part].measure(args)))
        if args.keep is not None:
            args.keep.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    texts = {part: module.text(found[part]) for part, module in PARTS.items() if part in found}
    if args.docs is not None:
        for part, text in texts.items():
            write_block(args.docs / "development" / "attention-second.md", part, text)
    return found, "\n\n".join(texts.values())
