"""The systems that are compared: ours in this process, PyTorch's in its own, behind one interface."""

import json
import pathlib
import subprocess

import numpy as np

from mongoose_nb import nn

BATCH = 256
HIDDEN = 128


def samplers(shared, candidates, capacity=128):
    """The systems of ours that are compared, by name: (sampler, optimiser)."""
    return {
        "full": (nn.Full(), nn.Adam),
        "uniform shared": (nn.Uniform(shared, shape="batch"), nn.Adam),
        "uniform shared, RowAdam": (nn.Uniform(shared, shape="batch"), nn.RowAdam),
        "lsh shared": (nn.LSH(shared, shape="batch", tables=nn.Tables(capacity=capacity)), nn.Adam),
        "uniform per sample": (nn.Uniform(candidates, shape="sample"), nn.Adam),
        "lsh per sample": (nn.LSH(candidates, tables=nn.Tables(capacity=capacity)), nn.Adam),
        "lsh per sample, RowAdam": (nn.LSH(candidates, tables=nn.Tables(capacity=capacity)), nn.RowAdam),
    }


class Ours:
    """A network of this library, trained a few batches at a time on rows drawn in a fixed order."""

    def __init__(self, sampler, data, *, lr, optimizer=nn.Adam, seed=0, init_std=0.1):
        self.X, self.Y, self.X_test, self.Y_test = data
        self.net = nn.Network(self.X.shape[1], self.Y.shape[1], hidden=(HIDDEN,), sampler=sampler, optimizer=optimizer(lr),
                              init_std=init_std, seed=seed)
        self.rng = np.random.default_rng(seed)
        self.order, self.at = self.rng.permutation(self.X.shape[0]), 0

    def train(self, batches):
        """Run so many steps; seconds, active outputs and the time split."""
        rows = []
        while len(rows) < batches:
            if self.at + BATCH > len(self.order):
                self.order, self.at = self.rng.permutation(self.X.shape[0]), 0
            rows.append(self.order[self.at:self.at + BATCH])
            self.at += BATCH
        rows = np.concatenate(rows)
        entry = self.net.fit(self.X[rows], self.Y[rows], epochs=1, batch_size=BATCH)[0]
        return {"seconds": entry["seconds"], "active": entry["active_share"] * self.Y.shape[1], "split": entry["time_split"],
                "label_recall": entry.get("label_recall")}

    def score(self, n):
        """P@1 on the first n test rows, over all outputs."""
        return self.net.evaluate(self.X_test[:n], self.Y_test[:n], k=1)["P@1"]

    def held_MB(self):
        """Weights, moments and hash tables."""
        held = sum(array.nbytes for name, p in self.net.parameters().items() for array in p.arrays(name).values())
        tables = getattr(self.net.output.sampler, "hash_tables", None)
        return round((held + (tables.nbytes if tables is not None else 0)) / 1e6)

    def close(self):
        """Nothing to end."""


class Torch:
    """A PyTorch baseline in a process of its own; it sleeps while others are timed."""

    def __init__(self, python, full, folder, *, lr, negatives=1000, threads=2, seed=0, input_std=0.01):
        settings = {"set": str(folder), "full": full, "lr": lr, "negatives": negatives, "hidden": HIDDEN, "batch_size": BATCH,
                    "threads": threads, "seed": seed, "input_std": input_std}
        worker = pathlib.Path(__file__).with_name("torch_worker.py")
        self.process = subprocess.Popen([python, worker, json.dumps(settings)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        self.peak_MB = None

    def _ask(self, **command):
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the PyTorch process ended with code {self.process.wait()}")
        answer = json.loads(line)
        self.peak_MB = answer["peak_MB"]
        return answer

    def train(self, batches):
        """Run so many steps; seconds and active outputs."""
        return self._ask(train=batches)

    def score(self, n):
        """P@1 on the first n test rows."""
        return self._ask(score=n)["P@1"]

    def close(self):
        """End the process."""
        self.process.stdin.write('{"quit": true}\n')
        self.process.stdin.close()
        self.process.wait()
