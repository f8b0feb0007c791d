"""What hashing does to a run, measured while it runs: recall against exact answers, buckets, drift, firings."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from mongoose_nb.core.registry import register
from mongoose_nb.core.streams import stream
from mongoose_nb.core.validation import check_int
from mongoose_nb.nn.training.callbacks import Callback

if TYPE_CHECKING:

    import scipy.sparse

    from mongoose_nb.nn.sampling.candidate_sets import ActiveSets, SharedSet
    from mongoose_nb.tables import LSHTables

# Points of an epoch's trace, and firings with a time of their own, about.
POINTS, FIRINGS = 50, 500


@register("callback", "diagnostics")
class Diagnostics(Callback):
    """Adds figures of the output layer's sampler to every entry of the history. Training is the same with it and without.

    Given before `JSONLines`, the figures are in its file too, from which ``mongoose report`` draws. They cost one exact pass over
    all outputs for `rows` samples, and one over the buckets, at the end of an epoch.

    Parameters
    ----------
    every : int, optional
        Steps from one point of the trace to the next; by default an epoch has about 50 points.
    topk : int
        Exact best outputs to look for.
    rows : int
        Training samples to look for them with, drawn once.

    Notes
    -----
    Entries, beside those that the history has anyway (`time_split`, and with LSH candidates per sample `label_recall`):

    ``topk_recall``, ``topk``
        Share of the exact best `topk` outputs among the candidates that a training step would compute for a sample, retrieved and uniform,
        its labels not added, tables as they are in training. With candidates shared by the batch: of all `rows` together.
    ``labels_found``
        Share of the true labels among the same candidates.
    ``bucket_mean``, ``bucket_max``, ``bucket_entropy``, ``bucket_bits``, ``bucket_histogram``
        Of the hash tables: outputs in an occupied bucket, in the largest one; entropy of a row's bucket in bits, mean over the tables,
        and the most it could be; number of buckets with 0, 1, 2-3, 4-7, ... outputs.
    ``firings``
        How often the schedule called for a rehash, or for moving rows.
    ``trace``
        Columns ``step``, ``seconds`` since the epoch began, ``loss`` (mean since the last point), ``changed_share`` (of the rows' bits;
        None where the schedule does not measure it); and ``firings``, the seconds at which the schedule fired (every n-th where
        there are many).
    """

    saved_state = ("trace",)
    needs_weights = True

    def __init__(self, every: int | None = None, *, topk: int = 10, rows: int = 256) -> None:
        self.every = every if every is None else check_int("every", every, low=1)
        self.topk = check_int("topk", topk, low=1)
        self.rows = check_int("rows", rows, low=1)

    def on_fit_begin(self, network: Any, logs: Any) -> None:
        """Draw the samples to look at."""
        n = logs["samples"]
        if n is None:
            raise ValueError("Diagnostics draws its samples from X and Y, and does not go with a training on chunks")
        chosen = np.sort(stream(network.seed, "watched rows").choice(n, min(self.rows, n), replace=False))
        self._X, self._Y = logs["X"][chosen], logs["Y"][chosen]
        self._step = self.every or max(1, logs["batches"] // POINTS)
        self._begin()

    def _begin(self):
        self._points, self._fired, self._seen = [], [], 0
        self._loss = self._samples = 0.0

    def on_batch_end(self, network: Any, logs: Any) -> None:
        """Note the time of a firing, and a point of the trace when it is due."""
        now, fired = time.perf_counter(), network.output.sampler.fired
        if fired > self._seen:
            self._fired.append(now)
        self._seen, self._last = fired, now
        self._loss += logs["loss"] * logs["samples"]
        self._samples += logs["samples"]
        if network.step % self._step == 0:
            self._point(network, now)

    def _point(self, network, now):
        share = network.output.sampler.counts().get("changed_share")
        self._points.append((network.step, now, self._loss / self._samples, share))
        self._loss = self._samples = 0.0

    def on_epoch_end(self, network: Any, logs: Any) -> None:
        """Measure, and add all figures to `logs`."""
        if self._samples:
            self._point(network, self._last)
        begin = self._last - logs["seconds"]
        step, when, loss, share = zip(*self._points)
        thin = math.ceil(max(1, len(self._fired)) / FIRINGS)
        logs["firings"] = len(self._fired)
        logs["trace"] = {"step": list(step), "seconds": [round(t - begin, 3) for t in when], "loss": [round(x, 5) for x in loss],
                         "changed_share": [x if x is None else round(float(x), 5) for x in share],
                         "firings": [round(t - begin, 3) for t in self._fired[::thin]]}
        with network.lock:
            logs.update(recall_figures(network, self._X, self._Y, self.topk))
        tables = getattr(network.output.sampler, "hash_tables", None)
        if tables is not None and tables.built:  # `nn.Adaptive` may not use them yet
            logs.update(bucket_figures(tables))
        self._begin()

    def on_fit_end(self, network: Any, logs: Any) -> None:
        """Release the samples."""
        self._X = self._Y = None

    @property
    def trace(self) -> dict:
        """What was noted in the epoch that runs, with times by how long ago they were."""
        now = time.perf_counter()
        return {"points": [[step, now - when, loss, share] for step, when, loss, share in self._points],
                "fired": [now - when for when in self._fired], "seen": self._seen, "loss": float(self._loss),
                "samples": float(self._samples)}

    @trace.setter
    def trace(self, value: dict) -> None:
        now = self._last = time.perf_counter()
        self._points = [(step, now - ago, loss, share) for step, ago, loss, share in value["points"]]
        self._fired = [now - ago for ago in value["fired"]]
        self._seen, self._loss, self._samples = value["seen"], value["loss"], value["samples"]


def recall_figures(network: Any, X: scipy.sparse.csr_matrix, Y: scipy.sparse.csr_matrix, topk: int) -> dict[str, float]:
    """How much of the exact answer, and of the labels, is among the candidates of a training step; see `Diagnostics`."""
    k = min(topk, network.n_outputs)
    h = network.hidden_activations(X)
    best, _ = network.output.topk(h, k)
    sets = network.output.sampler.peek(h)
    sample = np.repeat(np.arange(len(h)), np.diff(Y.indptr))
    labels = listed(sets, sample, Y.indices)
    return {"topk": k, "topk_recall": float(listed(sets, np.repeat(np.arange(len(h)), k), best.ravel()).mean()),
            "labels_found": float(labels.mean()) if len(labels) else 0.0}


def listed(sets: ActiveSets | SharedSet, sample: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Whether output ``ids[j]`` is a candidate of sample ``sample[j]``, per sample or shared."""
    if not hasattr(sets, "start"):
        return np.ones(len(ids), bool) if sets.ids is None else np.isin(ids, sets.ids)
    width = np.int64(1) << 32
    inside = np.concatenate([i * width + sets.ids[s:s + n] for i, (s, n) in enumerate(zip(sets.start, sets.count))])
    return np.isin(sample * width + ids, inside)


def bucket_figures(tables: LSHTables) -> dict:
    """How full and how even the buckets of `tables.LSHTables` are; see `Diagnostics`."""
    _, spans = tables.views()
    entropy, occupied = [], 0
    for sizes in spans[:, :, 1]:
        sizes = sizes[sizes > 0]
        occupied += len(sizes)
        share = sizes / sizes.sum()
        entropy.append(float(-(share * np.log2(share)).sum()))
    stats = tables.stats()
    return {"bucket_mean": stats["entries"] / max(1, occupied), "bucket_max": stats["max_load"],
            "bucket_entropy": sum(entropy) / len(entropy), "bucket_bits": math.log2(min(spans.shape[1], max(1, len(tables)))),
            "bucket_histogram": stats["load_histogram"]}
