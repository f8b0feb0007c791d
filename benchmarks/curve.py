"""P@1 against wall time: how long until a sampler is as accurate as PyTorch's sampled softmax, at its best of three rates."""

import numba

from benchmarks.systems import BATCH, Ours, Torch, samplers
from mongoose_nb import data

RATES = (1e-3, 2e-3, 5e-3)


def _train(system, batches, points, n_test, stop_at=None):
    """[(training seconds, P@1)], scored `points` times on the way; scoring is not counted."""
    curve, seconds = [], 0.0
    for point in range(points):
        n = batches * (point + 1) // points - batches * point // points
        seconds += system.train(n)["seconds"]
        curve.append((seconds, system.score(n_test)))
        if stop_at is not None and curve[-1][1] >= stop_at:
            break
    return curve


def run(args):
    """Measure; the result and its table. See ``python -m benchmarks curve --help``."""
    if args.threads:
        numba.set_num_threads(args.threads)
    threads = numba.get_num_threads()
    sets = data.load_dataset(args.set)
    epoch = sets[0].shape[0] // BATCH
    batches = round(epoch * args.epochs)
    curves = {}
    for rate in RATES:
        system = Torch(args.torch, False, args.set, lr=rate, negatives=args.shared, threads=threads, input_std=args.torch_input_std)
        curves[f"torch uniform {rate:g}"] = _train(system, batches, args.points, args.n_test)
        system.close()
    best = max(curves, key=lambda name: curves[name][-1][1])
    goal = curves[best][-1][1]
    # the time of the best run is the time to its own last score, or to the first moment it was as good
    rival = next(seconds for seconds, score in curves[best] if score >= goal)
    ours = samplers(args.shared, args.candidates)
    chosen = args.systems.split(";") if args.systems else [name for name in ours if name != "full"]
    result = {"set": str(args.set), "threads": threads, "epochs": args.epochs, "goal": goal, "best_torch": best,
              "torch_seconds": rival, "ours": {}}
    for name in chosen:
        sampler, optimizer = ours[name]
        for rate in args.rates:
            Ours(sampler, sets, lr=rate, optimizer=optimizer).train(2)  # compile
            system = Ours(sampler, sets, lr=rate, optimizer=optimizer)
            curve = _train(system, batches * 2, args.points * 2, args.n_test, None if args.plot else goal)
            curves[f"{name} {rate:g}"] = curve
            reached = next((seconds for seconds, score in curve if score >= goal), None)
            result["ours"][f"{name} {rate:g}"] = {"seconds_to_goal": reached, "ratio": reached and reached / rival,
                                                  "best": max(score for _, score in curve)}
    result["curves"] = curves
    if args.plot:
        plot(result, args.plot)
    lines = [f"{args.set.name}: {best} has P@1 {goal:.4f} after {args.epochs:g} epochs, first so good at {rival:.1f} s of training"]
    for name, entry in result["ours"].items():
        reached = f"{entry['seconds_to_goal']:7.2f} s = {entry['ratio']:.2f} of it" if entry["ratio"] else "        not reached"
        lines.append(f"  {name:30} {reached}   (best P@1 seen {entry['best']:.4f})")
    return result, "\n".join(lines)


def plot(result, path):
    """Draw the curves into a file."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 5))
    for name, curve in result["curves"].items():
        axes.plot(*zip(*curve), "--" if name.startswith("torch") else "-", marker=".", label=name)
    axes.axhline(result["goal"], color="grey", linewidth=0.5)
    axes.set(xlabel="training seconds", ylabel="P@1", xscale="log", title=f"{result['set']}, {result['threads']} threads")
    axes.legend(fontsize="small")
    figure.savefig(path, dpi=120, bbox_inches="tight")
