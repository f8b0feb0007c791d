"""A training step: samples/s of every sampler and of PyTorch, in turn, beside P@1 and the share of this machine's limit."""

import pathlib
import resource
import statistics

import numba
import numpy as np

from benchmarks import limits
from benchmarks.systems import BATCH, HIDDEN, Ours, Torch, samplers
from mongoose_nb import data
from mongoose_nb.core.arrays import Rows
from mongoose_nb.core.threads import compute_threads


def _touched(system, rows):
    """Rows of the output layer that a batch touches."""
    with compute_threads(float("inf")):
        _, gradients = system.net.loss_and_gradients(Rows.of(system.X, rows), Rows.of(system.Y, rows))
    return len(gradients["output.weights"].touched())


def _least_us(system, machine):
    """Least time of a step's phases per sample in microseconds, from what the step must read, write and multiply."""
    net, row = system.net, machine["row_ns"] / 1e3
    adam = machine[f"{type(net.optimizer).__name__.lower()}_row_ns"] / 1e3
    rows = system.order[:BATCH]
    x = Rows.of(system.X, rows)
    features = x.count.mean()
    touched_features = len(np.unique(x.flat()[1])) / BATCH
    out = {"forward": features * row, "update": touched_features * adam}
    output = net.output
    n, shape = net.n_outputs, net.sampler.shape
    if shape == "sample":
        out["forward"] += output.sampler.counts()["active"] * row
        out["update"] += _touched(system, rows) / BATCH * adam
        return out
    m = n if shape == "all" else output.sampler.counts()["active"]
    product = 2 * m * HIDDEN / machine["gemm_GFLOP_s"] / 1e3
    if shape == "all":
        stream = n * HIDDEN * 4 / machine["stream_GB_s"] / 1e3 / BATCH
        return {"forward": out["forward"] + product + stream, "backward": product + stream,
                "update": out["update"] + product + 6 * stream}
    return {"forward": out["forward"] + product + m / BATCH * row, "backward": product,
            "update": out["update"] + product + m / BATCH * adam}


def run(args):
    """Measure; the result and its table. See ``python -m benchmarks train-step --help``."""
    if args.threads:
        numba.set_num_threads(args.threads)
    threads = numba.get_num_threads()
    sets = data.load_dataset(args.set)
    n_outputs = sets[1].shape[1]
    ours = samplers(args.shared, args.candidates, args.capacity)
    chosen = args.systems.split(";") if args.systems else [*ours, *(["torch full", "torch uniform"] if args.torch else [])]
    systems = {}
    for name in chosen:
        if name.startswith("torch"):
            systems[name] = Torch(args.torch, name == "torch full", args.set, lr=args.lr, negatives=args.shared, threads=threads)
        else:
            sampler, optimizer = ours[name]
            systems[name] = Ours(sampler, sets, lr=args.lr, optimizer=optimizer)
    batches = {name: args.batches_full if "full" in name else args.batches for name in systems}
    for name, system in systems.items():
        system.train(max(2, batches[name] // 4))
    rounds = {name: [] for name in systems}
    for _ in range(args.rounds):
        for name, system in systems.items():
            rounds[name].append(system.train(batches[name]))
    machine = {"huge pages": limits.measure(n_outputs, HIDDEN), "small pages": limits.measure(n_outputs, HIDDEN, huge=False)}
    reference = {"full": "torch full", "uniform": "torch uniform"}
    result = {"set": str(args.set), "threads": threads, "machine": machine, "systems": {}}
    for name, system in systems.items():
        speed = [batches[name] * BATCH / r["seconds"] for r in rounds[name]]
        entry = {"samples_per_s": statistics.median(speed), "lowest": min(speed), "highest": max(speed),
                 "active": rounds[name][-1]["active"], "P@1": system.score(args.n_test), "steps": len(speed) * batches[name]}
        if isinstance(system, Ours):
            entry["held_MB"] = system.held_MB()
            least = _least_us(system, machine["huge pages"])
            spent = {phase: statistics.median(r["split"][phase] * 1e6 / s for r, s in zip(rounds[name], speed))
                     for phase in rounds[name][0]["split"]}
            entry |= {"us": spent, "least_us": least, "limit_samples_per_s": 1e6 / sum(least.values()),
                      "share_of_limit": sum(least.values()) * entry["samples_per_s"] / 1e6}
            rival = reference["full" if name == "full" else "uniform"]
            for other in {rival, "torch full"} & systems.keys():
                ratios = [a / (batches[other] * BATCH / r["seconds"]) for a, r in zip(speed, rounds[other])]
                entry[f"x {other}"] = statistics.median(ratios)
        else:
            entry["peak_MB"] = system.peak_MB
        result["systems"][name] = entry
    for system in systems.values():
        system.close()
    result["peak_MB_of_ours_together"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return result, table(result)


def table(result):
    """The result as text."""
    lines = [f"{pathlib.Path(result['set']).name}, {result['threads']} threads, batch {BATCH}, hidden {HIDDEN}"]
    for pages, m in result["machine"].items():
        lines.append(f"  {pages}: stream {m['stream_GB_s']:.1f} GB/s, random row {m['row_ns']:.0f} ns, Adam on a random row "
                     f"{m['adam_row_ns']:.0f} ns, RowAdam {m['rowadam_row_ns']:.0f} ns, sgemm {m['gemm_GFLOP_s']:.0f} GFLOP/s")
    lines.append(f"{'system':23} {'samples/s':>10} {'lowest':>8} {'highest':>8} {'active':>8} {'of limit':>8} {'P@1':>7} {'MB':>6}  "
                 "ratios; microseconds a sample by phase / their limit")
    for name, e in result["systems"].items():
        share = f"{e['share_of_limit']:8.0%}" if "share_of_limit" in e else " " * 8
        more = [f"{k} {v:.1f}" for k, v in e.items() if k.startswith("x ")]
        least = e.get("least_us", {})
        more += [f"{k} {v:.1f}" + (f"/{least[k]:.1f}" if k in least else "") for k, v in e.get("us", {}).items() if v]
        lines.append(f"{name:23} {e['samples_per_s']:10,.0f} {e['lowest']:8,.0f} {e['highest']:8,.0f} {e['active']:8,.0f} {share} "
                     f"{e['P@1']:7.4f} {e.get('held_MB', e.get('peak_MB')):6,}  {', '.join(more)}")
    lines.append(f"MB: of ours the weights, moments and tables (peak of the process that holds all of them: "
                 f"{result['peak_MB_of_ours_together']:,}), of PyTorch the peak of its process")
    return "\n".join(lines)
