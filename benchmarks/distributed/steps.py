"""Time of a training step on 1, 2 and 4 workers, and what it would be on more machines.

    seconds = client + products * (batch * rows) + update * rows + transfer * bytes

`rows` are the output rows of the core that has most of them; `bytes` all that a step sends and receives. The four constants are fitted to
steps that were measured here; the table puts the time that a link takes in the place of `transfer`.
"""

import contextlib
import os

import numpy as np

from benchmarks.distributed.cluster import peaks, workers

HIDDEN, FEATURES, CORES = 128, 2000, os.cpu_count()
SIZES, BATCHES, WORKERS = (20_000, 80_000), (64, 256), (1, 2, 4)
MACHINES, GIGABITS, OUTPUTS = (4, 16, 64), (1, 10), (1, 10, 100)
STEPS, ROUNDS, CANDIDATES = 4, 3, 1000


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


def local(outputs, batch, sampler, threads):
    """Seconds of a step in this process, of the second epoch."""
    import numba

    from mongoose_nb.core.threads import compute_threads

    net, (X, Y) = network(outputs, sampler), data(batch * STEPS, outputs)
    with compute_threads(0) if threads == 1 else contextlib.nullcontext():
        numba.set_num_threads(threads)
        return net.fit(X, Y, epochs=2, batch_size=batch)[-1]["seconds"] / STEPS


def sharded(client, outputs, batch, sampler):
    """(seconds of a step of the second epoch, bytes of a step)."""
    from mongoose_nb.distributed import fit

    last = fit(network(outputs, sampler), *data(batch * STEPS, outputs), client=client, epochs=2, batch_size=batch)[-1]
    return last["seconds"] / STEPS, (last["bytes_sent"] + last["bytes_received"]) / STEPS / 2


def measure(args):
    """Steps in turns, so that each is measured beside the others, and the constants of the model."""
    cases = [(outputs, batch, "full") for outputs in SIZES for batch in BATCHES] + [(SIZES[-1], 256, "uniform")]
    steps, memory = [], {}
    for n in WORKERS:
        with workers(n) as client:
            for outputs, batch, sampler in cases:
                own = [{"outputs": outputs, "batch": batch, "sampler": sampler, "beside": n, "workers": k, "threads": threads, "bytes": 0,
                        "seconds": []} for k, threads in ((0, 1), (0, 2), (n, 1))]
                for _ in range(ROUNDS):
                    for step in own[:2]:
                        step["seconds"].append(local(outputs, batch, sampler, step["threads"]))
                    seconds, own[2]["bytes"] = sharded(client, outputs, batch, sampler)
                    own[2]["seconds"].append(seconds)
                steps += own
            memory[n] = peaks(client)
    return {"steps": steps, "memory": memory, "model": fitted(steps)}


def _terms(step):
    rows = step["outputs"] / step["workers"] * max(1, step["workers"] / CORES)
    return [1.0, step["batch"] * rows, rows, step["bytes"]]


def fitted(steps):
    """The four constants, and the median and worst relative error of the steps that they were fitted to."""
    from scipy.optimize import nnls

    own = [step for step in steps if step["workers"] and step["sampler"] == "full"]
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
    lines = [f"milliseconds of a step, the least of {ROUNDS} (median in brackets), in turns on a busy machine of {CORES} cores,",
             f"{HIDDEN} wide; beside each number of single-threaded workers, the same network in one process at the same time",
             f"{'outputs':>9} {'batch':>6} {'sampler':>8} {'workers':>8}{'sharded':>18}{'one thread':>18}{'two threads':>18}"
             f"{'kB a step':>11}"]
    for i in range(0, len(found["steps"]), 3):
        one, two, own = found["steps"][i:i + 3]
        cells = (f"{1e3 * min(step['seconds']):.1f} ({1e3 * np.median(step['seconds']):.0f})" for step in (own, one, two))
        lines.append(f"{own['outputs']:>9,} {own['batch']:>6} {own['sampler']:>8} {own['workers']:>8}"
                     + "".join(f"{cell:>18}" for cell in cells) + f"{own['bytes'] / 1e3:>11,.0f}")
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
