"""What every worker of the accuracy comparison does: read rows, train, save, answer, measured in one way.

Imported in the environments of the other libraries, so NumPy and SciPy are all it needs.
"""

import array
import json
import os
import re
import resource
import statistics
import sys
import tempfile
import time

import numpy as np
import scipy.sparse as sp

SINGLE, WARM = 200, 10  # rows that are asked for one at a time, and those asked for before


def read_xc(path):
    """X and Y of a file in XC text, float32 CSR."""
    feat, val, lab = array.array("i"), array.array("f"), array.array("i")
    ends = np.zeros((2, 1), np.int64)
    with open(path, encoding="utf-8") as lines:
        n, d, n_labels = (int(size) for size in next(lines).split())
        ends = np.zeros((2, n + 1), np.int64)
        for i, line in enumerate(lines, 1):
            labels, _, features = line.rstrip("\n").partition(" ")
            pairs = features.replace(":", " ").split()
            feat.extend(map(int, pairs[::2]))
            val.extend(map(float, pairs[1::2]))
            lab.extend(map(int, labels.split(",") if labels else ()))
            ends[:, i] = len(feat), len(lab)
    X = sp.csr_matrix((np.array(val, np.float32), np.array(feat, np.int32), ends[0].astype(np.int32)), shape=(n, d))
    return X, sp.csr_matrix((np.ones(len(lab), np.float32), np.array(lab, np.int32), ends[1].astype(np.int32)), shape=(n, n_labels))


def unit_rows(X):
    """The rows at length one; empty ones stay empty."""
    length = np.sqrt(np.asarray(X.multiply(X).sum(1)).ravel())
    return sp.csr_matrix(sp.diags(1 / np.where(length > 0, length, 1)) @ X, dtype=np.float32)


class System:
    """A system to compare. ``fit`` and ``predict`` are what is timed."""

    most_labels = None  # beyond these it is not run

    def __init__(self, settings):
        self.settings = settings

    def read(self, path):
        """The rows of a file, in the form that `fit` takes."""
        return read_xc(path)

    def warm_up(self, train):
        """Load or compile what a process does once, before the clock runs."""

    def fit(self, train):
        """Train."""
        raise NotImplementedError

    def save(self, folder):
        """Write the model into a folder."""
        raise NotImplementedError

    def rows(self, X):
        """Rows in the form that `predict` takes, which can be sliced."""
        return X

    def predict(self, rows, k):
        """Ids of the best k labels of each row, best first; -1 where there are fewer."""
        raise NotImplementedError


class Clock:
    """Seconds by the clock and of the processor, all threads and finished processes."""

    @staticmethod
    def _used():
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(u.ru_utime + u.ru_stime for u in used)

    def __enter__(self):
        self.start = time.perf_counter(), self._used()
        return self

    def __exit__(self, *error):
        self.seconds, self.cpu = time.perf_counter() - self.start[0], self._used() - self.start[1]


def peak_MB():
    """The most memory that this process has had. What getrusage says would include the process that started it."""
    try:
        with open("/proc/self/status", encoding="ascii") as lines:
            return int(re.search(r"VmHWM:\s+(\d+)", lines.read()).group(1)) / 1024
    except (OSError, AttributeError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def folder_bytes(folder):
    """Bytes of all files in a folder."""
    return sum(os.path.getsize(os.path.join(where, name)) for where, _, names in os.walk(folder) for name in names)


def pad(lists, k):
    """Lists of ids as an array with k columns, -1 where there are none."""
    return np.array([[*map(int, row[:k])] + [-1] * (k - len(row)) for row in lists], np.int64).reshape(len(lists), k)


def best_of_csr(scores, k):
    """Columns of the largest k entries of each row, largest first."""
    return pad([scores.indices[a:b][np.argsort(-scores.data[a:b], kind="stable")[:k]]
                for a, b in zip(scores.indptr, scores.indptr[1:])], k)


def measure(system, settings):
    """Train on one file and rank the rows of another; what was measured, and the ids."""
    k = settings["k"]
    train = system.read(settings["train"])
    system.warm_up(train)
    with Clock() as trained:
        system.fit(train)
    answer = {"seconds": trained.seconds, "cpu": trained.cpu, "peak_MB": peak_MB()}
    del train
    with tempfile.TemporaryDirectory() as folder:
        system.save(folder)
        answer["bytes"] = folder_bytes(folder)
        X = read_xc(settings["test"])[0]
        n, rows = X.shape[0], system.rows(X)
        for i in range(min(WARM, n)):
            system.predict(rows[i:i + 1], k)
        single = []
        for i in range(min(SINGLE, n)):
            start = time.perf_counter()
            system.predict(rows[i:i + 1], k)
            single.append(time.perf_counter() - start)
        with Clock() as asked:
            ids = system.predict(rows, k)
    return {**answer, "ms_single": 1000 * statistics.median(single), "ms": 1000 * asked.seconds / n,
            "ms_cpu": 1000 * asked.cpu / n, "ids": np.asarray(ids).tolist()}


def serve(systems):
    """Run the system that the first argument, JSON, names, and print the answer as the last line of the standard output."""
    settings = json.loads(sys.argv[1])
    kind = systems[settings["system"]]
    if kind.most_labels is not None and settings["n_labels"] > kind.most_labels:
        answer = {"skipped": f"more than {kind.most_labels:,} labels"}
    else:
        answer = measure(kind(settings), settings)
    print("\n" + json.dumps(answer), flush=True)
