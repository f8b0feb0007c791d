"""Factorisation machines on Frappe: full tables, hashed arrays, smaller dimensions, quotient-remainder, at equal memory."""

import sys

import numpy as np

from benchmarks.compress.sets import frappe
from benchmarks.rows import wanted
from mongoose_nb import ClickClassifier
from mongoose_nb.compress import Compress
from mongoose_nb.metrics import auc

WIDTH, EPOCHS, LONG = 16, 3, 9
COLD = 5
#: training rows -> name of the protocol: the validation file alone, as in the pilot, and the rebuilt training file
PROTOCOLS = {"57,722 rows": 1, "202,027 rows": 0}


def systems(n_ids, signature_bytes):
    """name -> (embedding_dim, Compress or None)."""
    out = {"full": (WIDTH, None)}
    for ratio in (4, 16):
        cells = round(n_ids * (WIDTH + 1) / ratio)
        out[f"robe {ratio}x"] = (WIDTH, Compress("robe", cells=cells))
        out[f"row hashing {ratio}x"] = (WIDTH, Compress("row", cells=cells))
        out[f"dimension / {ratio}"] = (max(1, WIDTH // ratio), None)
        out[f"quotient-remainder {ratio}x"] = (WIDTH, Compress("compositional", cells=cells))
        out[f"lma {ratio}x, signatures not counted"] = (WIDTH, Compress("lma", cells=cells))
        if 4 * cells > 1.2 * signature_bytes:
            out[f"lma {ratio}x"] = (WIDTH, Compress("lma", cells=cells - signature_bytes // 4))
    out["robe 64x"] = (WIDTH, Compress("robe", cells=round(n_ids * (WIDTH + 1) / 64)))
    return out


def measure(args):
    """AUC on the test file, of all rows and of those with rare items, by protocol, system and epoch."""
    parts = frappe(args.data)
    test, clicks = parts[2]
    out = {}
    for protocol, which in PROTOCOLS.items():
        X, y = parts[which]
        n_ids = len(np.unique(X + np.arange(10) * 10_000))
        seen = np.bincount(X[y == 1, 1], minlength=test.max() + 1)[test[:, 1]]
        rare = seen <= COLD
        rows = out[protocol] = {}
        for name, (width, compress) in wanted(systems(n_ids, 8 * (n_ids + 10)), args.only).items():
            found = []
            for seed in range(args.seeds):
                epochs = LONG if name in ("full", "robe 4x") else EPOCHS
                model = ClickClassifier(width, hidden=(), compress=compress, epochs=epochs, lr=2e-3, batch_size=256, random_state=seed)
                model.set_params(epochs=EPOCHS).fit(X, y, validation=(test, clicks))
                scores = [score["auc"] for score in model.validation_]
                at_three = model.decision_function(test)
                for _ in range(epochs - EPOCHS):
                    scores.append(auc(clicks, model.partial_fit(X, y).decision_function(test)))
                found.append({"auc": scores, "rare": auc(clicks[rare], at_three[rare]), "bytes": model.model_.table_bytes})
            rows[name] = {"auc": np.mean([one["auc"] for one in found], axis=0).tolist(), "bytes": found[0]["bytes"],
                          "spread": float(np.ptp([one["auc"][EPOCHS - 1] for one in found])),
                          "rare": float(np.mean([one["rare"] for one in found])), "rare_rows": int(rare.sum()),
                          "seeds": args.seeds}
            print(protocol, name, rows[name], file=sys.stderr, flush=True)
    return out
