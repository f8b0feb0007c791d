"""Precision of a network by itself with one thing changed at a time, on several sets."""

import json
import pathlib

import numpy as np
import scipy.sparse as sp

from benchmarks.document import write_block
from mongoose_nb import Network, data, metrics, nn

HELP = "what helps a network by itself to generalise: dropout, smoothed labels, start from centroids, several networks"
LR, WIDTH, K = 5e-3, 128, 5
STEPS = 1500  # of training, about


def add_arguments(parser):
    """Arguments of ``python -m benchmarks network_choices``."""
    parser.add_argument("--sets", type=pathlib.Path, nargs="*", default=[], help="folders of sets, as `mongoose train` takes them")
    parser.add_argument("--systems", nargs="*", choices=list(SYSTEMS), default=list(SYSTEMS))
    parser.add_argument("--rows", type=int, default=20_000, help="most rows to train on")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--keep", type=pathlib.Path, help="JSON file to which the figures are added, those of the same set and system anew")
    parser.add_argument("--docs", type=pathlib.Path, help="folder of the documents, whose table is written from all that is kept")


def train(X, Y, seed, *, smoothing=0.0, centroids=False, **settings):
    """A network after all epochs; with `smoothing`, that share of the rows of an epoch has a random label instead of its own, which is
    label smoothing in the mean."""
    net = Network(X.shape[1], Y.shape[1], seed=seed, lr_schedule="constant" if smoothing else nn.Linear(),
                  sampler="full" if Y.shape[1] < 10_000 else nn.Uniform(1000), **{"hidden": (WIDTH,), "optimizer": nn.Adam(LR), **settings})
    if centroids:
        start_from_centroids(net, X, Y)
    rng = np.random.default_rng(seed)
    epochs = n_epochs(X.shape[0])
    if not smoothing:
        net.fit(X, Y, epochs=epochs)
        return net
    for epoch in range(epochs):  # as the schedule would have it, epoch by epoch
        net.optimizer.lr = LR * (1 - (epoch + 0.5) / epochs)
        net.fit(X, smoothed(Y, smoothing, rng), epochs=1)
    return net


def n_epochs(n):
    """Passes over n rows."""
    return max(3, round(STEPS * 256 / n))


def weighed(transformer, X):
    """Tf-idf rows of length one."""
    return transformer.transform(X).astype(np.float32)


def smoothed(Y, share, rng):
    """Labels of which some rows' are replaced by one that is drawn uniformly."""
    drawn = rng.random(Y.shape[0]) < share
    kept = sp.diags((~drawn).astype(np.float32)) @ Y
    rows = np.flatnonzero(drawn)
    other = sp.csr_matrix((np.ones(len(rows), np.float32), (rows, rng.integers(Y.shape[1], size=len(rows)))), shape=Y.shape)
    return (kept + other).tocsr()


def start_from_centroids(net, X, Y):
    """Output rows start as the mean hidden activations of their labels, at the length of the usual start."""
    h = net.hidden_activations(X)
    sums = Y.T.tocsr() @ (h - h.mean(axis=0))
    length = np.linalg.norm(sums, axis=1, keepdims=True)
    weights = net.output.weights.value
    usual = np.linalg.norm(weights, axis=1).mean()
    weights[:] = np.where(length > 0, usual * sums / np.where(length > 0, length, 1), weights)


def averaged(nets, X):
    """Best outputs by the mean of several networks' probabilities of their best fifty."""
    total = sum(sp.csr_matrix((p.ravel(), ids.ravel(), np.arange(0, ids.size + 1, ids.shape[1])), shape=(X.shape[0], nets[0].n_outputs))
                for ids, p in (net.predict_topk(X, 50, probabilities=True) for net in nets))
    best = np.zeros((X.shape[0], K), np.int64)
    for i in range(X.shape[0]):
        row = total[i]
        best[i] = row.indices[np.argsort(-row.data, kind="stable")[:K]]
    return best


SYSTEMS = {
    "plain": {},
    "one against all": {"loss": "logistic"},
    "input dropout 0.3": {"hidden": (nn.InputDropout(0.3), WIDTH)},
    "dropout 0.3": {"hidden": (WIDTH, nn.Dropout(0.3))},
    "label smoothing 0.1": {"smoothing": 0.1},
    "rows from centroids": {"centroids": True},
    "weight decay 0.3": {"optimizer": nn.Adam(LR, weight_decay=0.3)},
    "spread-out rows": {"regularizer": "spread-out"},
    "spread-out rows, 0.1": {"regularizer": nn.SpreadOut(0.1)},
    "width 384": {"hidden": (3 * WIDTH,)},
    "three networks": {"count": 3},
}


def score(settings, sets, seed):
    """P@1, P@3 and P@5 of one system."""
    X, Y, X_test, Y_test = sets
    settings = dict(settings)
    count = settings.pop("count", 1)
    nets = [train(X, Y, seed + 100 * i, **settings) for i in range(count)]
    best = averaged(nets, X_test) if count > 1 else nets[0].predict_topk(X_test, K)[0]
    return [float(p) for p in metrics.precision_at_k(Y_test, best, K)[[0, 2, 4]]]


def run(args):
    """Measure, keep, write."""
    from sklearn.feature_extraction.text import TfidfTransformer

    kept = json.loads(args.keep.read_text(encoding="utf-8")) if args.keep and args.keep.exists() else {}
    for folder in args.sets:
        X, Y, X_test, Y_test = data.load_dataset(folder)
        rows = np.random.default_rng(0).permutation(X.shape[0])[:args.rows]
        test = np.random.default_rng(0).permutation(X_test.shape[0])[:5000]
        weigh = TfidfTransformer().fit(X)
        sets = weighed(weigh, X[rows]), Y[rows], weighed(weigh, X_test[test]), Y_test[test]
        entry = {"rows": len(rows), "outputs": Y.shape[1], "epochs": n_epochs(len(rows)), "systems": {}}
        entry = kept[folder.name] = {**entry, "systems": kept.get(folder.name, entry)["systems"]}
        for name in args.systems:
            entry["systems"][name] = [score(SYSTEMS[name], sets, seed) for seed in range(args.seeds)]
            print(folder.name, name, np.round(np.mean(entry["systems"][name], axis=0), 4), flush=True)  # noqa: T201
            if args.keep:
                args.keep.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    shown = table(kept)
    if args.docs is not None:
        write_block(args.docs / "development" / "accuracy.md", "network choices", shown)
    return kept, shown


def table(kept):
    """Means of the seeds, and the largest difference between two of them."""
    lines = []
    for name, entry in kept.items():
        lines.append(f"{name}: {entry['rows']:,} rows, {entry['outputs']:,} labels, {entry['epochs']} epochs, tf-idf rows of length one")
        lines.append(f"  {'':24}{'P@1':>8}{'P@3':>8}{'P@5':>8}{'P@1 of the seeds':>20}")
        for system, runs in entry["systems"].items():
            mean, first = np.mean(runs, axis=0), [run[0] for run in runs]
            lines.append(f"  {system:24}" + "".join(f"{value:8.4f}" for value in mean) + f"{min(first):12.4f} - {max(first):.4f}")
    return "\n".join(lines)
