"""SOLAR beside one network of the same loss over all labels: P@1, candidates, seconds."""

import functools
import time

EPOCHS, RATES = 5, (2e-3, 1e-2)


def measure(args):
    """EURLEX57K."""
    from mongoose_nb import Network, SolarClassifier, data, metrics

    X, Y, X_test, Y_test = data.load_dataset(args.data / "eurlex57k")
    out = {"labels": Y.shape[1], "systems": {}}

    def score(ids):
        return [float(value) for value in metrics.precision_at_k(Y_test, ids, 5)[[0, 2, 4]]]

    def one(lr):
        net = Network(X.shape[1], Y.shape[1], sampler="full", loss="logistic", lr=lr, lr_schedule="linear")
        net.fit(X, Y, epochs=EPOCHS)
        return lambda: (net.predict_topk(X_test, 5)[0], Y.shape[1])

    def solar(lr, chunks):
        model = SolarClassifier(chunks, 256, epochs=EPOCHS, lr=lr, random_state=0).fit(X, Y)
        return lambda: (model.predict_topk(X_test, 5)[0], model.candidates_)

    chunked = {f"SOLAR, {chunks} chunks": functools.partial(solar, chunks=chunks) for chunks in (2, 4, 8)}
    for name, make in {"one network": one, **chunked}.items():
        rows = []
        for lr in RATES:
            start = time.perf_counter()
            ask = make(lr)
            seconds, start = time.perf_counter() - start, time.perf_counter()
            ids, candidates = ask()
            rows.append({"P": score(ids), "seconds": seconds, "candidates": candidates, "ask": time.perf_counter() - start, "lr": lr})
        out["systems"][name] = max(rows, key=lambda row: row["P"][0])
    return out


def text(found):
    """One table."""
    lines = [f"EURLEX57K, {found['labels']:,} labels, {EPOCHS} epochs, one-vs-all loss, buckets 256, the better of two rates, one seed",
             f"{'':20} {'P@1':>7} {'P@3':>7} {'P@5':>7} {'candidates':>11} {'training s':>11} {'asking s':>9}"]
    for name, row in found["systems"].items():
        lines.append(f"{name:20} " + " ".join(f"{value:7.4f}" for value in row["P"])
                     + f" {row['candidates']:11.1f} {row['seconds']:11.1f} {row['ask']:9.2f}")
    return "\n".join(lines)
