"""Accuracy, time and memory of our networks and of what people use instead, on the same rows, each system in a process of its own.

Figures of all sets and systems are kept in one file. A run measures some of them again and leaves the others; the pages and the chart are
then written from all that are kept (`accuracy_page`).
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

import numpy as np

from benchmarks import accuracy_page
from mongoose_nb import data, metrics

K = 5
ROOT = pathlib.Path(__file__).resolve().parents[1]


class Entry(NamedTuple):
    """Where a system runs: its worker, and the name of the environment, None for ours."""

    worker: str
    environment: str | None = None


SYSTEMS = {
    "network": Entry("network"),
    "auto": Entry("network"),
    "vote of 100 neighbours": Entry("baseline"),
    "co-occurrence counts": Entry("baseline"),
    "linear SVM for each label": Entry("baseline"),
    "logistic regression for each label": Entry("baseline"),
    "omikuji (Parabel)": Entry("omikuji", "omikuji"),
    "omikuji (Bonsai-like)": Entry("omikuji", "omikuji"),
    "PECOS XR-Linear": Entry("pecos", "pecos"),
    "napkinXC PLT": Entry("napkinxc", "napkinxc"),
    "PyTorch, sampled softmax": Entry("torch_softmax", "torch"),
}


class Failure(Exception):
    """A system that did not come to an end."""


def parse_peers(given):
    """Interpreters by the name of the environment, from NAME=PYTHON."""
    names = sorted({entry.environment for entry in SYSTEMS.values()} - {None})
    peers = {}
    for item in given:
        name, _, python = item.partition("=")
        if name not in names or not python:
            raise ValueError(f"--peer {item}: expected NAME=PYTHON with a NAME of {', '.join(names)} and the interpreter of an "
                             "environment that has it")
        peers[name] = python
    return peers


def choose(names, peers):
    """The systems to run: those that are named, or all that have an environment."""
    unknown = [name for name in names or () if name not in SYSTEMS]
    if unknown:
        raise ValueError(f"unknown systems {'; '.join(unknown)}: expected some of {'; '.join(SYSTEMS)}")
    lacking = sorted({SYSTEMS[name].environment for name in names or ()} - {None, *peers})
    if lacking:
        raise ValueError(f"no environment for {', '.join(lacking)}: add --peer {lacking[0]}=PYTHON")
    return [name for name, entry in SYSTEMS.items() if (name in names if names else entry.environment in (None, *peers))]


def run_worker(python, worker, settings, minutes=None, *, house=False):
    """What a worker measured."""
    threads = str(settings["threads"])
    env = {**os.environ, **{f"{kind}_NUM_THREADS": threads for kind in ("OMP", "OPENBLAS", "MKL", "NUMBA", "RAYON")}}
    env.pop("PYTHONPATH", None)
    if house:
        env["PYTHONPATH"] = str(ROOT)
    with tempfile.TemporaryFile("w+") as errors:
        try:
            done = subprocess.run([python, str(worker), json.dumps(settings)], stdout=subprocess.PIPE, stderr=errors, env=env, text=True,
                                  timeout=60 * minutes if minutes else None, check=False)
        except (subprocess.TimeoutExpired, OSError) as error:
            raise Failure(f"more than {minutes:g} minutes" if isinstance(error, subprocess.TimeoutExpired) else str(error)) from error
        if done.returncode:
            errors.seek(0)
            last = (errors.read().splitlines() or ["no message"])[-1][-300:]
            raise Failure(f"ended with status {done.returncode}: {last}")
    return json.loads(done.stdout.strip().rsplit("\n", 1)[-1])


def short(value):
    """A measured number, or a list of them, with five digits; bytes in full."""
    return [short(v) for v in value] if isinstance(value, list) else value if isinstance(value, int) else float(f"{value:.5g}")


def score(answer, Y_test, propensity):
    """The answer with its scores in place of the ids."""
    ids = np.array(answer.pop("ids"))
    precision, ndcg, psp = (f(Y_test, ids, K) for f in (metrics.precision_at_k, metrics.ndcg_at_k,
                                                        lambda Y, ids, k: metrics.psp_at_k(Y, ids, propensity, k)))
    row = {"P": [precision[k - 1] for k in (1, 3, 5)], "nDCG": ndcg[K - 1], "PSP": [psp[k - 1] for k in (1, 5)], **answer}
    return {name: short(value) for name, value in row.items()}


def measure_set(folder, systems, peers, args, done):
    """Measure systems on one set; calls ``done(system, row)`` after each."""
    X, Y, X_test, Y_test = data.load_dataset(folder)
    propensity = metrics.inverse_propensity(Y)
    size = {"rows": X.shape[0], "test_rows": X_test.shape[0], "features": X.shape[1], "labels": Y.shape[1]}
    with tempfile.TemporaryDirectory() as texts:
        train, test = (os.path.join(texts, name) for name in ("train.txt", "test.txt"))
        data.write_xc(train, X, Y)
        data.write_xc(test, X_test, Y_test)
        del X, Y, X_test
        for system in systems:
            entry = SYSTEMS[system]
            settings = {"system": system, "train": train, "test": test, "threads": args.threads, "k": K, "n_labels": size["labels"],
                        "epochs": args.epochs, "lr": args.lr, "seed": args.seed}
            worker = ROOT / "benchmarks" / "peers" / f"{entry.worker}_worker.py"
            rows = []
            for _ in range(args.runs):
                try:
                    answer = run_worker(peers.get(entry.environment, sys.executable), worker, settings, args.minutes,
                                        house=entry.environment is None)
                    rows.append(answer if "skipped" in answer else score(answer, Y_test, propensity))
                except Failure as failure:
                    rows.append({"failed": str(failure)})
            done(size, system, {**median_run(rows), "date": time.strftime("%Y-%m-%d")})


def median_run(rows):
    """Of several runs that with the median P@1, and the P@1 of all, lowest first; the first that failed, if one did."""
    if not all("P" in row for row in rows):
        return next(row for row in rows if "P" not in row)
    rows = sorted(rows, key=lambda row: row["P"][0])
    return rows[len(rows) // 2] | ({"runs": [row["P"][0] for row in rows]} if len(rows) > 1 else {})


def keep_row(path, name, size, system, row):
    """Add one system's figures to the file, in the order of `SYSTEMS`; a failure does not replace figures."""
    kept = load_kept(path)
    entry = kept.setdefault(name, {"systems": {}})
    rows = entry.pop("systems")
    if "failed" not in row or "P" not in rows.get(system, {}):
        rows[system] = row
    entry |= {**size, "systems": {known: rows[known] for known in SYSTEMS if known in rows}}
    # a line for each system
    text = re.sub(r"\{[^{}]*\}", lambda found: " ".join(found.group().split()), json.dumps(kept, indent=1))
    path.with_suffix(".part").write_text(text + "\n", encoding="utf-8")
    path.with_suffix(".part").replace(path)
    return kept


def load_kept(path):
    """Figures of earlier runs."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def check_conditions(path, names, conditions):
    """Figures of a set stand in one table, so they must be measured in the same way."""
    kept = load_kept(path)
    for name in names:
        entry = kept.get(name, conditions)
        differ = [f"{key} {entry[key]}, now {value}" for key, value in conditions.items() if entry[key] != value]
        if differ:
            raise ValueError(f"{path} has figures of {name} with {'; '.join(differ)}: use the same settings, another --keep, or remove "
                             "the set from the file")


def run(args):
    """Measure the sets that are named; returns all kept figures and their tables. See ``python -m benchmarks accuracy --help``."""
    if args.docs and not args.keep:
        raise ValueError("--docs writes what was kept: add --keep FILE")
    peers = parse_peers(args.peer)
    systems = choose(args.systems and args.systems.split(";"), peers)
    args.threads = args.threads or os.cpu_count()
    keep = args.keep or pathlib.Path(tempfile.mkdtemp()) / "accuracy.json"
    conditions = {"threads": args.threads, "epochs": args.epochs, "lr": args.lr, "seed": args.seed}
    check_conditions(keep, args.sets, conditions)
    for name in args.sets:
        def done(size, system, row, name=name):
            keep_row(keep, name, {**size, **conditions}, system, row)
            print(f"{name}: {system}: {accuracy_page.brief(row)}", file=sys.stderr, flush=True)

        measure_set(args.data / name, systems, peers, args, done)
    kept = load_kept(keep)
    if args.docs and kept:
        accuracy_page.write(kept, args.docs)
    return kept, "\n\n".join(accuracy_page.table(name, entry) for name, entry in kept.items())
