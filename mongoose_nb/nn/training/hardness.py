"""Angular hardness of rows while a network is trained."""

from __future__ import annotations

from typing import Any

import numpy as np

from mongoose_nb.core.registry import register
from mongoose_nb.core.streams import stream
from mongoose_nb.core.validation import check_int, check_number
from mongoose_nb.nn.training.callbacks import Callback

# Rows whose angles to a sample of outputs are held at once.
BLOCK = 4096


def hardness(network: Any, X: Any, Y: Any, *, sample: int | None = None) -> np.ndarray:
    """Angular visual hardness of every row under a network.

    Parameters
    ----------
    network : Network
    X : (n, n_features) rows
        As for `Network.predict`.
    Y : labels
        As for `Network.fit`.
    sample : int, optional
        Take the angles to so many outputs, drawn at random, for those to all, where there are more.

    Returns
    -------
    (n,) float64
        See `metrics.angular_visual_hardness`. Of a row with several labels, the mean over these; NaN of a row without any.
    """
    from mongoose_nb.data.indicator import check_Y
    from mongoose_nb.metrics import angular_visual_hardness

    h = network.hidden_activations(X)
    Y = check_Y(Y, n_outputs=network.n_outputs, n_rows=len(h))
    row = np.repeat(np.arange(len(h)), np.diff(Y.indptr))
    if not len(row):
        return np.full(len(h), np.nan)
    if sample is None or network.n_outputs <= sample:
        each = angular_visual_hardness(h[row], network.output.weights.value[np.arange(network.n_outputs)], Y.indices)
    else:
        each = _of_sample(h, row, network, Y.indices, check_int("sample", sample, low=1))
    with np.errstate(invalid="ignore"):
        return np.bincount(row, each, len(h)) / np.bincount(row, minlength=len(h))


def _of_sample(h, row, network, labels, sample):
    """The hardness of (row, label), with the mean angle to a sample of outputs in place of that to all."""
    some = stream(network.seed, "outputs of the hardness").choice(network.n_outputs, sample, replace=False)
    h = h / np.maximum(np.linalg.norm(h, axis=1, keepdims=True), np.finfo(np.float32).tiny)

    def unit(ids):
        weights = network.output.weights.value[ids]
        return weights / np.maximum(np.linalg.norm(weights, axis=1, keepdims=True), np.finfo(np.float32).tiny)

    others, own, each = unit(some), np.empty(len(row)), np.empty(len(h))
    for lo in range(0, len(h), BLOCK):
        each[lo:lo + BLOCK] = np.arccos(np.clip(h[lo:lo + BLOCK] @ others.T, -1, 1)).mean(axis=1, dtype=np.float64)
    for lo in range(0, len(row), BLOCK):
        part = slice(lo, lo + BLOCK)
        own[part] = np.arccos(np.clip((h[row[part]] * unit(labels[part])).sum(axis=1), -1, 1))
    return own / np.maximum(each[row] * network.n_outputs, np.finfo(float).tiny)


@register("callback", "hardness")
class HardnessTracker(Callback):
    """Follows the mean angular hardness of some rows over the epochs, beside the length of their activations.

    The mean falls and then stays, long before the loss does: more epochs make the network surer, and nothing clearer.

    Parameters
    ----------
    X, Y
        Rows to follow, some thousand, with their labels.
    tolerance : float
        Relative change between epochs that counts as none.

    Attributes
    ----------
    history : list of dict
        Of each epoch: ``epoch``, ``hardness`` (mean), ``hardest`` (of the hardest tenth), ``length`` (mean length of the activations).

    Examples
    --------
    >>> import numpy as np
    >>> from mongoose_nb import nn
    >>> X, y = np.eye(10, dtype=np.float32), np.arange(10)
    >>> tracker = nn.HardnessTracker(X, y)
    >>> _ = nn.Network(10, 10, hidden=(8,), lr=0.02).fit(X, y, epochs=3, batch_size=5, callbacks=[tracker])
    >>> [entry["epoch"] for entry in tracker.history]
    [1, 2, 3]
    """

    saved_state = ("history",)
    needs_weights = True

    def __init__(self, X: Any, Y: Any, *, tolerance: float = 0.01) -> None:
        self.X, self.Y = X, Y
        self.tolerance = check_number("tolerance", tolerance, low=0.0)
        self.history: list[dict[str, Any]] = []

    def config(self) -> dict[str, Any]:
        """None of the rows: a checkpoint does not hold them."""
        return {"tolerance": self.tolerance}

    def on_fit_begin(self, network: Any, logs: Any) -> None:
        """Forget earlier trainings."""
        self.history = []

    def on_epoch_end(self, network: Any, logs: Any) -> None:
        """Measure."""
        values = hardness(network, self.X, self.Y)
        values = np.sort(values[~np.isnan(values)])
        if len(values):
            length = float(np.linalg.norm(network.hidden_activations(self.X), axis=1).mean())
            self.history.append({"epoch": int(logs["epoch"]), "hardness": float(values.mean()),
                                 "hardest": float(values[-max(1, len(values) // 10):].mean()), "length": length})

    @property
    def plateau(self) -> int | None:
        """The first epoch from which on the mean hardness changes by at most `tolerance` from epoch to epoch; None if it still does."""
        for last in range(len(self.history) - 1, 0, -1):
            before, now = (self.history[i]["hardness"] for i in (last - 1, last))
            if abs(now - before) > self.tolerance * before:
                return self.history[last + 1]["epoch"] if last + 1 < len(self.history) else None
        return self.history[0]["epoch"] if len(self.history) > 1 else None
