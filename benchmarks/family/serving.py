"""Serving by a target: outputs that are scored with P@1 within 0.2 points of all outputs, before and after functions learn."""

import time

import numpy as np

TARGET, LR, HELD, TEST = 0.002, 5e-3, 2000, 10_000
#: folder -> epochs; those that are not there are left out
SETS = {"eurlex57k": 4, "xc_gowalla": 8, "xc_diginetica": 1, "next-word": 1, "amazon-670k": 1}


def measure(args):
    """The number of candidates is chosen by rows that the network has not seen; scores are those of test rows."""
    from mongoose_nb import Network, data
    from mongoose_nb.hashing import LearnedHash

    out = {}
    for name in (name for name in SETS if (args.data / name).exists()):
        X, Y, X_test, Y_test = data.load_dataset(args.data / name)
        rng = np.random.default_rng(0)
        order, test = rng.permutation(X.shape[0]), rng.permutation(X_test.shape[0])[:TEST]
        held, known, X_test, Y_test = order[:HELD], order[HELD:], X_test[test], Y_test[test]
        net = Network(X.shape[1], Y.shape[1], lr=LR, lr_schedule="linear")
        net.fit(X[known], Y[known], epochs=SETS[name])
        row = {"labels": Y.shape[1], "epochs": SETS[name], "exact": net.evaluate(X_test, Y_test, k=1)["P@1"],
               "single": _single(net, X_test, exact=True), "systems": {}}
        for system, learn in (("random functions", LearnedHash(first_steps=1, lr=1e-9, labels=True)), ("learned functions", None)):
            report = net.fit_serving(X[known], Y[known], target=TARGET, learn=learn, validation=(X[held], Y[held]))
            row["systems"][system] = {**{key: report[key] for key in ("candidates", "scored", "share", "label_recall", "reached")},
                                      "P@1": net.evaluate(X_test, Y_test, k=1, exact=False)["P@1"],
                                      "single": _single(net, X_test, exact=False)}
        out[name] = row
    return out


def _single(net, X, exact, rows=200):
    """Median milliseconds of a row that is asked for alone."""
    seconds = []
    for i in range(rows):
        row, start = X[i], time.perf_counter()
        net.predict_topk(row, 1, exact=exact)
        seconds.append(time.perf_counter() - start)
    return 1000 * float(np.median(seconds))


def text(found):
    """One table a set."""
    lines = [f"fewest candidates with P@1 within {TARGET:g} of all outputs on {HELD:,} rows that the network was not trained on; P@1 on",
             "test rows; median time of a single row"]
    for name, row in found.items():
        lines += ["", f"{name}, {row['labels']:,} labels, {row['epochs']} epochs, P@1 of all outputs {row['exact']:.4f}, "
                  f"{row['single']:.2f} ms"]
        lines += [f"  {system:18} {entry['candidates']:7,} candidates, {entry['scored']:9,.1f} scored ({entry['share']:.2%}), label recall "
                  f"{entry['label_recall']:.4f}, P@1 {entry['P@1']:.4f}, {entry['single']:.2f} ms"
                  + ("" if entry["reached"] else ", target not reached") for system, entry in row["systems"].items()]
    return "\n".join(lines)
