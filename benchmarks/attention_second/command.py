"""Scatterbrain beside its parents, generation with a cache, caches that forget, strictness, and prediction from sets."""

import json
import pathlib

from benchmarks.attention_second import caches, errors, generation, inversion, models, sets, strict, trained
from benchmarks.document import write_block

HELP = "errors of Scatterbrain, generation with a cache, perplexity with caches that forget, what strictness costs, prediction from sets"
PARTS = {"errors": errors, "trained": trained, "generation": generation, "caches": caches, "models": models, "strict": strict,
         "sets": sets, "inversion": inversion}
# what pages for users say, beside the tables of development/attention-second.md
SAID = {"generation": ("attention.md", generation.sentence), "caches": ("attention.md", caches.sentence),
        "strict": ("attention.md", strict.sentence), "sets": ("sets.md", sets.sentence), "inversion": ("sets.md", inversion.sentence)}


def add_arguments(parser):
    """Arguments of ``python -m benchmarks attention_second``."""
    parser.add_argument("--parts", nargs="*", choices=list(PARTS), default=list(PARTS), help="what to measure; none writes what was kept")
    parser.add_argument("--keep", type=pathlib.Path, help="JSON file to which the figures are added, those of the same part replaced")
    parser.add_argument("--docs", type=pathlib.Path, help="folder of the documents, whose tables are written from all that is kept")
    parser.add_argument("--texts", type=pathlib.Path, nargs="+", default=[], help="caches, trained, models and strict: text files or "
                        ".jsonl of documents, compressed or not; strict takes the first")
    parser.add_argument("--torch", help="generation: a Python that has PyTorch, to be compared with")
    parser.add_argument("--mnist", type=pathlib.Path, help="sets: folder of MNIST, four .gz files")
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("work"), help="caches and trained: folder for models; the same "
                        "call goes on")
    parser.add_argument("--minutes", type=float, default=30.0, help="caches and trained: time for training in this call")
    parser.add_argument("--length", type=int, default=1024, help="caches: tokens of a window")
    parser.add_argument("--windows", type=int, default=6, help="caches: windows that are scored")
    parser.add_argument("--width", type=int, default=64, help="caches: of the model")
    parser.add_argument("--steps", type=int, default=3000, help="caches: of training")
    parser.add_argument("--strict-steps", type=int, default=300, help="strict: of training")
    parser.add_argument("--model-steps", type=int, default=400, help="models: of training")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2], help="models: of weights, hashes and features")
    parser.add_argument("--epochs", type=int, default=20, help="inversion: of training")


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
        for part, (page, sentence) in SAID.items():
            if part in found:
                write_block(args.docs / page, part, sentence(found[part]), markdown=True)
    return found, "\n\n".join(texts.values())
