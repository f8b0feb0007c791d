"""What strictly causal hashing costs beside causal hashing: bits, and time of a training step and of a forward pass."""

import time

import numpy as np

from benchmarks.attention_second.caches import read
from mongoose_nb.nn import Linear
from mongoose_nb.reformer import ReformerLM, TextTask

MODES = {"causal": False, "strictly causal": True}
SEEDS, LENGTH, BATCH, ROUNDS, BUCKET, WIDTH, TIMED = (1, 2), 256, 8, 4, 16, 64, 15


def timed(models, task, steps):
    """Median seconds of a training step and of a forward pass of each model, in turn, so that all meet the same load."""
    found = {name: ([], []) for name in models}
    tokens = task.batch(0, BATCH, train=False)[0][:, :LENGTH]
    for _ in range(steps):
        for name, model in models.items():
            start = time.perf_counter()
            model.logits(tokens)
            middle = time.perf_counter()
            model.fit(task, batches=1, batch_size=BATCH)
            found[name][0].append(time.perf_counter() - middle)
            found[name][1].append(middle - start)
    return {name: [float(np.median(seconds)) for seconds in pair] for name, pair in found.items()}


def measure(args):
    """Models with the same seeds and steps on the first text."""
    tasks = [TextTask(tokens, 128, LENGTH) for tokens in read(args.texts[0])]
    bits = {name: [] for name in MODES}
    for seed in SEEDS:
        models = {name: ReformerLM(128, max_length=LENGTH, width=WIDTH, n_layers=2, n_heads=4, ff_width=4 * WIDTH,
                                   n_hashes=ROUNDS, bucket_size=BUCKET, clip_norm=1.0, lr=3e-3, lr_schedule=Linear(end=1.0, warmup=100),
                                   strict=strict, seed=seed) for name, strict in MODES.items()}
        for name, model in models.items():
            model.fit(tasks[0], batches=args.strict_steps, batch_size=BATCH)
            bits[name].append(model.evaluate(tasks[1], batches=16, batch_size=BATCH)["bits"])
    seconds = timed(models, tasks[0], TIMED)
    return {"text": args.texts[0].parent.name, "steps": args.strict_steps,
            "table": {name: {"bits": bits[name], "step": seconds[name][0], "forward": seconds[name][1]} for name in MODES}}


def sentence(found):
    """What it costs, for the guide."""
    causal, strict = found["table"].values()
    gap = np.mean(strict["bits"]) - np.mean(causal["bits"])
    return (f"What it costs: after {found['steps']:,} steps on characters, {gap:+.3f} bits per character (mean of {len(SEEDS)} seeds), "
            f"{strict['step'] / causal['step']:.2f} times the time of a training step and\n"
            f"{strict['forward'] / causal['forward']:.2f} times that of a forward pass "
            "([table](development/attention-second.md#strictness)).")


def text(found):
    """A table."""
    lines = [f"{found['text']}: characters, 2 layers of width {WIDTH}, 4 heads, {ROUNDS} rounds, buckets of {BUCKET}, length {LENGTH}, "
             f"{found['steps']:,} steps", f"of {BATCH} sequences; times are medians of {TIMED}, taken in turn", "",
             f"{'hashing':<18}{'  '.join(f'bits, seed {seed}' for seed in SEEDS):>28}{'step':>10}{'forward':>10}"]
    return "\n".join(lines + [
        f"{name:<18}{''.join(f'{bits:14.3f}' for bits in row['bits'])}{1000 * row['step']:>7.0f} ms{1000 * row['forward']:>7.0f} ms"
        for name, row in found["table"].items()])
