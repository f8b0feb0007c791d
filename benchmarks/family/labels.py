"""LSH Label and LSH Embedding beside uniform and frequent negatives: P@1 after the same steps with as many negatives."""

import statistics

NEGATIVES, EPOCHS, ROWS, LR = 100, 2, 20_000, 2e-3


def measure(args):
    """EURLEX57K and Gowalla, the first rows of the training data."""
    from mongoose_nb import Network, data, nn

    tables = dict(K=8, L=50)
    samplers = {
        "uniform": lambda: nn.Uniform(NEGATIVES, shape="sample", correction="none"),
        "uniform, corrected": lambda: nn.Uniform(NEGATIVES, shape="sample"),
        "frequency and uniform, corrected": lambda: nn.Uniform(NEGATIVES, shape="sample", proposal="mixture"),
        "LSH Embedding": lambda: nn.LSH(NEGATIVES, correction="none", head=1.0, tables=nn.Tables(**tables)),
        "LSH Label": lambda: nn.LSH(NEGATIVES, query="label", correction="none", head=1.0, tables=nn.Tables(**tables)),
        "LSH Label, half uniform": lambda: nn.LSH(NEGATIVES, query="label", correction="none", tables=nn.Tables(**tables)),
        "LSH Label, half uniform, corrected": lambda: nn.LSH(NEGATIVES, query="label", tables=nn.Tables(**tables)),
    }
    out = {}
    for name in ("eurlex57k", "xc_gowalla"):
        X, Y, X_test, Y_test = data.load_dataset(args.data / name)
        X, Y, X_test, Y_test = X[:ROWS], Y[:ROWS], X_test[:4000], Y_test[:4000]
        out[name] = {"labels": Y.shape[1], "P@1": {}}
        for system, make in samplers.items():
            scores = []
            for seed in range(args.seeds):
                net = Network(X.shape[1], Y.shape[1], sampler=make(), lr=LR, lr_schedule="linear", seed=seed)
                net.fit(X, Y, epochs=EPOCHS)
                scores.append(net.evaluate(X_test, Y_test, k=1)["P@1"])
            out[name]["P@1"][system] = scores
    return out


def text(found):
    """P@1 of every sampler."""
    lines = [f"P@1 with {NEGATIVES} negatives a sample, {EPOCHS} epochs of {ROWS:,} rows, rate {LR:g} falling to zero; mean (range) of the "
             "seeds"]
    for name, row in found.items():
        lines += ["", f"{name}, {row['labels']:,} labels"]
        lines += [f"  {system:36} {statistics.mean(scores):.4f} ({min(scores):.4f} to {max(scores):.4f})"
                  for system, scores in row["P@1"].items()]
    return "\n".join(lines)
