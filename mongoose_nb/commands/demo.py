"""`mongoose demo`: how accurate the defaults are beside simple rivals, and what hashing saves, on the demo data."""

from __future__ import annotations

import argparse
import functools
import statistics
import textwrap
import time

from mongoose_nb.commands.console import json_line, note, result
from mongoose_nb.commands.system import extension
from mongoose_nb.commands.warm import compiling, threads, warm_up

# Chosen on three seeds: both networks near what 10,000 rows teach, in few epochs.
EPOCHS, BATCH_SIZE, LEARNING_RATE = 8, 128, 3e-3
# About a tenth of the 4,271 outputs, with the labels.
CANDIDATES = 420
# Neighbours that vote: on these data more have a lower P@1. Labels for which each row is a counterexample of the linear models.
NEIGHBOURS, COUNTEREXAMPLES = 20, 300
SERVED_ROW = 2
DATASET = "EURLEX57K sample"


def run(args: argparse.Namespace) -> None:
    """Train all systems; print a table, an example with names, a line about serving and, with --json, one object."""
    from mongoose_nb import __version__, nn
    from mongoose_nb.core.validation import check_int
    from mongoose_nb.data import load_demo

    epochs = EPOCHS if args.epochs is None else check_int("--epochs", args.epochs, low=1)
    seed = 0 if args.seed is None else check_int("--seed", args.seed, low=0, high=2**63 - 1)
    with threads(args.threads):
        with compiling() as clock:
            X, Y, X_test, Y_test = load_demo()

            def network(sampler):
                return nn.Network(X.shape[1], Y.shape[1], sampler=sampler, optimizer=nn.Adam(LEARNING_RATE), seed=seed)

            systems = {"lsh": ("network, LSH", nn.LSH(CANDIDATES)), "exact": ("network, exact", nn.Full())}
            for _, sampler in systems.values():
                warm_up(functools.partial(network, sampler), X, Y, hashed=isinstance(sampler, nn.LSH))
            _warm_ranking(nn, X, Y)
            clock.report()
        result(f"{DATASET}: {X.shape[0]:,} training rows, {X_test.shape[0]:,} test rows, {X.shape[1]:,} features, "
               f"{Y.shape[1]:,} labels; networks of {epochs} epochs")
        result(f"{'system':19}{'P@1':>8}{'P@3':>8}{'P@5':>8}{'active':>9}{'seconds':>9}{'samples/s':>11}")
        report, trained = {}, {}
        for key, (name, sampler) in systems.items():
            note(f"training: {name}, {epochs} epochs: ", end="")
            trained[key] = network(sampler)
            report[key] = _train(trained[key], X, Y, X_test, Y_test, epochs)
            row = report[key]
            result(f"{name:19}{row['P@1']:8.4f}{row['P@3']:8.4f}{row['P@5']:8.4f}{row['active_share']:9.1%}{row['seconds']:9.1f}"
                   f"{row['samples_per_s']:11,.0f}")
        auto = nn.Network(X.shape[1], Y.shape[1], seed=seed)
        for key, name, train in (("neighbours", "neighbours' vote", functools.partial(_neighbours, X, Y, X_test, Y_test)),
                                 ("linear", "linear models", functools.partial(_linear, X, Y, X_test, Y_test, seed)),
                                 ("auto", "fit_auto (default)", functools.partial(_auto, auto, X, Y, X_test, Y_test))):
            report[key] = row = train()
            result(f"{name:19}{row['P@1']:8.4f}{row['P@3']:8.4f}{row['P@5']:8.4f}{'':9}{row['seconds']:9.1f}")
        result(f"chosen: {report['auto']['choice']}")
        result(f"compiling kernels, before that: {clock.seconds:.1f} s; bucket store: {extension()}")
        example = _example(auto, X_test, Y_test)
        served = _serve(trained["lsh"], X_test, Y_test)
    if args.json:
        json_line({"dataset": DATASET, **report, "example": example, "serving": served, "compile_seconds": clock.seconds,
                   "epochs": epochs, "extension": extension(), "version": __version__})


def _warm_ranking(nn, X, Y):
    """Compile what ranks outputs, with the first rows."""
    net = nn.Network(X.shape[1], Y.shape[1], hidden=(8,))
    net.fit_auto(X[:300], Y[:300], epochs=1)
    net.predict_topk(X[:300], 2)


def _scores(Y_test, ids):
    from mongoose_nb import metrics

    precision = metrics.precision_at_k(Y_test, ids, 5)
    return {f"P@{k}": float(precision[k - 1]) for k in (1, 3, 5)}


def _neighbours(X, Y, X_test, Y_test):
    """The vote of the nearest training rows."""
    from mongoose_nb import metrics, nn

    start = time.perf_counter()
    voters = nn.ranking.NeighbourVotes(NEIGHBOURS).fit(X, Y)
    votes = voters.votes(*voters.nearest(X_test))
    return {**_scores(Y_test, metrics.ranking.top_k(votes, 5, Y.shape[1])), "seconds": time.perf_counter() - start}


def _linear(X, Y, X_test, Y_test, seed):
    """A support vector machine for each label, trained on its rows and on some others, drawn at random."""
    import numpy as np

    from mongoose_nb import nn
    from mongoose_nb.nn.ranking.lists import no_labels, with_random

    start = time.perf_counter()
    lists = with_random(no_labels(X.shape[0]), Y.shape[1], COUNTEREXAMPLES, np.random.default_rng(seed))
    rankers = nn.ranking.LinearRankers(seed=seed).fit(X, Y, lists, counterweight=max(1.0, Y.shape[1] / COUNTEREXAMPLES))
    ids = np.argsort(-((X_test @ rankers.weights.T).toarray() + rankers.bias), axis=1, kind="stable")[:, :5].astype(np.int32)
    return {**_scores(Y_test, ids), "seconds": time.perf_counter() - start}


def _auto(net, X, Y, X_test, Y_test):
    """What the classifier and `mongoose train` do by default."""
    start = time.perf_counter()
    report = net.fit_auto(X, Y)
    seconds = time.perf_counter() - start
    return {**_scores(Y_test, net.predict_topk(X_test, 5)[0]), "seconds": seconds, "choice": report["choice"]}


def _example(net, X_test, Y_test):
    """A law of the test set, and its best labels by name."""
    from mongoose_nb.data import load_demo_names

    names, titles = load_demo_names()
    ids, probabilities = net.predict_topk(X_test[SERVED_ROW], 5, probabilities=True)
    true = set(Y_test[SERVED_ROW].indices.tolist())
    result(textwrap.fill(f"test row {SERVED_ROW}: {titles[SERVED_ROW]}", 100, subsequent_indent="  "))
    for label, p in zip(ids[0].tolist(), probabilities[0].tolist()):
        result(f"  {p:5.2f}  {names[label]}{' *' if label in true else ''}")
    result(f"  (* one of its {len(true)} labels)")
    return {"row": SERVED_ROW, "labels": [names[label] for label in ids[0].tolist()], "probabilities": probabilities[0].tolist()}


def _train(network, X, Y, X_test, Y_test, epochs):
    history = network.fit(X, Y, epochs=epochs, batch_size=BATCH_SIZE, callbacks=[lambda network, logs: note(".", end="")])
    note(" done")
    seconds = sum(history.column("seconds"))
    scores = network.evaluate(X_test, Y_test, k=5)
    return {**{name: scores[name] for name in ("P@1", "P@3", "P@5")},
            "active_share": statistics.mean(history.column("active_share")),
            "seconds": seconds, "samples_per_s": epochs * X.shape[0] / seconds}


def _serve(network, X_test, Y_test):
    """One line: the best labels of a test row, found through the hash tables; how good that is over all rows, and how fast."""
    x, true = X_test[SERVED_ROW], set(Y_test[SERVED_ROW].indices.tolist())
    times = {}
    for exact in (True, False):
        taken = []
        for _ in range(20):
            start = time.perf_counter()
            ids, _ = network.predict_topk(x, 5, exact=exact)
            taken.append(time.perf_counter() - start)
        times[exact] = 1e3 * statistics.median(taken)
    p1 = network.evaluate(X_test, Y_test, k=1, exact=False)["P@1"]
    found = " ".join(f"{label}{'*' if label in true else ''}" for label in ids[0].tolist() if label >= 0)
    result(f"serving test row {SERVED_ROW} through the hash tables: predict_topk gives {found} (* one of its {len(true)} labels) "
           f"in {times[False]:.2f} ms; over all test rows P@1 {p1:.4f}")
    return {"P@1": p1, "milliseconds": times[False], "milliseconds_exact": times[True]}
