"""A network with very many outputs, its output layer full and in a hashed array: peak memory, samples/s, P@1. A process for each."""

import json
import resource
import subprocess
import sys
import time

SYSTEMS = {"full": None, "robe 10x": 10.0}


def measure(args):
    """Figures of all systems by name; each runs in a process of its own."""
    out = {}
    for name, ratio in SYSTEMS.items():
        command = [sys.executable, "-m", "benchmarks.compress.wide", str(args.set), str(ratio or 0)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        out[name] = json.loads(done.stdout.splitlines()[-1])
        print(name, out[name], file=sys.stderr, flush=True)
    return out


def work(folder, ratio, epochs=1, rows=120_000):
    """Train one network, and score it."""
    import numpy as np
    import scipy.sparse as sp

    from mongoose_nb import nn
    from mongoose_nb.compress import Compress

    def read(name):
        a = np.load(f"{folder}/{name}.npz")
        n, d, m = a["shape"]
        return (sp.csr_matrix((a["val"].astype(np.float32), a["feat"], a["fptr"]), (n, d)),
                sp.csr_matrix((np.ones(len(a["lab"]), np.float32), a["lab"], a["lptr"]), (n, m)))

    X, Y = (part[:rows] for part in read("train"))
    Xt, Yt = (part[:2000] for part in read("test"))
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    network = nn.Network(X.shape[1], Y.shape[1], hidden=(128,), sampler=nn.LSH(2000, shape="batch"), lr=2e-3,
                         compress=Compress("robe", ratio, only=["output"]) if ratio else None)
    network.partial_fit(X[:512], Y[:512])  # compile
    start = time.perf_counter()
    history = network.fit(X, Y, epochs=epochs)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    output = sum(p.value.nbytes for name, p in network.parameters().items() if name.startswith("output")) / 2**20
    trained = sum(a.nbytes for name, p in network.parameters().items() if name.startswith("output") for a in p.arrays("x").values()) / 2**20
    train = network.evaluate(X[:2000], Y[:2000], k=1)["P@1"]
    return {"peak_mb": peak, "before_mb": base, "output_mb": output, "output_with_moments_mb": trained,
            "samples_s": epochs * X.shape[0] / seconds,
            "p1": network.evaluate(Xt, Yt, k=1)["P@1"], "p1_train": train, "loss": history[-1]["loss"], "outputs": Y.shape[1]}


if __name__ == "__main__":
    print(json.dumps(work(sys.argv[1], float(sys.argv[2]))))
