"""Ways to find outputs over the same weights at equal P@1: outputs scored, multiply-adds, milliseconds; what learning adds.

Run by a Python that has faiss: ``IVF`` and ``HNSW`` are left out where it is not there.
"""

import importlib.util
import statistics
import sys
import time

import numpy as np

TARGET, LR, HELD, TEST = 0.002, 5e-3, 2000, 10_000
#: folder -> epochs; those that are not there are left out
SETS = {"eurlex57k": 4, "xc_gowalla": 8, "xc_diginetica": 1, "next-word": 1, "amazon-670k": 1}
#: systems that score thousands of outputs for a row are left out where there are more outputs than this
MANY = 100_000
PROBES, WIDTHS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512), (10, 20, 40, 80, 160, 320, 640, 1280)
SINGLE, IN_A_ROW, BATCH = 200, 20, 256


def _systems(n_outputs):
    """Name -> settings of `fit_serving`."""
    from mongoose_nb.hashing import LearnedHash

    tables = {"tables, random functions": {"learn": LearnedHash(first_steps=1, lr=1e-9, labels=True)},
              "tables, learned (default)": {}, "tables, the paper's loss": {"learn": "logistic"}}
    return tables if n_outputs > MANY else {**tables, "LSHIndex": {"retriever": "index"}, "SOLAR": {"retriever": "solar"}}


def _hnsw():
    """A retriever by faiss's HNSW; its knob is the width of the search."""
    import faiss

    from mongoose_nb.nn.retrieval.base import padded_sets, with_bias
    from mongoose_nb.nn.retrieval.ivf import IVFRetriever

    class HNSW(IVFRetriever):
        def build(self, step):
            if not self.built(step):
                rows = with_bias(self._weights.value, self._bias.value)
                self._index, self._built = faiss.IndexHNSWFlat(rows.shape[1], 32, faiss.METRIC_INNER_PRODUCT), step
                self._index.add(rows)
                self._index.hnsw.efSearch = self.probes

        def retrieve(self, h, n, timer, step):
            self.build(step)
            return padded_sets(self._index.search(with_bias(h), n)[1])

        def multiply_adds(self, n):
            stats = faiss.cvar.hnsw_stats
            return float((self._weights.value.shape[1] + 1) * stats.ndis / max(1, stats.nsearch or stats.n1))

    return HNSW


def _rivals(net, X, Y, exact):
    """(name, knob, whether it reached the target, retriever) of faiss's indexes, with the least work that reaches it on these rows."""
    if importlib.util.find_spec("faiss") is None:
        return
    from mongoose_nb.nn.retrieval.ivf import IVFRetriever

    for name, kind, knobs in (("faiss IVF", IVFRetriever, PROBES), ("faiss HNSW", _hnsw(), WIDTHS)):
        net.use_retriever(kind(5, probes=knobs[0]))
        net.retriever.build(net.step)
        index = net.retriever._index
        for knob in knobs:
            if name == "faiss IVF":
                index.nprobe = knob
            else:
                index.hnsw.efSearch = knob
            reached = net.evaluate(X, Y, k=1, exact=False)["P@1"] >= exact - TARGET
            if reached:
                break
        yield name, knob, reached, net.retriever


def _recall(ids, Y):
    return float(np.mean([len(np.intersect1d(row[row >= 0], Y.indices[a:b])) for row, a, b in zip(ids, Y.indptr, Y.indptr[1:])])
                 / np.diff(Y.indptr).mean())


def measure(args):
    """Every set, its work chosen by rows that the network has not seen; figures are those of test rows."""
    from mongoose_nb import Network, data

    found = {}
    for name in (name for name in SETS if (args.data / name).exists()):
        found[name] = _one(name, Network, data.load_dataset(args.data / name))
        print(text({name: found[name]}), file=sys.stderr, flush=True)
    return found


def _one(name, Network, sets):
    X, Y, X_test, Y_test = sets
    rng = np.random.default_rng(0)
    order, test = rng.permutation(X.shape[0]), rng.permutation(X_test.shape[0])[:TEST]
    held, known, X_test, Y_test = order[:HELD], order[HELD:], X_test[test], Y_test[test]
    X_held, Y_held, X, Y = X[held], Y[held], X[known], Y[known]
    net = Network(X.shape[1], Y.shape[1], lr=LR, lr_schedule="linear")
    net.fit(X, Y, epochs=SETS[name])
    exact = net.evaluate(X_held, Y_held, k=1)["P@1"]
    n = max(100, Y.shape[1] // 100)
    row = {"labels": Y.shape[1], "width": net.output.n_inputs, "exact": net.evaluate(X_test, Y_test, k=1)["P@1"], "systems": {},
           "same": {"candidates": n, "recall": {}}}
    retrievers = {}
    for system, settings in _systems(Y.shape[1]).items():
        for tables, sizes in (("default tables", {}), ("K=8, L=50", {"K": 8, "L": 50})) if system.startswith("tables") else ():
            net.fit_serving(X, Y, candidates=n, **sizes, **settings)
            ids = net.candidates(X_test[:HELD])
            entry = {"scored": float((ids >= 0).sum(1).mean()), "label_recall": _recall(ids, Y_test[:HELD])}
            row["same"]["recall"].setdefault(tables, {})[system] = entry
        report = net.fit_serving(X, Y, target=TARGET, validation=(X_held, Y_held), **settings)
        retrievers[system] = net.retriever
        row["systems"][system] = {"knob": report["candidates"], "reached": report["reached"], "fit": report["seconds"],
                                  "retrieval": net.retriever.multiply_adds(report["candidates"])}
    for system, knob, reached, retriever in _rivals(net, X_held, Y_held, exact):
        retrievers[system], row["systems"][system] = retriever, {"knob": knob, "reached": reached, "fit": None}
    for system, retriever in retrievers.items():
        net.retriever, entry = retriever, row["systems"][system]
        reset = importlib.util.find_spec("faiss") and system == "faiss HNSW"
        if reset:
            import faiss
            faiss.cvar.hnsw_stats.reset()
        ids = net.candidates(X_test)
        if reset:
            entry["retrieval"] = (row["width"] + 1) * faiss.cvar.hnsw_stats.ndis / X_test.shape[0]
        elif "retrieval" not in entry:
            entry["retrieval"] = retriever.multiply_adds(5)
        entry["scored"] = float((ids >= 0).sum(1).mean())
        entry["label_recall"] = _recall(ids, Y_test)
        entry["P@1"] = net.evaluate(X_test, Y_test, k=1, exact=False)["P@1"]
        entry["multiply_adds"] = entry["retrieval"] + entry["scored"] * row["width"]
    _time(net, X_test, {"all outputs": None, **retrievers}, row)
    return row


def _time(net, X, retrievers, row):
    """Processor milliseconds of single rows and of batches, by the systems in turn."""
    n = row["labels"]
    exact = {"knob": n, "reached": True, "fit": None, "scored": float(n), "label_recall": 1.0, "P@1": row["exact"],
             "multiply_adds": float(n * row["width"])}
    row["systems"] = {"all outputs": exact, **row["systems"]}
    rows, batches = [X[i:i + 1] for i in range(SINGLE)], [X[lo:lo + BATCH] for lo in range(0, 8 * BATCH, BATCH)]
    for kind, parts, turn in (("single", rows, IN_A_ROW), ("batch", batches, 1)):
        seconds = {name: [] for name in retrievers}
        for lo in range(-turn, len(parts), turn):  # the first turn compiles and warms the caches
            for name, retriever in retrievers.items():
                net.retriever = retriever
                for part in parts[max(lo, 0):max(lo, 0) + turn]:
                    start = time.process_time()
                    net.predict_topk(part, 1, exact=retriever is None)
                    if lo >= 0:
                        seconds[name].append(time.process_time() - start)
        for name, values in seconds.items():
            row["systems"][name][kind] = 1e3 * statistics.median(values)


def text(found):
    """One table a set."""
    lines = [f"Each system has the least work with which P@1 is within {TARGET:g} of all outputs on {HELD:,} rows that the network was not",
             "trained on; figures of test rows.",
             "Processor milliseconds on one thread are medians of single rows and batches of 256, in one run by turns, hidden layer too;",
             "knob: candidates, clusters looked into (IVF), width of the search (HNSW)."]
    for name, row in found.items():
        lines += ["", f"{name}, {row['labels']:,} labels, width {row['width']}, P@1 of all outputs {row['exact']:.4f}",
                  f"{'':26} {'knob':>6} {'scored':>8} {'share':>7} {'recall':>7} {'P@1':>7} {'mult.-adds':>11} {'single ms':>10} "
                  f"{'256 ms':>8}"]
        for system, e in row["systems"].items():
            lines.append(f"{system:26} {e['knob']:6} {e['scored']:8.1f} {e['scored'] / row['labels']:7.2%} {e['label_recall']:7.4f} "
                         f"{e['P@1']:7.4f} {e['multiply_adds']:11,.0f} {e['single']:10.3f} {e['batch']:8.2f}"
                         + ("" if e["reached"] else "  target not reached"))
        same = row["same"]
        for tables, recall in same["recall"].items():
            lines.append(f"label recall with at most {same['candidates']} candidates, {tables}: " + "; ".join(
                f"{system.removeprefix('tables, ')} {e['label_recall']:.4f} ({e['scored']:.0f} scored)" for system, e in recall.items()))
    return "\n".join(lines)
