"""Time of a training step on 1, 2 and 4 workers, and what it would be on more machines.

    seconds = client + products * (batch * rows) + update * rows + transfer * bytes

`rows` are the output rows of the core that has most of them; `bytes` all that a step sends and receives. The four constants are fitted to
steps that were measured here; the table puts the time that a link takes in the place of `transfer`.
"""

import os

import numpy as np

from benchmarks.distributed.cluster import peaks, workers

HIDDEN, FEATURES, CORES = 128, 2000, os.cpu_count()
SIZES, BATCHES, WORKERS = (15_000, 60_000), (64, 256), (1, 2, 4)
MACHINES, GIGABITS, OUTPUTS = (4, 16, 64), (1, 10), (1, 10, 100)
STEPS, ROUNDS, CANDIDATES = 3, 4, 1000


def data(rows, outputs):
    """Rows of 40 features, with 3 labels each."""
    import scipy.sparse as sp

    rng = np.random.default_rng(0)
    X = sp.csr_matrix((np.ones(40 * rows, np.float32), rng.integers(0, FEATURES, 40 * rows), np.arange(rows + 1) * 40),
                      shape=(rows, FEATURES))
    Y = sp.csr_matrix((np.ones(3 * rows, np.float32), rng.integers(0, outputs, 3 * rows), np.arange(rows + 1) * 3), shape=(rows, outputs))
    X.sum_duplicates(), Y.sum_duplicates()
    Y.data[:] = 1
    return X, Y


def network(outputs, sampler):
    """The network that is measured."""
    from mongoose_nb import Network, nn

    return Network(FEATURES, outputs, hidden=(HIDDEN,), sampler="full" if sampler == "full" else nn.Uniform(CANDIDATES), seed=1)


def local(outputs, batch, sampler):
    """Seconds of a step on one thread of this process, epoch by epoch."""
    from mongoose_nb.core.threads import compute_threads

    with compute_threads(0):
        history = network(outputs, sampler).fit(*data(batch * STEPS, outputs), epochs=ROUNDS + 1, batch_size=batch)
    return [entry["seconds"] / STEPS for entry in history[1:]]


def sharded(client, outputs, batch, sampler):
    """(seconds of a step, epoch by epoch; bytes of a step)."""
    from mongoose_nb.distributed import fit

    history = fit(network(outputs, sampler), *data(batch * STEPS, outputs), client=client, epochs=ROUNDS + 1, batch_size=batch)
    last = history[-1]
    return [entry["seconds"] / STEPS for entry in history[1:]], (last["bytes_sent"] + last["bytes_received"]) / STEPS / (ROUNDS + 1)


def measure(args):
    """Steps, each beside the same in one process, and the constants of the model."""
    cases = [(outputs, batch, "full") for outputs in SIZES for batch in BATCHES] + [(SIZES[-1], 256, "uniform")]
    steps, memory = [], {}
    for n in WORKERS:
        with workers(n) as client:
            for outputs, batch, sampler in cases:
                seconds, sent = sharded(client, outputs, batch, sampler)
                steps.append({"outputs": outputs, "batch": batch, "sampler": sampler, "workers": n, "bytes": sent, "seconds": seconds,
                              "alone": local(outputs, batch, sampler)})
            memory[n] = peaks(client)
    return {"steps": steps, "memory": memory, "model": fitted(steps)}


def _terms(step):
    rows = step["outputs"] / step["workers"] * max(1, step["workers"] / CORES)
    return [1.0, step["batch"] * rows, rows, step["bytes"]]


def fitted(steps):
    """The four constants, and the median and worst relative error of the steps that they were fitted to."""
    from scipy.optimize import nnls

    own = [step for step in steps if step["sampler"] == "full"]
    terms, seconds = np.array([_terms(step) for step in own]), np.array([min(step["seconds"]) for step in own])
    scale = terms.max(axis=0)
    constants = nnls(terms / scale / seconds[:, None], np.ones(len(own)))[0] / scale  # relative errors count
    error = np.abs(terms @ constants / seconds - 1)
    named = dict(zip(("client", "products", "update", "transfer"), constants.tolist(), strict=True))
    return {**named, "median_error": float(np.median(error)), "worst_error": float(error.max())}


def calculated(model, outputs, machines, gigabits, batch=256):
    """Seconds of a step of the full softmax: on one machine, and on several."""
    alone_ = model["products"] * batch * outputs + model["update"] * outputs
    rows = outputs / machines
    sent = machines * batch * (2 * 4 * HIDDEN + 40)
    return alone_, model["client"] + model["products"] * batch * rows + model["update"] * rows + sent * 8 / (gigabits * 1e9)


def text(found):
    """Two tables."""
    lines = [f"milliseconds of a step, least of {ROUNDS} epochs (median in brackets), {HIDDEN} wide, on a busy machine of {CORES} cores:",
             "single-threaded workers, and the same network on one thread of one process, measured just afterwards",
             f"{'outputs':>9} {'batch':>6} {'sampler':>8} {'workers':>8}{'sharded':>18}{'one process':>18}{'kB a step':>11}"]
    for step in found["steps"]:
        cells = (f"{1e3 * min(seconds):.1f} ({1e3 * np.median(seconds):.0f})" for seconds in (step["seconds"], step["alone"]))
        lines.append(f"{step['outputs']:>9,} {step['batch']:>6} {step['sampler']:>8} {step['workers']:>8}"
                     + "".join(f"{cell:>18}" for cell in cells) + f"{step['bytes'] / 1e3:>11,.0f}")
    lines.append("most memory of a worker, MB: " + "; ".join(f"{n} workers {max(peak) / 1e6:.0f}" for n, peak in found["memory"].items()))
    model = found["model"]
    lines += ["", "seconds = client + products * batch * rows + update * rows + transfer * bytes",
              f"client {1e3 * model['client']:.2f} ms, products {1e12 * model['products']:.1f} ps, update {1e9 * model['update']:.2f} ns, "
              f"transfer {1e9 * model['transfer']:.2f} ns; error of the fit {model['median_error']:.0%} median, "
              f"{model['worst_error']:.0%} at most",
              "", "CALCULATED by this model, not measured: milliseconds of a step of the full softmax at batch 256, one thread a machine",
              f"{'outputs':>12} {'link':>10} {'1 machine':>12}" + "".join(f"{n:>9} machines" for n in MACHINES)
              + f"{f'GB a machine of {MACHINES[-1]}':>22}"]
    for millions in OUTPUTS:
        for gigabits in GIGABITS:
            both = [calculated(model, millions * 1e6, n, gigabits) for n in MACHINES]
            lines.append(f"{millions:>10} M {gigabits:>3} Gbit/s {1e3 * both[0][0]:>12,.0f}"
                         + "".join(f"{1e3 * own:>18,.0f}" for _, own in both)
                         + f"{12 * HIDDEN * millions * 1e6 / MACHINES[-1] / 1e9:>22.2f}")
    return "\n".join(lines)
