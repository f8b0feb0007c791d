"""The copy task: models trained with exact attention and with few or many rounds of hashing, each scored with all of them."""

import numba
import numpy as np

from benchmarks.reformer_runs import Runs, seconds
from mongoose_nb.attention import LearnedRotations, LSHAttention, attention_mass
from mongoose_nb.attention.rotations import count_buckets
from mongoose_nb.reformer import CopyTask, ReformerLM

SCORED = {"full": {"attention": "full"}, "8": {"attention": "lsh", "n_hashes": 8}, "4": {"attention": "lsh", "n_hashes": 4},
          "2": {"attention": "lsh", "n_hashes": 2}, "1": {"attention": "lsh", "n_hashes": 1}}
# Table 2 of the paper: length 1,024, one layer, width 256, 127 symbols, 150,000 steps.
PAPER = {"full": (100, 94.8, 92.5, 76.9, 52.5), "lsh 4": (0.8, 100, 99.9, 99.4, 91.9), "lsh 2": (0.8, 100, 99.9, 98.1, 86.8),
         "lsh 1": (0.8, 99.9, 99.6, 94.8, 77.9)}


LOSSES = ("contrast", "triplet")


def recovered(model, task, bucket_size):
    """Shares of the exact attention mass within the buckets of one and two rounds, by layer: random rotations (mean of four draws) and
    rotations that learned from the layer's queries of other sequences."""
    cores, seen = model.cores, []
    for core in cores:
        def record(qk, *rest, forward=core.forward, **named):
            seen.append(np.ascontiguousarray(qk))
            return forward(qk, *rest, **named)

        core.forward = record
    model.evaluate(task, batches=2, batch_size=8)
    for core in cores:
        del core.forward
    out = []
    for layer, (one, other) in enumerate(zip(seen[:len(cores)], seen[len(cores):])):
        for rounds in (1, 2):
            def share(rotations, seed=0, other=other, rounds=rounds):
                attention = LSHAttention(rounds, bucket_size, True, rotations, seed, kind="lsh", exact_below=0)
                return float(attention_mass(attention, other).union[:, -1].mean())

            entry = {"layer": layer, "rounds": rounds, "random": float(np.mean([share("random", seed) for seed in range(4)]))}
            for loss in LOSSES:
                buckets = max(2, count_buckets(task.length, bucket_size))
                rotations = LearnedRotations(one.shape[1], rounds, one.shape[3], buckets, loss=loss, seed=1)
                rotations.learn(LSHAttention(rounds, bucket_size, True, rotations, 0, kind="lsh", exact_below=0), one)
                entry[loss] = share(rotations)
            out.append(entry)
    return out


def run(args):
    """Train what is not trained yet, score what is; see ``python -m benchmarks copy-task --help``."""
    runs, task = Runs(args.work, args.minutes), CopyTask(16, args.length)
    result = {"length": args.length, "bucket_size": args.bucket_size, "batch_size": args.batch_size, "threads": numba.get_num_threads()}
    lines = [f"copy task of length {args.length:,}, 2 layers, width 128, 4 heads, 16 tokens, buckets of {args.bucket_size}, "
             f"{args.batch_size} sequences a step, {numba.get_num_threads()} threads; accuracy in % on "
             f"{args.eval_batches * args.batch_size:,} fresh sequences, new rotations",
             f"{'trained with':14}{'steps':>8}{'minutes':>9}{'tokens/s':>10}" + "".join(f"{name:>8}" for name in SCORED) + "   paper's"]
    for name in args.systems.split(","):
        kind, _, rounds = name.strip().partition(" ")

        def make(kind=kind, rounds=rounds):
            return ReformerLM(16, max_length=args.length, width=128, n_layers=2, n_heads=4, attention=kind, n_hashes=int(rounds or 1),
                              bucket_size=args.bucket_size, clip_norm=1.0, dropout=args.dropout, seed=args.seed)

        model, history = runs.train(f"{kind}{rounds}-{args.length}", make, task, steps=args.steps, every=args.every, enough=args.enough,
                                    batch_size=args.batch_size, eval_batches=8)
        if not history:
            continue
        row = {"steps": model.step, "seconds": seconds(history), "tokens_per_s": sum(e["tokens_per_s"] * e["seconds"] for e in history)
               / seconds(history), "history": [(e["step"], e["seconds"], e["accuracy"]) for e in history]}
        for column, how in SCORED.items():
            how = how if kind not in ("triplet", "contrast") or column == "full" else {"n_hashes": how["n_hashes"]}
            if kind in ("triplet", "contrast") and column not in ("full", rounds):
                continue  # there are as many learned rotations as rounds
            row[column] = model.evaluate(task, batches=args.eval_batches, batch_size=args.batch_size, **how)["accuracy"]
        result[name] = row
        cells = "".join(f"{100 * row[c]:8.2f}" if c in row else f"{'-':>8}" for c in SCORED)
        paper = " ".join(map(str, PAPER[name])) if name in PAPER else ""
        lines.append(f"{name:14}{model.step:8,}{row['seconds'] / 60:9.1f}{row['tokens_per_s']:10,.0f}{cells}   {paper}")
        if args.mass:
            row["mass"] = recovered(model, task, args.bucket_size)
    if args.mass:
        lines = [f"copy task of length {args.length:,}: share of the exact attention mass that buckets of {args.bucket_size} recover, mean "
                 "of the heads; rotations learned on 8 sequences, measured on 8 others",
                 f"{'model trained with':20}{'layer':>6}{'rounds':>8}{'random':>9}" + "".join(f"{loss:>10}" for loss in LOSSES)]
        lines += [f"{name:20}{m['layer']:6}{m['rounds']:8}{m['random']:9.3f}" + "".join(f"{m[loss]:10.3f}" for loss in LOSSES)
                  for name in args.systems.split(",") if name in result for m in result[name]["mass"]]
        return result, "\n".join(lines)
    lines.append("paper's: length 1,024, one layer, width 256, 127 symbols, 150,000 steps")
    return result, "\n".join(lines)
