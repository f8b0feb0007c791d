"""Answers of a trained network: P@1 and latency through trained hash tables, beside all outputs by BLAS and FAISS over the same weights.

Every system gets the same sparse rows and computes the hidden layer itself, by the network; what differs is how the best outputs are
found. Single queries are timed one by one, some in a row by each system in turn: a service runs one system, whose tables then lie in the
processor's caches as far as they fit.
"""

import statistics
import time

import numpy as np

from benchmarks.systems import BATCH, Ours
from mongoose_nb import data, nn

K = 5
IN_A_ROW = 20


class Exact:
    """All outputs, by the library's own blocks."""

    def __init__(self, net):
        self.net = net

    def __call__(self, X):
        """Ids of the best K outputs."""
        return self.net.predict_topk(X, K)[0]


class Served(Exact):
    """Through the tables of `fit_serving`."""

    def __init__(self, net, candidates):
        self.net, self.candidates = net, candidates

    def __call__(self, X):
        """Ids of the best K outputs."""
        return self.net.predict_topk(X, K, exact=False, candidates=self.candidates)[0]

    def share(self, X):
        """Share of the outputs that are computed for a row."""
        h = self.net.hidden_activations(X)
        from mongoose_nb.nn.training.timing import PhaseTimer

        return float(self.net.retriever.retrieve(h, self.candidates, PhaseTimer(), self.net.step).count.mean()) / self.net.n_outputs


class NumPy(Exact):
    """All outputs by one product of NumPy's BLAS, on all threads, and a partial sort."""

    def __call__(self, X):
        """Ids of the best K outputs."""
        z = self.net.hidden_activations(X) @ self.net.output.weights.value.T
        z += self.net.output.bias.value
        best = np.argpartition(z, -K, axis=1)[:, -K:]
        return np.take_along_axis(best, np.argsort(-np.take_along_axis(z, best, 1), axis=1), 1)


class Faiss(Exact):
    """A FAISS index over weights with the bias as a further coordinate."""

    def __init__(self, net, kind, **settings):
        import faiss

        self.net = net
        rows = np.ascontiguousarray(np.column_stack([net.output.weights.value, net.output.bias.value]))
        self.index = faiss.index_factory(rows.shape[1], kind, faiss.METRIC_INNER_PRODUCT)
        self.index.train(rows)
        self.index.add(rows)
        for name, value in settings.items():
            faiss.ParameterSpace().set_index_parameter(self.index, name, value)

    def __call__(self, X):
        """Ids of the best K outputs."""
        h = self.net.hidden_activations(X)
        return self.index.search(np.column_stack([h, np.ones(len(h), np.float32)]), K)[1]


def _systems(net, args):
    yield "all outputs, this library", Exact(net)
    for candidates in args.candidates:
        yield f"trained tables, {candidates:,}", Served(net, candidates)
    yield "all outputs, NumPy", NumPy(net)
    try:
        import faiss  # noqa: F401
    except ImportError:
        return
    yield "FAISS Flat", Faiss(net, "Flat")
    lists = int(4 * np.sqrt(net.n_outputs))
    for probes in args.probes:
        yield f"FAISS IVF{lists}, nprobe {probes}", Faiss(net, f"IVF{lists},Flat", nprobe=probes)
    if args.hnsw:
        yield "FAISS HNSW32", Faiss(net, "HNSW32")


def _answers(system, X):
    """The best outputs of all rows, a batch at a time: NumPy's product for 5,000 rows and 670,091 outputs would take 13 GB."""
    return np.vstack([system(X[lo:lo + BATCH]) for lo in range(0, X.shape[0], BATCH)])


def _precision(ids, Y):
    return float(np.mean([i in Y.indices[Y.indptr[r]:Y.indptr[r + 1]] for r, i in enumerate(ids[:, 0])]))


def run(args):
    """Measure. See ``python -m benchmarks serve --help``."""
    X, Y, X_test, Y_test = sets = data.load_dataset(args.set)
    network = Ours(nn.Uniform(1000), sets, lr=args.lr)
    network.train(round(args.epochs * X.shape[0] / BATCH))
    net = network.net
    if args.weights:
        args.weights.mkdir(parents=True, exist_ok=True)
        h = net.hidden_activations(X_test)
        np.save(args.weights / "rows.npy", np.column_stack([net.output.weights.value, net.output.bias.value]))
        np.save(args.weights / "queries.npy", np.column_stack([h, np.ones(len(h), np.float32)]))
    report = net.fit_serving(X, Y)
    systems = dict(_systems(net, args))
    n = args.n_single
    X_test, Y_test = X_test[:args.n_test], Y_test[:args.n_test]
    rows = [X_test[i:i + 1] for i in range(n)]
    result = {"set": args.set.name, "outputs": net.n_outputs, "fit_serving_s": report["seconds"], "systems": {}}
    exact = _answers(systems["all outputs, this library"], X_test)
    single = {name: [] for name in systems}
    batch = {name: [] for name in systems}
    for system in systems.values():  # compile, build
        for row in rows[:5]:
            system(row)
        system(X_test[:BATCH])
    for lo in range(0, n, IN_A_ROW):
        for name, system in systems.items():
            for row in rows[lo:lo + IN_A_ROW]:
                start = time.perf_counter()
                system(row)
                single[name].append(time.perf_counter() - start)
    for lo in range(0, min(args.batches * BATCH, X_test.shape[0] - BATCH + 1), BATCH):
        for name, system in systems.items():
            block = X_test[lo:lo + BATCH]
            start = time.perf_counter()
            system(block)
            batch[name].append(time.perf_counter() - start)
    reference = statistics.median(single["all outputs, NumPy"])
    for name, system in systems.items():
        ids = _answers(system, X_test)
        result["systems"][name] = {
            "P@1": _precision(ids, Y_test), "recall@5": float((exact[:, :, None] == ids[:, None, :]).any(2).mean()),
            "share": system.share(X_test) if isinstance(system, Served) else None,
            **{f"{kind}_p{p}_ms": float(np.percentile(times[name], p)) * 1e3 for kind, times in (("single", single), ("batch", batch))
               for p in (50, 99)},
            "x NumPy": reference / statistics.median(single[name])}
    return result, table(result)


def table(result):
    """The result as text."""
    lines = [f"{result['set']}, {result['outputs']:,} outputs; trained tables took {result['fit_serving_s']:.1f} s to train",
             f"{'system':34} {'P@1':>7} {'recall@5':>8} {'computed':>8} {'single p50':>10} {'p99':>7} {'x NumPy':>8} {'256 p50':>8} "
             f"{'p99':>7}"]
    for name, e in result["systems"].items():
        share = " " * 8 if e["share"] is None else f"{e['share']:8.2%}"
        lines.append(f"{name:34} {e['P@1']:7.4f} {e['recall@5']:8.3f} {share} {e['single_p50_ms']:7.3f} ms {e['single_p99_ms']:7.3f} "
                     f"{e['x NumPy']:8.1f} {e['batch_p50_ms']:8.2f} {e['batch_p99_ms']:7.2f}")
    return "\n".join(lines)
