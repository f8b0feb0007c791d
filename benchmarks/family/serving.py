"""Serving by a target: outputs that are scored with P@1 within 0.2 points of all outputs, before and after functions learn."""

TARGET, EPOCHS = 0.002, 2


def measure(args):
    """EURLEX57K and Gowalla."""
    from mongoose_nb import Network, data
    from mongoose_nb.hashing import LearnedHash

    out = {}
    for name in ("eurlex57k", "xc_gowalla"):
        X, Y, X_test, Y_test = data.load_dataset(args.data / name)
        net = Network(X.shape[1], Y.shape[1], lr=2e-3, lr_schedule="linear")
        net.fit(X, Y, epochs=EPOCHS)
        row = {"labels": Y.shape[1], "exact": net.evaluate(X_test, Y_test, k=1)["P@1"], "systems": {}}
        for system, learn in (("random functions", LearnedHash(first_steps=1, lr=1e-9, labels=True)), ("learned functions", None)):
            report = net.fit_serving(X, Y, target=TARGET, learn=learn)
            row["systems"][system] = {**{key: report[key] for key in ("candidates", "scored", "share", "label_recall", "reached")},
                                      "P@1": net.evaluate(X_test, Y_test, k=1, exact=False)["P@1"]}
        out[name] = row
    return out


def text(found):
    """One table a set."""
    lines = [f"fewest candidates with P@1 within {TARGET:g} of all outputs on training rows kept aside; P@1 on test rows"]
    for name, row in found.items():
        lines += ["", f"{name}, {row['labels']:,} labels, P@1 of all outputs {row['exact']:.4f}"]
        lines += [f"  {system:18} {entry['candidates']:6} candidates, {entry['scored']:8.1f} scored ({entry['share']:.2%}), label recall "
                  f"{entry['label_recall']:.4f}, P@1 {entry['P@1']:.4f}" + ("" if entry["reached"] else ", target not reached")
                  for system, entry in row["systems"].items()]
    return "\n".join(lines)
