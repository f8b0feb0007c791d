"""Density sketches beside scikit-learn: log densities of mixtures, anomalies, classifiers trained on samples; count-min bounds."""

import math
import pickle
import time

import numpy as np

from mongoose_nb.sketch import CountMinSketch, DensitySketch

TRIALS = 10_000


class Mixture:
    """Gaussian mixture with known density."""

    def __init__(self, dim, seed):
        rng = np.random.default_rng(seed)
        self.means, self.stds = 3 * rng.standard_normal((3, dim)), rng.uniform(0.4, 1.2, (3, dim))
        self.weights = np.array([0.5, 0.3, 0.2])

    def sample(self, n, seed):
        """Points."""
        rng = np.random.default_rng(seed)
        which = rng.choice(3, n, p=self.weights)
        return self.means[which] + self.stds[which] * rng.standard_normal((n, self.means.shape[1]))

    def log_density(self, X):
        """The truth."""
        parts = [np.log(w) - 0.5 * (((X - m) / s) ** 2).sum(axis=1) - np.log(s).sum() - 0.5 * X.shape[1] * math.log(2 * math.pi)
                 for w, m, s in zip(self.weights, self.means, self.stds)]
        return np.logaddexp.reduce(parts)


def scaled_kde(X):
    """KernelDensity on whitened rows, with Scott's bandwidth, and a function for new rows."""
    from sklearn.neighbors import KernelDensity

    mean, std = X.mean(axis=0), X.std(axis=0)
    std[std == 0] = 1
    n, d = X.shape
    model = KernelDensity(bandwidth=n ** (-1 / (d + 4)), rtol=1e-3).fit((X - mean) / std)
    return model, lambda Q: model.score_samples((Q - mean) / std) - np.log(std).sum()


def mixtures():
    """Mean absolute error of the log density at new points, and integrated squared error by n."""
    out = {}
    for dim in (1, 2, 5):
        truth = Mixture(dim, dim)
        Q = truth.sample(5000, 9)
        want = truth.log_density(Q)
        for n in (1000, 10_000, 100_000):
            X = truth.sample(n, 1)
            sketch = DensitySketch().fit(X)
            got = sketch.score_samples(Q)
            row = {"n": n, "dim": dim, "sketch": float(np.abs(got - want).mean()), "bias": float((got - want).mean()),
                   "squared": float(((np.exp(got) - np.exp(want)) ** 2 / np.exp(want)).mean()), "bytes": sketch.nbytes}
            if n <= 10_000:
                row["KernelDensity"] = float(np.abs(scaled_kde(X)[1](Q) - want).mean())
            out[f"{dim} {n}"] = row
    grid = np.linspace(-12, 12, 400)
    plane = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
    sketch = DensitySketch().fit(Mixture(2, 2).sample(10_000, 1))
    out["mass"] = float(np.exp(sketch.score_samples(plane)).sum() * (grid[1] - grid[0]) ** 2)
    return out


def anomalies(data):
    """AUC, seconds and bytes; fitted on a half of all rows, scored on the other."""
    from sklearn.ensemble import IsolationForest
    from sklearn.metrics import roc_auc_score
    from sklearn.mixture import GaussianMixture

    DensitySketch().fit(np.random.default_rng(0).standard_normal((100, 3))).score_samples(np.zeros((1, 3)))  # compiles
    out = {}
    for name in ("thyroid", "shuttle"):
        file = np.load(data / "anomaly" / f"{name}.npz")
        X, y = file["X"].astype(np.float64), file["y"].astype(int)
        order = np.random.default_rng(0).permutation(len(X))
        train, test = order[: len(X) // 2], order[len(X) // 2:][:10_000]
        mean, std = X[train].mean(axis=0), X[train].std(axis=0)
        Z = (X - mean) / std

        def kde(rows):
            model, score = scaled_kde(rows)
            return model, lambda Q: -score(Q)

        def forest(rows):
            model = IsolationForest(random_state=0).fit(rows)
            return model, lambda Q: -model.score_samples(Q)

        def mixture(rows):
            model = GaussianMixture(5, random_state=0, reg_covar=1e-4).fit(rows)
            return model, lambda Q: -model.score_samples(Q)

        def sketch(rows):
            model = DensitySketch().fit(rows)
            return model, model.anomaly_scores

        def wide(rows):
            model = DensitySketch(4.0, whiten=False).fit(rows)
            return model, model.anomaly_scores

        out[name] = {"rows": len(train), "columns": X.shape[1], "systems": {}}
        for system, make in (("DensitySketch", sketch), ("DensitySketch(4.0, whiten=False)", wide), ("KernelDensity", kde),
                             ("IsolationForest", forest), ("GaussianMixture", mixture)):
            start = time.perf_counter()
            model, score = make(Z[train])
            fitted = time.perf_counter() - start
            values = score(Z[test])
            seconds = time.perf_counter() - start - fitted
            size = model.nbytes if hasattr(model, "nbytes") else len(pickle.dumps(model))
            out[name]["systems"][system] = {"auc": float(roc_auc_score(y[test], values)), "fit seconds": fitted, "score seconds": seconds,
                                            "bytes": size}
            print(name, system, out[name]["systems"][system], flush=True)
    return out


def classifiers(data):
    """Accuracy of 5 nearest neighbours trained on real rows and on as many samples, a sketch for each class."""
    from sklearn.datasets import load_breast_cancer, load_digits
    from sklearn.decomposition import PCA
    from sklearn.model_selection import train_test_split
    from sklearn.neighbors import KNeighborsClassifier

    file = np.load(data / "anomaly" / "shuttle.npz")
    digits, cancer = load_digits(), load_breast_cancer()
    sets = {"digits, 6 components": (PCA(6, random_state=0).fit_transform(digits.data), digits.target),
            "breast cancer, 6 components": (PCA(6, random_state=0).fit_transform((cancer.data - cancer.data.mean(0)) / cancer.data.std(0)),
                                            cancer.target),
            "shuttle": (file["X"].astype(np.float64), file["y"].astype(int))}
    out = {}
    for name, (X, y) in sets.items():
        X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=1 / 3, random_state=0, stratify=y)
        mean, std = X_train.mean(axis=0), X_train.std(axis=0)
        X_train, X_test = (X_train - mean) / std, (X_test - mean) / std
        real = KNeighborsClassifier(5).fit(X_train, y_train).score(X_test, y_test)
        rows = {}
        for bandwidth in (0.25, 0.5, 1.0):
            samples, labels, cells, size = [], [], 0, 0
            first = DensitySketch(bandwidth, n_repeats=1, levels=1).fit(X_train)
            for label in np.unique(y_train):
                part = X_train[y_train == label]
                sketch = first.like().partial_fit(part)
                samples.append(sketch.sample(len(part), seed=int(label)))
                labels.append(np.full(len(part), label))
                cells += sketch.report()["cells"]
                size += sketch.nbytes
            score = KNeighborsClassifier(5).fit(np.concatenate(samples), np.concatenate(labels)).score(X_test, y_test)
            rows[str(bandwidth)] = {"accuracy": float(score), "cells": cells, "bytes": size}
        out[name] = {"rows": len(X_train), "real": float(real), "bandwidths": rows,
                     "balanced": float(max(np.bincount(y_test)) / len(y_test))}
        print(name, out[name], flush=True)
    return out


def count_min():
    """Estimates below the count, and beyond the bound, over random streams."""
    rng = np.random.default_rng(0)
    below = beyond = 0
    for trial in range(TRIALS):
        keys = rng.zipf(1.3, 200).astype(np.uint64) % np.uint64(1000)
        sketch = CountMinSketch(width=64, depth=3, seed=trial)
        sketch.add(keys)
        some, counts = np.unique(keys, return_counts=True)
        one = rng.integers(len(some))
        estimate = int(sketch.estimate(some[one:one + 1])[0])
        below += estimate < counts[one]
        beyond += estimate > counts[one] + sketch.error_bound()[0]
    return {"trials": TRIALS, "below": int(below), "beyond": int(beyond), "allowed beyond": math.exp(-3)}


def merging():
    """Whether the merged sketches of ten parts equal that of the whole, bit for bit."""
    X = Mixture(4, 1).sample(50_000, 2)
    whole = DensitySketch(max_cells=2000).fit(X)
    parts = [whole.like().partial_fit(part) for part in np.array_split(X[np.random.default_rng(1).permutation(len(X))], 10)]
    for part in parts[1:]:
        parts[0].merge(part)
    return all(np.array_equal(mine, its) for mine, its in zip(whole.parts().values(), parts[0].parts().values()))


def measure(args, peers):
    """All of it."""
    return {"merged equals whole": bool(merging()), "count-min": count_min(), "mixtures": mixtures(), "anomalies": anomalies(args.data),
            "classifiers": classifiers(args.data)}
