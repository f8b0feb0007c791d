"""P@1 after the same seconds: uniform candidates set the time, hashed ones get as many steps as fit into it.

Every system has a learning rate that falls to zero by its last step, so that what is compared are finished trainings, and none is looked
at in the middle of one.
"""

import math

import numpy as np

from benchmarks.systems import BATCH, Ours
from mongoose_nb import data, nn


def systems(size, shape):
    """Samplers by name, the one that sets the time first."""
    return {
        "uniform": nn.Uniform(size, shape=shape),
        "random": nn.LSH(size, shape=shape),
        "random, uncentred": nn.LSH(size, shape=shape, tables=nn.Tables(center=False, L=16)),
        "learned": nn.LSH(size, shape=shape, tables=nn.Tables(learn="contrast")),
        "learned + drift": nn.LSH(size, shape=shape, tables=nn.Tables(learn="contrast", rehash="drift")),
        **({"auto": nn.Auto()} if (shape, size) == ("batch", 1000) else {}),
    }


def _train(sampler, sets, *, lr, seed, batches):
    """(seconds, P@1 on all test rows) of so many steps on rows drawn in the order that all systems of a seed share."""
    system = Ours(sampler, sets, lr=lr, seed=seed)
    system.net.lr_schedule = nn.Linear()
    return system.train(batches)["seconds"], system.score(sets[2].shape[0])


def run(args):
    """Measure one set. See ``python -m benchmarks equal-time --help``."""
    sets = data.load_dataset(args.set)
    per_epoch = sets[0].shape[0] // BATCH
    batches = round(args.epochs * per_epoch)
    found = []
    for shape in args.shapes:
        for size in args.sizes:
            chosen = systems(size, shape)
            for sampler in chosen.values():  # compile
                _train(sampler, sets, lr=args.lrs[0], seed=0, batches=2)
            for lr in args.lrs:
                runs = {name: [] for name in chosen}
                for seed in range(args.seeds):
                    limit = None
                    for name, sampler in chosen.items():
                        seconds, score = _train(sampler, sets, lr=lr, seed=seed, batches=batches)
                        limit = limit or seconds
                        steps = batches if name == "uniform" else max(1, round(batches * limit / seconds))
                        again = (seconds, score) if steps == batches else _train(sampler, sets, lr=lr, seed=seed, batches=steps)
                        runs[name].append((score, seconds / limit, again[1], again[0] / limit, limit))
                found.append({"shape": shape, "size": size, "lr": lr, "runs": runs})
    result = {"set": args.set.name, "outputs": sets[1].shape[1], "rows": sets[0].shape[0], "epochs": args.epochs, "seeds": args.seeds,
              "n_test": sets[2].shape[0], "found": found}
    return result, table(result)


def table(result):
    """The figures as text: means over the seeds, and the standard error of the gain over uniform candidates from seed to seed."""
    lines = [f"{result['set']}: {result['outputs']:,} outputs, {result['rows']:,} rows, {result['epochs']:g} epochs, rate falling to zero, "
             f"{result['n_test']:,} test rows, {result['seeds']} seeds",
             " " * 44 + f" {'same steps':>15}  {'same time':>27}",
             f"{'list of the':12} {'size':>5} {'rate':>6} {'candidates':18} {'P@1':>7} {'time':>7}  {'P@1':>7} {'time':>5} "
             f"{'gain, points':>13}"]
    for part in result["found"]:
        uniform = np.array(part["runs"]["uniform"])
        for name, runs in part["runs"].items():
            runs = np.array(runs)
            gains = 100 * (runs[:, 2] - uniform[:, 2])
            error = gains.std(ddof=1) / math.sqrt(len(gains)) if len(gains) > 1 else math.nan
            gain = f"{uniform[:, 4].mean():8.1f} s" if name == "uniform" else f"{gains.mean():+6.2f} ± {error:.2f}"
            score, ratio, again, time, _ = runs.mean(axis=0)
            lines.append(f"{part['shape']:12} {part['size']:5,} {part['lr']:6g} {name:18} {score:7.4f} {ratio:6.2f}x  {again:7.4f} "
                         f"{time:4.2f}x {gain:>13}")
    return "\n".join(lines)
