"""Language models with Scatterbrain attention beside those with its parents alone, at equal memory, and exact attention."""

import time

import numpy as np

from benchmarks.attention_second.caches import read
from mongoose_nb.nn import Linear
from mongoose_nb.reformer import ReformerLM, TextTask

# keys and features of a query are about 64, but for exact attention: a round of hashing reaches two mean buckets, many rounds less, as they
# reach the same keys again
KINDS = {"hashing, 1 round": {"attention": "lsh", "n_hashes": 1, "bucket_size": 32},
         "hashing, 8 rounds": {"attention": "lsh", "n_hashes": 8, "bucket_size": 4},
         "Performer": {"attention": "performer", "n_features": 64},
         "Scatterbrain, 1 round": {"attention": "scatterbrain", "n_features": 32, "n_hashes": 1, "bucket_size": 16},
         "Scatterbrain, 8 rounds": {"attention": "scatterbrain", "n_features": 32, "n_hashes": 8, "bucket_size": 2},
         "exact": {"attention": "full"}}
LENGTH, BATCH, WIDTH = 256, 4, 64


def measure(args):
    """Bits of held-out text after equal steps, for each text, kind and seed."""
    found = []
    for path in args.texts:
        tasks = [TextTask(tokens, 128, LENGTH) for tokens in read(path)]
        table = {name: {"bits": [], "seconds": 0.0} for name in KINDS}
        for seed in args.seeds:
            for name, settings in KINDS.items():
                model = ReformerLM(128, max_length=LENGTH, width=WIDTH, n_layers=2, n_heads=4, ff_width=4 * WIDTH, clip_norm=1.0, lr=3e-3,
                                   reversible=False, lr_schedule=Linear(end=1.0, warmup=100), seed=seed, **settings)
                start = time.process_time()
                model.fit(tasks[0], batches=args.model_steps, batch_size=BATCH)
                table[name]["seconds"] += time.process_time() - start
                table[name]["bits"].append(model.evaluate(tasks[1], batches=16, batch_size=BATCH)["bits"])
                print(path.parent.name, seed, name, table[name], flush=True)
        found.append({"text": path.parent.name, "steps": args.model_steps, "seeds": args.seeds, "table": table})
    return found


def text(found):
    """A table for each text."""
    parts = [f"characters, 2 layers of width {WIDTH}, 4 heads, length {LENGTH}, {found[0]['steps']:,} steps of {BATCH} sequences; about 64 "
             "keys and\nfeatures of a query but for exact attention; bits of held-out text"]
    for entry in found:
        rows = [f"{name:<24}{''.join(f'{bits:12.3f}' for bits in row['bits'])}{np.mean(row['bits']):>8.3f}"
                f"{1000 * row['seconds'] / len(row['bits']) / entry['steps']:>11.0f} ms" for name, row in entry["table"].items()]
        seeds = "".join(f"{f'seed {seed}':>12}" for seed in entry["seeds"])
        head = f"{'attention':<24}{seeds}{'mean':>8}{'CPU a step':>14}"
        parts.append("\n".join([f"{entry['text']}:", head, *rows]))
    return "\n\n".join(parts)
