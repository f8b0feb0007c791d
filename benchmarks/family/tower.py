"""One network of SOLAR's loss over all labels, with more epochs and other rates than it has beside SOLAR: what a row of weights for each
label can do."""

TRIES = ((10, 1e-2), (10, 2e-2))


def measure(args):
    """EURLEX57K."""
    from mongoose_nb import Network, data, metrics

    X, Y, X_test, Y_test = data.load_dataset(args.data / "eurlex57k")
    out = []
    for epochs, lr in TRIES:
        net = Network(X.shape[1], Y.shape[1], sampler="full", loss="logistic", lr=lr, lr_schedule="linear")
        net.fit(X, Y, epochs=epochs)
        values = metrics.precision_at_k(Y_test, net.predict_topk(X_test, 5)[0], 5)
        out.append({"epochs": epochs, "lr": lr, "P": [float(values[i]) for i in (0, 2, 4)]})
    return out


def text(found):
    """A row for each try."""
    lines = ["EURLEX57K, one network of the same loss and width, one seed", f"{'':34} {'P@1':>7} {'P@3':>7} {'P@5':>7}"]
    for row in found:
        name = f"{row['epochs']} epochs, rate {row['lr']:g}"
        lines.append(f"{name:34} " + " ".join(f"{value:7.4f}" for value in row["P"]))
    return "\n".join(lines)
