"""SOLAR on Gowalla, 40,981 labels: P@1, processor seconds, beside our network with trained tables and omikuji."""

import gzip
import pathlib
import shutil
import tempfile
import time

import numpy as np

SOLAR, BUCKETS, EPOCHS, NETWORK_EPOCHS, RATE = (4, 8), 1024, 5, 8, 5e-3
HELD = 2000  # rows for the number of candidates, which the network does not see


def measure(args):
    """Processor seconds, of everything after the data were read; rows a second are those of all test rows in one call."""
    from mongoose_nb import Network, SolarClassifier, data

    X, Y, X_test, Y_test = data.load_dataset(args.data / "xc_gowalla")
    out = {"labels": Y.shape[1], "rows": X.shape[0], "systems": {}}

    def keep(name, start, ask, **more):
        seconds = time.process_time() - start
        ask(X_test[:64])
        start = time.process_time()
        ids = ask(X_test)
        asked = X_test.shape[0] / (time.process_time() - start)
        out["systems"][name] = {**_scores(ids, Y_test), "seconds": seconds, "asked": asked, **more}

    for chunks in SOLAR:
        start = time.process_time()
        model = SolarClassifier(chunks, BUCKETS, epochs=EPOCHS, lr=RATE, random_state=0).fit(X, Y)
        keep(f"SOLAR, {chunks} chunks", start, lambda X, model=model: model.predict_topk(X, 5)[0])
        out["systems"][f"SOLAR, {chunks} chunks"]["candidates"] = model.candidates_
    start = time.process_time()
    aside = np.random.default_rng(0).permutation(X.shape[0])
    held, known = aside[:HELD], aside[HELD:]
    net = Network(X.shape[1], Y.shape[1], lr=RATE, lr_schedule="linear")
    net.fit(X[known], Y[known], epochs=NETWORK_EPOCHS)
    keep("network, all outputs", start, lambda X: net.predict_topk(X, 5)[0], candidates=float(Y.shape[1]))
    report = net.fit_serving(X[known], Y[known], target=0.002, validation=(X[held], Y[held]))
    keep("network, trained tables", start, lambda X: net.predict_topk(X, 5, exact=False)[0], candidates=report["scored"])
    if "omikuji" in dict(pair.split("=", 1) for pair in args.peer):
        out["systems"]["omikuji (Parabel)"] = _omikuji(args, Y_test)
    return out


def _scores(ids, Y):
    from mongoose_nb import metrics

    values = metrics.precision_at_k(Y, ids, 5)
    return {"P": [float(values[i]) for i in (0, 2, 4)]}


def _omikuji(args, Y_test):
    """Label trees, in a process of their own."""
    from benchmarks.accuracy import run_worker

    python = dict(pair.split("=", 1) for pair in args.peer)["omikuji"]
    worker = pathlib.Path(__file__).parents[1] / "peers" / "omikuji_worker.py"
    with tempfile.TemporaryDirectory() as folder:
        paths = {}
        for part in ("train", "test"):
            paths[part] = f"{folder}/{part}.txt"
            with gzip.open(args.data / "xc_gowalla" / f"{part}.txt.gz") as packed, open(paths[part], "wb") as plain:
                shutil.copyfileobj(packed, plain)
        answer = run_worker(python, worker, {"system": "omikuji (Parabel)", **paths, "threads": 2, "k": 5, "n_labels": Y_test.shape[1]}, 20)
    return {**_scores(np.array(answer["ids"], np.int32), Y_test), "seconds": answer["cpu"], "asked": 1000 / answer["ms_cpu"],
            "candidates": None}


def text(found):
    """One table."""
    lines = [f"Gowalla, {found['rows']:,} rows, {found['labels']:,} labels; SOLAR with {BUCKETS} buckets and {EPOCHS} epochs,",
             f"the network with {NETWORK_EPOCHS} epochs, one seed; processor seconds",
             f"{'':26} {'P@1':>7} {'P@3':>7} {'P@5':>7} {'candidates':>11} {'training s':>11} {'rows a second':>14}"]
    for name, row in found["systems"].items():
        count = "" if row["candidates"] is None else f"{row['candidates']:.1f}"
        lines.append(f"{name:26} " + " ".join(f"{value:7.4f}" for value in row["P"])
                     + f" {count:>11} {row['seconds']:11.1f} {row['asked']:14,.0f}")
    return "\n".join(lines)
