"""A character language model with exact attention and with hashing, at equal steps: bits per character."""

import json
import lzma
import pathlib

import numba
import numpy as np

from benchmarks.reformer_runs import Runs, seconds
from mongoose_nb.nn import Linear
from mongoose_nb.reformer import ReformerLM, TextTask
from mongoose_nb.reformer.text import Characters


def read(path, characters):
    """(training text, test text) of so many characters in all: of a folder with eurlex57k_*.jsonl.xz, or of a text file."""
    path = pathlib.Path(path)
    if not path.is_dir():
        text = path.read_text(encoding="utf-8")[:characters]
        return text[: len(text) * 9 // 10], text[len(text) * 9 // 10:]
    out = []
    for part, most in (("train", characters * 9 // 10), ("test", characters // 10)):
        texts, size = [], 0
        with lzma.open(path / f"eurlex57k_{part}.jsonl.xz", "rt", encoding="utf-8") as file:
            for line in file:
                texts.append(json.loads(line)["text"])
                size += len(texts[-1])
                if size >= most:
                    break
        out.append("\n".join(texts)[:most])
    return out


def run(args):
    """Train, score; see ``python -m benchmarks charlm --help``."""
    train, test = read(args.data, args.characters)
    characters = Characters.of(train, args.tokens)
    tasks = [TextTask(characters.encode(text), len(characters), args.length) for text in (train, test)]
    counts = np.bincount(tasks[1].tokens, minlength=len(characters)) / len(tasks[1].tokens)
    entropy = float(-sum(p * np.log2(p) for p in counts if p))
    runs = Runs(args.work, args.minutes)
    result = {"characters": len(train), "tokens": len(characters), "unigram_bits": entropy}
    lines = [f"{len(train):,} characters to train, {len(characters)} tokens, unigram entropy {entropy:.3f} bits; 2 layers, "
             f"width {args.width}, 4 heads, length {args.length:,}, buckets of {args.bucket_size}, {args.batch_size} sequences a step, "
             f"{numba.get_num_threads()} threads",
             f"{'attention':12}{'steps':>8}{'minutes':>9}{'tokens/s':>10}{'bits':>8}   bits on the way"]
    for name in args.systems.split(","):
        kind, _, rounds = name.strip().partition(" ")

        def make(kind=kind, rounds=rounds):
            return ReformerLM(len(characters), max_length=args.length, width=args.width, n_layers=2, n_heads=4, ff_width=4 * args.width,
                              attention=kind, n_hashes=int(rounds or 1), bucket_size=args.bucket_size, clip_norm=1.0, lr=args.lr,
                              lr_schedule=Linear(end=1.0, warmup=100))

        model, history = runs.train(f"{kind}{rounds}-{args.length}", make, tasks[0], steps=args.steps, every=args.every,
                                    validation=tasks[1], batch_size=args.batch_size, eval_batches=4)
        if not history:
            continue
        scores = model.evaluate(tasks[1], batches=args.eval_batches, batch_size=args.batch_size)
        spent = seconds(history)
        result[name] = {"steps": model.step, "seconds": spent, "bits": scores["bits"], "way": [(e["step"], e["bits"]) for e in history]}
        speed = sum(e["tokens_per_s"] * e["seconds"] for e in history) / spent
        way = " ".join(f"{e['bits']:.3f}" for e in history[:: max(1, len(history) // 8)])
        lines.append(f"{name:12}{model.step:8,}{spent / 60:9.1f}{speed:10,.0f}{scores['bits']:8.4f}   {way}")
    common = min((way[-1][0] for way in (entry["way"] for entry in result.values() if isinstance(entry, dict))), default=0)
    at = {name: dict(entry["way"])[common] for name, entry in result.items() if isinstance(entry, dict)}
    lines.append(f"after {common:,} steps each: " + ", ".join(f"{name} {bits:.3f}" for name, bits in at.items()))
    return result, "\n".join(lines)
