"""What hashing, learning and scheduling bring: P@1 at equal candidates and at equal wall time, one set after the other.

All systems of a set are trained in turn, a chunk of the same rows each, so that what else the machine does meets all alike. Figures of
several sets are kept in one file, from which the table and the plot are drawn.
"""

import json
import math

import numpy as np

from benchmarks.systems import BATCH, Ours
from mongoose_nb import data, nn

SCHEDULES = {"fixed": 50, "decay": None, "drift": "drift"}


def systems(size):
    """Samplers by name, all with about `size` candidates for a sample or for the batch."""
    out = {
        "uniform, sample": nn.Uniform(size, shape="sample"),
        "uniform, batch": nn.Uniform(size, shape="batch"),
        "frequency, sample": nn.Uniform(size, shape="sample", proposal="frequency"),
        "mixture, sample": nn.Uniform(size, shape="sample", proposal="mixture"),
        # as published: no centre, all places for what the tables return, no correction
        "SLIDE": nn.LSH(size, head=1.0, correction="none", tables=nn.Tables(center=False, rehash=SCHEDULES["fixed"])),
    }
    for name, rehash in SCHEDULES.items():
        out[f"random + {name}"] = nn.LSH(size, tables=nn.Tables(rehash=rehash))
        out[f"learned + {name}"] = nn.LSH(size, tables=nn.Tables(rehash=rehash, learn="contrast"))
    out["random, mixture"] = nn.LSH(size, head=0.25, proposal="mixture")
    out["learned + drift, mixture"] = nn.LSH(size, head=0.25, proposal="mixture", tables=nn.Tables(rehash="drift", learn="contrast"))
    out["random, uncorrected"] = nn.LSH(size, correction="none")
    out["learned + drift, uncorrected"] = nn.LSH(size, correction="none", tables=nn.Tables(rehash="drift", learn="contrast"))
    out["random, batch"] = nn.LSH(size, shape="batch")
    out["learned + drift, batch"] = nn.LSH(size, shape="batch", tables=nn.Tables(rehash="drift", learn="contrast"))
    return out


class _Firings(nn.Callback):
    """How often the schedule fired in an epoch."""

    def on_batch_end(self, network, logs):
        """Counts start again with every epoch."""
        self.n = network.output.sampler.fired


def _recall(system, size, n, k=10):
    """Share of the exact best k that the tables return among `size` candidates."""
    X = system.X_test[:n]
    exact = system.net.predict_topk(X, k)[0]
    found = system.net.predict_topk(X, k, exact=False, candidates=size)[0]
    return float((exact[:, :, None] == found[:, None, :]).any(2).mean())


def _train(chosen, rows, points, n_test):
    """Curves [(seconds, P@1)], time split and firings by system, trained in turn on chunks of `rows`."""
    curves = {name: [(0.0, 0.0)] for name in chosen}
    split, fired = {name: {} for name in chosen}, dict.fromkeys(chosen, 0.0)
    for chunk in np.array_split(rows, points):
        for name, system in chosen.items():
            firings = _Firings()
            entry = system.net.fit(system.X[chunk], system.Y[chunk], epochs=1, batch_size=BATCH, callbacks=[firings])[0]
            for phase, share in entry["time_split"].items():
                split[name][phase] = split[name].get(phase, 0.0) + share * entry["seconds"]
            fired[name] += firings.n
            curves[name].append((curves[name][-1][0] + entry["seconds"], system.score(n_test)))
    return {name: {"curve": curves[name], "split": split[name], "fired": fired[name]} for name in chosen}


def run(args):
    """Measure one set, if one is given; the table of all that are kept. See ``python -m benchmarks ablation --help``."""
    kept = json.loads(args.keep.read_text()) if args.keep.exists() else {}
    if args.set:
        _measure(kept, args)
    if args.plot:
        plot(kept, args.plot)
    return kept, table(kept)


def _measure(kept, args):
    sets = data.load_dataset(args.set)
    if args.rows:
        sets = (sets[0][:args.rows], sets[1][:args.rows], *sets[2:])
    n, n_outputs = sets[0].shape[0], sets[1].shape[1]
    rng = np.random.default_rng(args.seed)
    rows = np.concatenate([rng.permutation(n) for _ in range(math.ceil(args.epochs))])[: round(args.epochs * n)]
    for size in args.sizes:
        chosen = {"full": nn.Full()} if args.full and size == args.sizes[0] else {}
        chosen |= systems(size)
        if args.systems:
            chosen = {name: chosen[name] for name in args.systems.split(";")}
        chosen = {name: Ours(sampler, sets, lr=args.lr, seed=args.seed) for name, sampler in chosen.items()}
        if args.points == 1:  # nobody looks at a training on its way, so that it may end
            for system in chosen.values():
                system.net.lr_schedule = nn.Linear()
        for system in chosen.values():  # compile
            Ours(system.net.sampler, sets, lr=args.lr).train(2)
        result = _train(chosen, rows, args.points, args.n_test)
        for name, system in chosen.items():
            if hasattr(system.net.output.sampler, "hash_tables"):
                system.net.output.sampler.rehash_now()
                result[name]["recall"] = _recall(system, size, min(1000, args.n_test))
            entry = kept.setdefault(args.set.name, {"outputs": n_outputs, "rows": n, "epochs": args.epochs, "lr": args.lr, "sizes": {},
                                                    "falling": args.points == 1})
            entry["sizes"].setdefault(str(size), {}).setdefault(name, {})[str(args.seed)] = result[name]
        args.keep.write_text(json.dumps(kept))


def _mean(runs, figure):
    values = [figure(run) for run in runs]
    return None if None in values else float(np.mean(values))


def _at(run, seconds):
    """P@1 at a time, between the scores around it."""
    times, scores = zip(*run["curve"])
    return float(np.interp(seconds, times, scores))


def table(kept):
    """The kept results as text."""
    lines = []
    for name, entry in kept.items():
        lines.append(f"{name}: {entry['outputs']:,} outputs, {entry['rows']:,} rows, {entry['epochs']:g} epochs, learning rate "
                     f"{entry['lr']:g}{' falling to zero' * entry.get('falling', False)}")
        for size, chosen in entry["sizes"].items():
            lines.append(f"  {int(size):,} candidates {'P@1':>12} {'at time of':>11} {'at time of':>11} {'recall':>7} {'seconds':>8} "
                         f"{'hashing':>8} {'fired':>6} {'seeds':>5}")
            lines.append(f"{'':28} {'':>6} {'uniform, s.':>11} {'uniform, b.':>11} {'of 10':>7}")
            time = {kind: _mean(chosen[f"uniform, {kind}"].values(), lambda r: r["curve"][-1][0])
                    for kind in ("sample", "batch") if f"uniform, {kind}" in chosen}
            for system, by_seed in chosen.items():
                runs = by_seed.values()
                cells = [f"{_mean(runs, lambda r: r['curve'][-1][1]):6.4f}"]
                for kind in ("sample", "batch"):
                    at = time.get(kind)
                    cells.append(" " * 11 if at is None else f"{_mean(runs, lambda r, at=at: _at(r, at)):11.4f}")
                recall = _mean(runs, lambda r: r.get("recall"))
                cells.append(" " * 7 if recall is None else f"{recall:7.3f}")
                cells.append(f"{_mean(runs, lambda r: r['curve'][-1][0]):8.1f}")
                cells.append(f"{_mean(runs, lambda r: sum(r['split'].get(p, 0) for p in ('check', 'mine', 'learn', 'rehash'))):8.1f}")
                cells.append(f"{_mean(runs, lambda r: r['fired']):6.0f} {len(by_seed):5}")
                lines.append(f"    {system:28} " [:33] + " ".join(cells))
    return "\n".join(lines)


def plot(kept, path):
    """Draw P@1 against training time: a panel for every set, at its largest number of candidates."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    drawn = {"uniform, sample": "C0--", "uniform, batch": "C1--", "SLIDE": "C3:", "random + decay": "C2-", "learned + drift": "C4-",
             "random, batch": "C5-", "learned + drift, batch": "C6-", "full": "k-"}
    columns = min(3, len(kept))
    figure, axes = plt.subplots(math.ceil(len(kept) / columns), columns, figsize=(5 * columns, 3.6 * math.ceil(len(kept) / columns)),
                                squeeze=False)
    for ax in axes.ravel()[len(kept):]:
        ax.axis("off")
    for ax, (name, entry) in zip(axes.ravel(), kept.items()):
        size = max(entry["sizes"], key=int)
        full = {k: v for sizes in entry["sizes"].values() for k, v in sizes.items() if k == "full"}
        for system, by_seed in {**full, **entry["sizes"][size]}.items():
            if system in drawn:
                curve = np.mean([r["curve"] for r in by_seed.values()], axis=0)
                ax.plot(*curve[1:].T, drawn[system], marker=".", label=system)
        ax.set(title=f"{name}, {entry['outputs']:,} outputs, {int(size):,} candidates", xlabel="training seconds", ylabel="P@1",
               xscale="log")
    axes[0, 0].legend(fontsize="x-small")
    figure.tight_layout()
    figure.savefig(path, dpi=90)
