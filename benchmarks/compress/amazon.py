"""Amazon employee access: 32,769 rows of nine categories, beside scikit-learn's models on one-hot columns, ids and target encodings."""

import sys
import time

import numpy as np

from benchmarks.compress.sets import amazon
from mongoose_nb import ClickClassifier
from mongoose_nb.compress import Compress
from mongoose_nb.metrics import auc

#: of ours; chosen before looking at any score
SETTINGS = {"embedding_dim": 8, "epochs": 5, "batch_size": 256}


def systems():
    """name -> function of a seed that makes a classifier."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, TargetEncoder

    def ours(**given):
        return lambda seed: ClickClassifier(**{**SETTINGS, **given}, random_state=seed)

    return {
        "DeepFM, full tables": ours(), "factorisation machine, full tables": ours(hidden=()),
        "DeepFM, ROBE 4x": ours(compress=Compress("robe", 4)), "DeepFM, LMA 4x": ours(compress=Compress("lma", 4)),
        "DeepFM, row hashing 4x": ours(compress=Compress("row", 4)),
        "LogisticRegression, one-hot": lambda seed: make_pipeline(OneHotEncoder(handle_unknown="ignore"),
                                                                  LogisticRegression(max_iter=1000)),
        "HistGradientBoosting, ids as numbers": lambda seed: HistGradientBoostingClassifier(random_state=seed),
        "HistGradientBoosting, target encoding": lambda seed: make_pipeline(TargetEncoder(random_state=seed),
                                                                            HistGradientBoostingClassifier(random_state=seed))}


def measure(args):
    """AUC on a fifth of the rows, drawn anew for each seed, and seconds of training."""
    X, y = amazon(args.data)
    out = {}
    for name, make in systems().items():
        scores, seconds = [], []
        for seed in range(args.seeds):
            order = np.random.default_rng(seed).permutation(len(y))
            test, train = order[:len(y) // 5], order[len(y) // 5:]
            start = time.perf_counter()
            model = make(seed).fit(X[train], y[train])
            seconds.append(time.perf_counter() - start)
            scores.append(auc(y[test], model.predict_proba(X[test])[:, 1]))
        out[name] = {"auc": float(np.mean(scores)), "spread": float(np.ptp(scores)), "seconds": float(np.median(seconds)),
                     "seeds": args.seeds}
        print(name, out[name], file=sys.stderr, flush=True)
    return out
