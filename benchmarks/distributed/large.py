"""670,091 outputs in one process and on two workers: P@1, seconds and memory."""

import numpy as np

from benchmarks.distributed.cluster import alone, peak, peaks, workers

HIDDEN, CANDIDATES, BATCH, LR = 128, 1000, 256, 5e-3


def read(path, rows):
    """The first rows of a set."""
    import scipy.sparse as sp

    found = np.load(path)
    n, features, labels = int(found["shape"][0]), int(found["shape"][1]), int(found["shape"][2])
    X = sp.csr_matrix((found["val"], found["feat"], found["fptr"]), shape=(n, features))[:rows]
    Y = sp.csr_matrix((np.ones(len(found["lab"]), np.float32), found["lab"], found["lptr"]), shape=(n, labels))[:rows]
    return X, Y


def train(folder, rows, epochs, client=None):
    """Scores, seconds and bytes."""
    from mongoose_nb import Network, nn
    from mongoose_nb.distributed import fit

    X, Y = read(folder / "train.npz", rows)
    network = Network(X.shape[1], Y.shape[1], hidden=(HIDDEN,), sampler=nn.Uniform(CANDIDATES), optimizer=nn.Adam(LR), seed=1)
    options = {"epochs": epochs, "batch_size": BATCH}
    history = network.fit(X, Y, **options) if client is None else fit(network, X, Y, client=client, **options)
    memory = peak()
    scores = network.evaluate(*read(folder / "test.npz", 2000))
    return {"P@1": scores["P@1"], "P@5": scores["P@5"], "loss": history[-1]["loss"], "seconds": sum(entry["seconds"] for entry in history),
            "steps": network.step, "bytes": sum(history[-1].get(name, 0) for name in ("bytes_sent", "bytes_received")), "memory": memory}


def train_on_workers(folder, rows, epochs, n):
    """As `train`, with the memory of the workers."""
    with workers(n) as client:
        return {**train(folder, rows, epochs, client), "workers": peaks(client)}


def measure(args):
    """Figures of one process and of 2 workers."""
    folder = args.data / "amazon"
    found = {"rows": args.rows, "epochs": args.epochs}
    found["one process"], _ = alone(train, folder, args.rows, args.epochs)
    found["2 workers"], _ = alone(train_on_workers, folder, args.rows, args.epochs, 2)
    return found


def text(found):
    """A table."""
    share = 12 * (HIDDEN + 1) * 670_091 / 2 / 1e6
    lines = [f"Amazon's shape: 670,091 outputs, {found['rows']:,} rows, {found['epochs']} epochs, {CANDIDATES} candidates "
             f"a batch of {BATCH}, {HIDDEN} wide",
             f"{'':14} {'P@1':>7} {'P@5':>7} {'loss':>8} {'seconds':>8} {'ms a step':>10} {'kB a step':>10} {'memory, MB':>11}"]
    for name in ("one process", "2 workers"):
        own = found[name]
        lines.append(f"{name:14} {own['P@1']:>7.4f} {own['P@5']:>7.4f} {own['loss']:>8.4f} {own['seconds']:>8.1f} "
                     f"{1e3 * own['seconds'] / own['steps']:>10.1f} {own['bytes'] / own['steps'] / 1e3:>10,.0f} "
                     f"{own['memory'] / 1e6:>11,.0f}")
    most = max(found["2 workers"]["workers"]) / 1e6
    return "\n".join([*lines, f"of 2 workers the memory is that of the client; each worker had at most {most:,.0f} MB, of which its half "
                      f"of the output layer with its moments is {share:,.0f} MB"])
