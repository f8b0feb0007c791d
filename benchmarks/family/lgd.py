"""LGD: variance of the gradient, and training error by epochs and by seconds, beside uniform rows and scikit-learn's SGDRegressor."""

import gzip
import statistics
import time

import numpy as np

EPOCHS = 5


def sets(folder):
    """(name, X, y), columns standardised."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((20_000, 20)) * np.exp(rng.standard_normal((20_000, 1)))
    yield "heavy tails, planted", *_standardised(X, X @ rng.standard_normal(20) + rng.standard_t(2, 20_000))
    X = rng.standard_normal((20_000, 20))
    yield "normal noise, planted", *_standardised(X, X @ rng.standard_normal(20) + rng.standard_normal(20_000))
    for name, path, first in (("blogfeedback", "reg-blogfeedback/train.csv.gz", False), ("protein", "reg-protein/protein.csv.gz", True),
                              ("millionsong", "reg-millionsong-subset/millionsong.csv.gz", True)):
        with gzip.open(folder / path, "rt") as lines:
            rows = np.genfromtxt((line for line in lines if not line.startswith('"')), delimiter=",")
        rows = rows[np.isfinite(rows).all(axis=1)]
        yield name, *_standardised(*((rows[:, 1:], rows[:, 0]) if first else (rows[:, :-1], rows[:, -1])))


def _standardised(X, y):
    scale = X.std(axis=0)
    return (X - X.mean(axis=0)) / np.where(scale > 0, scale, 1), (y - y.mean()) / y.std()


def measure(args):
    """Figures of every set."""
    from mongoose_nb.linear import LGDRegressor, RowSampler

    out = {}
    for name, X, y in sets(args.data):
        Z = np.column_stack([X, np.ones(len(X))])
        least = np.linalg.lstsq(Z, y, rcond=None)[0]
        row = {"rows": len(X), "features": X.shape[1], "least": float(np.mean((Z @ least - y) ** 2)), "ratio": {}, "error": {}}
        for lift in ("mips", "absolute"):
            sampler = RowSampler(np.column_stack([Z, y]), lift=lift)
            for where, theta in (("start", 0 * least), ("least squares", least)):
                slopes = Z @ theta - y
                norms = np.abs(slopes) * np.linalg.norm(Z, axis=1)
                mean = float(np.linalg.norm(slopes @ Z) / len(Z))
                row["ratio"][f"{lift}, {where}"] = sampler.variance_ratio(np.append(theta, -1), norms, mean)
                if (lift, where) == ("mips", "start"):
                    ids, _ = sampler.draw(np.append(theta, -1), 20_000)
                    row["norm"] = float(norms[ids].mean() / norms.mean())
        for system, make in _systems(LGDRegressor).items():
            errors, seconds = [], []
            for seed in range(args.seeds):
                model = make(seed)
                start = time.perf_counter()
                model.fit(X, y)
                seconds.append(time.perf_counter() - start)
                errors.append(float(np.mean((model.predict(X) - y) ** 2)))
            row["error"][system] = {"error": statistics.median(errors), "seconds": statistics.median(seconds)}
        out[name] = row
    return out


def _systems(cls):
    from sklearn.linear_model import SGDRegressor

    return {f"LGDRegressor {batches}": lambda seed, batches=batches: cls(batches=batches, epochs=EPOCHS, random_state=seed)
            for batches in ("auto", "lgd", "uniform")} | {
                "scikit-learn SGDRegressor": lambda seed: SGDRegressor(max_iter=EPOCHS, tol=None, random_state=seed, alpha=1e-6)}


def text(found):
    """A table of each set."""
    lines = [f"training error after {EPOCHS} epochs (the least possible is in brackets), median of the seeds; variance of the gradient of "
             "one row,", "drawn / uniform, at the start and at the least squares; mean length of drawn gradients / uniform, at the start",
             ""]
    for name, row in found.items():
        ratios = ", ".join(f"{key} {value:.2f}" for key, value in row["ratio"].items())
        lines += [f"{name}: {row['rows']:,} rows, {row['features']} features [{row['least']:.4f}]",
                  f"  variance: {ratios}; length {row['norm']:.2f}"]
        lines += [f"  {system:28} error {entry['error']:10.4g}  {entry['seconds']:7.2f} s"
                  for system, entry in row["error"].items()]
    return "\n".join(lines)
