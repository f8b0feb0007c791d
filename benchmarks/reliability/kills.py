"""SIGKILL at random moments of a training, half of them inside a save; then the run is gone on with, and killed again.

What must hold: at every death the checkpoint, once there, can be loaded; and what the last life leaves - weights, moments, tables,
history, the log - is that of a run that nobody killed, to the last bit.
"""

import argparse
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np

from mongoose_nb import nn
from mongoose_nb.core import files as io
from mongoose_nb.rehash import Drift

ROWS, FEATURES, OUTPUTS, EPOCHS, BATCH = 6000, 2000, 20_000, 12, 64


def add_arguments(parser):
    """Flags of this trial."""
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--child", nargs=2, metavar=("CKPT", "LOG"), help=argparse.SUPPRESS)


def train(checkpoint, log):
    """The training that is killed: drift schedule, early stopping, validation, a log."""
    import scipy.sparse as sp

    rng = np.random.default_rng(1)
    label = rng.integers(0, OUTPUTS, ROWS)
    columns = np.stack([label % FEATURES, label // FEATURES * 7 % FEATURES, rng.integers(0, FEATURES, ROWS)], axis=1)
    X = sp.csr_matrix((np.ones(3 * ROWS, np.float32), columns.ravel(), np.arange(ROWS + 1) * 3), shape=(ROWS, FEATURES))
    network = nn.Network(FEATURES, OUTPUTS, hidden=(64,), 
                         sampler=nn.LSH(200, tables=nn.Tables(K=6, L=8, rehash=Drift(0.02, check_every=10))),
                         lr_schedule="cosine", seed=5)
    print("ready", flush=True)
    return network.fit(X, label, epochs=EPOCHS, batch_size=BATCH, validation=(X[:500], label[:500]),
                       early_stopping=EPOCHS, resume=checkpoint,
                       callbacks=[nn.JSONLines(log), nn.Checkpoint(checkpoint, every=15, keep=2)])


def digest(checkpoint, log):
    """A hash over everything but times."""
    settings, arrays = io.load(checkpoint, "network")
    settings["progress"] = {k: v for k, v in settings["progress"].items() if k not in ("seconds", "phases", "history")}
    h = hashlib.sha256()
    for entry in map(json.loads, pathlib.Path(log).read_text().splitlines()):
        h.update(json.dumps({k: v for k, v in entry.items() if k not in ("seconds", "samples_per_s", "time_split")}).encode())
    settings["callbacks"].pop("JSONLines")  # the size of the log, where times have digits
    h.update(json.dumps(settings, sort_keys=True).encode())
    for name in sorted(arrays):
        h.update(name.encode() + arrays[name].tobytes())
    return h.hexdigest()


def _life(folder, limit=None, in_save=None):
    """One process. Killed after `limit` seconds of training, or `in_save` seconds after a save has begun.

    Returns whether it came to its end, and whether it died in a save.
    """
    files = [str(folder / "run.ckpt"), str(folder / "log.jsonl")]
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.reliability", "kills", "--child", *files], stdout=subprocess.PIPE)
    if process.stdout.readline() != b"ready\n":
        raise RuntimeError(f"the training ended with code {process.wait()} before it began")
    start = time.perf_counter()
    while process.poll() is None:
        if limit is not None and time.perf_counter() - start >= limit:
            if in_save is not None:
                before = set(folder.glob("*.part"))
                while process.poll() is None and set(folder.glob("*.part")) <= before:
                    pass
                time.sleep(in_save)
            process.kill()
            code = process.wait()
            return code == 0, any(folder.glob("*.part"))
        time.sleep(0.002)
    if process.returncode:
        raise RuntimeError(f"the training ended with code {process.returncode}")
    return True, False


def run(args):
    """The trial. The first of two whole runs compiles what was not: compiled code may round otherwise than the same from the cache."""
    if args.child:
        train(*args.child)
        sys.exit(0)
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    rng = np.random.default_rng(args.seed)
    failures = []
    with tempfile.TemporaryDirectory() as name:
        first, whole, parts = (pathlib.Path(name, folder) for folder in ("first", "whole", "parts"))
        for folder in (first, whole, parts):
            folder.mkdir()
        _life(first)
        start = time.perf_counter()
        _life(whole)
        seconds = time.perf_counter() - start
        kills = inside = unreadable = 0
        ended = False
        while not ended and kills < args.kills:
            mean = seconds * 0.8 / args.kills
            in_save = float(rng.uniform(0, 0.02)) if kills % 2 else None
            ended, died_in_save = _life(parts, float(rng.uniform(0, 2 * mean)), in_save)
            kills += not ended
            inside += died_in_save
            if (parts / "run.ckpt").exists():
                try:
                    nn.Network.load(parts / "run.ckpt")
                except ValueError as error:
                    unreadable += 1
                    failures.append(f"after kill {kills}: {error}")
        while not ended:
            ended, _ = _life(parts)
        size = (parts / "run.ckpt").stat().st_size / 1e6
        same = digest(whole / "run.ckpt", whole / "log.jsonl") == digest(parts / "run.ckpt", parts / "log.jsonl")
        leftovers = len(list(parts.glob("*.part")))
    if not same:
        failures.append("the run that was killed differs from the one that was not")
    if leftovers:
        failures.append(f"{leftovers} temporary files are left")
    if kills < args.kills:
        failures.append(f"the run ended after {kills} kills")
    found = {"kills": kills, "inside_a_save": inside, "unreadable": unreadable, "identical": same, "checkpoint_MB": round(size, 1),
             "training_seconds": round(seconds, 1)}
    text = (f"{kills} times SIGKILL, {inside} of them inside a save (checkpoints of {size:.1f} MB every 15 steps, 2 kept)\n"
            f"checkpoints that could not be read afterwards: {unreadable}\n"
            f"weights, moments, tables, schedule, early stopping, log after the last life identical to a run without kills: "
            f"{'yes' if same else 'NO'}")
    return found, text, failures
