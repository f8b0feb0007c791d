"""Workers are killed at random steps of a training, half of them while a checkpoint is written; what is trained must be the same."""

import hashlib
import os
import signal
import tempfile
import threading
import time

import numpy as np

from benchmarks.distributed.cluster import workers

ROWS, FEATURES, OUTPUTS, STEPS, EVERY = 4000, 500, 40_000, 126, 10


def data():
    """Rows that one can learn."""
    import scipy.sparse as sp

    rng = np.random.default_rng(1)
    label = rng.integers(0, OUTPUTS, ROWS)
    columns = np.stack([label % FEATURES, label // FEATURES * 7 % FEATURES, rng.integers(0, FEATURES, ROWS)], axis=1)
    X = sp.csr_matrix((np.ones(3 * ROWS, np.float32), columns.ravel(), np.arange(ROWS + 1) * 3), shape=(ROWS, FEATURES))
    X.sum_duplicates()
    return X, label


def train(client, folder=None, callbacks=()):
    """Hash of all arrays, and the history."""
    from mongoose_nb import Network, nn
    from mongoose_nb.distributed import fit

    network = Network(FEATURES, OUTPUTS, hidden=(64,), sampler=nn.Uniform(500), seed=5)
    history = fit(network, *data(), client=client, shards=2, epochs=2, batch_size=64, checkpoint=folder, checkpoint_steps=EVERY,
                  callbacks=callbacks)
    h = hashlib.sha256()
    for name, array in sorted(network.to_arrays().items()):
        h.update(name.encode() + np.ascontiguousarray(array).tobytes())
    return h.hexdigest(), history


class Kills:
    """Kills a worker after some steps; half of the times a moment later, while a checkpoint is written."""

    def __init__(self, client, n):
        rng = np.random.default_rng(7)
        saved = np.arange(EVERY, STEPS, EVERY)
        during = rng.choice(saved, n // 2, replace=False)
        others = rng.choice(np.setdiff1d(np.arange(2, STEPS - 2), saved), n - n // 2, replace=False)
        self.client, self.rng, self.done = client, rng, []
        self.plan = {int(step): step in during for step in (*during, *others)}

    def on_batch_end(self, network, logs):
        """Kill, if it is time; callbacks are called before the checkpoint is written."""
        during = self.plan.pop(network.step, None)
        if during is None:
            return
        pids = sorted(self.client.run(os.getpid).values())
        pid, wait = int(self.rng.choice(pids)), float(self.rng.uniform(0.001, 0.03)) * during

        def kill():
            time.sleep(wait)
            os.kill(pid, signal.SIGKILL)

        self.done.append((network.step, wait))
        if wait:
            threading.Thread(target=kill).start()
        else:
            kill()


def measure(args):
    """Whether both ends are the same."""
    with workers(2) as client:
        expected, before = train(client)
    with workers(2) as client, tempfile.TemporaryDirectory() as folder:
        kills = Kills(client, args.kills)
        begun = time.perf_counter()
        found, history = train(client, folder, [kills])
        seconds = time.perf_counter() - begun
    return {"kills": kills.done, "same": found == expected, "lost_shards": history[-1]["lost_shards"], "seconds": seconds, "steps": STEPS,
            "quiet_seconds": sum(entry["seconds"] for entry in before)}


def text(found):
    """Two lines."""
    during = sum(wait > 0 for _, wait in found["kills"])
    same = "the same, to the last bit," if found["same"] else "NOT the same"
    return (f"{len(found['kills'])} workers killed by their process id in {found['steps']} steps, {during} of them while a checkpoint was "
            f"written;\n{found['lost_shards']} shards were made again; weights, moments and biases at the end are {same} as without kills")
