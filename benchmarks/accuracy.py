"""P@1, P@3 and P@5 of a network with and without its ranking, beside label trees, a vote of neighbours, and linear machines.

All systems get the same rows. The others run with their defaults: omikuji's are three trees of Parabel, LinearSVC has C=1 and the rows as
tf-idf. Each system uses the given number of threads. Beside the seconds by the clock there are those of the processor, all threads: on a
busy machine only they can be compared.
"""

import json
import pathlib
import subprocess
import tempfile
import time

import numpy as np

from mongoose_nb import Network, data, metrics, nn
from mongoose_nb.nn.features import make_features
from mongoose_nb.nn.ranking import NeighbourVotes

K = 5
NEIGHBOURS = 100
SVM_UP_TO = 1000  # labels for which one machine a label is trained


class Clock:
    """Seconds by the clock and of the processor."""

    def __enter__(self):
        self.start = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *error):
        self.seconds, self.cpu = time.perf_counter() - self.start[0], time.process_time() - self.start[1]


def file_size(net):
    """Bytes of a network's file, without the optimiser's moments."""
    with tempfile.TemporaryDirectory() as folder:
        net.save(pathlib.Path(folder) / "net", optimizer=False)
        return (pathlib.Path(folder) / "net").stat().st_size


def ours(X, Y, X_test, epochs, lr, seed):
    """Yields the row of the network, and that of the same network with its ranking."""
    with Clock() as trained:
        net = Network(X.shape[1], Y.shape[1], sampler="auto", optimizer=nn.Adam(lr), lr_schedule="linear", seed=seed)
        net.fit(X, Y, epochs=epochs)
    with Clock() as asked:
        ids, _ = net.predict_topk(X_test, K)
    yield {"system": "network", "seconds": trained.seconds, "cpu": trained.cpu, "bytes": file_size(net), "ids": ids,
           "ms": 1000 * asked.seconds / len(ids)}
    with Clock() as ranked:
        report = net.fit_ranking(X, Y)
    net.predict_topk(X_test[:10], K)
    with Clock() as asked:
        ids, _ = net.predict_topk(X_test, K)
    yield {"system": "network + ranking", "seconds": trained.seconds + ranked.seconds, "cpu": trained.cpu + ranked.cpu,
           "bytes": file_size(net), "ids": ids, "ms": 1000 * asked.seconds / len(ids), "report": report}


def votes(X, Y, X_test):
    """The row of the nearest rows' vote."""
    with Clock() as trained:
        step = make_features("tfidf").fit(X)
        voters = NeighbourVotes(NEIGHBOURS).fit(step.transform(X), Y)
        voters.nearest(step.transform(X_test[:1]))
    with Clock() as asked:
        shares = voters.votes(*voters.nearest(step.transform(X_test)))
        ids = metrics.ranking.top_k(shares, K, Y.shape[1])
    return {"system": f"vote of {NEIGHBOURS} neighbours", "seconds": trained.seconds, "cpu": trained.cpu, "bytes": voters.nbytes,
            "ids": ids, "ms": 1000 * asked.seconds / len(ids)}


def linear_svm(X, Y, X_test):
    """The row of scikit-learn's LinearSVC, one for each label."""
    from sklearn.feature_extraction.text import TfidfTransformer
    from sklearn.svm import LinearSVC

    step = TfidfTransformer().fit(X)
    A, B, columns = step.transform(X), step.transform(X_test), Y.tocsc()
    scores, kept = np.full((B.shape[0], Y.shape[1]), -np.inf), 0
    asked = 0.0
    with Clock() as trained:
        for label in range(Y.shape[1]):
            y = columns[:, [label]].toarray().ravel() > 0
            if y.any() and not y.all():
                model = LinearSVC(dual=True, tol=0.1).fit(A, y)
                kept += int((np.abs(model.coef_) > 0).sum())
                start = time.perf_counter()
                scores[:, label] = model.decision_function(B)
                asked += time.perf_counter() - start
    return {"system": "linear SVM, one for each label", "seconds": trained.seconds, "cpu": trained.cpu, "bytes": 12 * kept,
            "ids": np.argsort(-scores, axis=1, kind="stable")[:, :K], "ms": 1000 * asked / len(scores)}


def omikuji(python, X, Y, X_test, Y_test, threads):
    """The row of omikuji, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        train, test = (pathlib.Path(folder) / name for name in ("train.txt", "test.txt"))
        data.write_xc(train, X, Y)
        data.write_xc(test, X_test, Y_test)
        settings = {"train": str(train), "test": str(test), "threads": threads, "k": K}
        done = subprocess.run([python, pathlib.Path(__file__).with_name("omikuji_worker.py"), json.dumps(settings)], capture_output=True,
                              text=True, check=True)
    answer = json.loads(done.stdout.strip().split("\n")[-1])
    ids = np.array([row + [-1] * (K - len(row)) for row in answer["ids"]])
    return {"system": "omikuji (Parabel)", **{name: answer[name] for name in ("seconds", "cpu", "bytes", "ms")}, "ids": ids}


def run(args):
    """Measure the sets; returns (figures, table)."""
    import numba

    if args.threads:
        numba.set_num_threads(args.threads)
    threads = numba.get_num_threads()
    figures, lines = {}, [f"{threads} threads; s, cpu s: training; ms: one row of many; network of {args.epochs} epochs",
                          f"{'set':<13} {'system':<31} {'P@1':>6} {'P@3':>6} {'P@5':>6} {'s':>7} {'cpu s':>7} {'MB':>6} {'ms':>6}"]
    for name in args.sets:
        X, Y, X_test, Y_test = data.load_dataset(args.data / name)
        rows = [*ours(X, Y, X_test, args.epochs, args.lr, args.seed), votes(X, Y, X_test)]
        if Y.shape[1] <= SVM_UP_TO:
            rows.append(linear_svm(X, Y, X_test))
        if args.omikuji:
            rows.append(omikuji(args.omikuji, X, Y, X_test, Y_test, threads))
        for row in rows:
            precision = metrics.precision_at_k(Y_test, row.pop("ids"), K)
            row["P"] = [float(precision[k - 1]) for k in (1, 3, 5)]
            lines.append(f"{name:<13} {row['system']:<31} " + " ".join(f"{p:6.4f}" for p in row["P"])
                         + f" {row['seconds']:7.1f} {row['cpu']:7.1f} {row['bytes'] / 1e6:6.1f} {row['ms']:6.2f}")
        figures[name] = rows
    return figures, "\n".join(lines)
