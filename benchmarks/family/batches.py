"""Rows of a step drawn by gradients (LGD) and by hardness, beside rows in turn: loss and P@1 by epochs, processor seconds."""

import statistics
import time

EPOCHS, ROWS, HELD = 4, 20_000, 4000


def measure(args):
    """EURLEX57K, the first rows of the training data."""
    from mongoose_nb import Network, data, nn

    X, Y, X_test, Y_test = data.load_dataset(args.data / "eurlex57k")
    X, Y, X_test, Y_test = X[:ROWS], Y[:ROWS], X_test[:HELD], Y_test[:HELD]
    out = {"labels": Y.shape[1], "rows": ROWS, "variance": {}, "systems": {}}

    def made(seed):
        return Network(X.shape[1], Y.shape[1], sampler="full", lr=2e-3, seed=seed)

    for batches in ("uniform", "lgd", "hardness"):
        made(0).fit(X[:512], Y[:512], epochs=1, batches=batches)  # compiles
        runs = []
        for seed in range(args.seeds):
            net, run = made(seed), {"P@1": [], "loss": [], "seconds": []}
            for _ in range(EPOCHS):
                start = time.process_time()
                net.fit(X, Y, epochs=1, batches=batches)
                run["seconds"].append(time.process_time() - start)
                run["P@1"].append(net.evaluate(X_test, Y_test, k=1)["P@1"])
                run["loss"].append(_loss(net, X[:2048], Y[:2048]))
                if batches == "uniform" and seed == 0:
                    for name in ("lgd", "hardness"):
                        out["variance"].setdefault(name, []).append(nn.row_variance(net, X, Y, name))
            runs.append(run)
        out["systems"][batches] = {key: [statistics.median(run[key][e] for run in runs) for e in range(EPOCHS)] for key in runs[0]}
    return out


def _loss(net, X, Y):
    """Mean loss of some training rows, all outputs computed."""
    from mongoose_nb.core.arrays import Rows
    from mongoose_nb.nn import Run

    return net.loss_and_gradients(Rows.of(X), Rows.of(Y), run=Run(net.step, train=False))[0]


def text(found):
    """A row for each sampler."""
    lines = [f"EURLEX57K, {found['rows']:,} rows, {found['labels']:,} labels, softmax over all outputs, rate 0.002; median of the seeds",
             f"{'after epoch':40}" + "".join(f"{e + 1:>9}" for e in range(EPOCHS))]
    for system, row in found["systems"].items():
        for key, form in (("loss", "9.4f"), ("P@1", "9.4f"), ("seconds", "9.2f")):
            what = {"loss": "loss of 2,048 training rows", "P@1": "P@1 of test rows", "seconds": "processor seconds of the epoch"}[key]
            lines.append(f"{system if key == 'loss' else '':10}{what:30}" + "".join(f"{value:{form}}" for value in row[key]))
    lines += [f"{f'mean square, {name} / uniform':40}" + "".join(f"{value:9.2f}" for value in values)
              for name, values in found["variance"].items()]
    return "\n".join(lines)
