"""Losses of the output layer. The kernels compute them; a class says which of their two forms it is, and what it means."""

from __future__ import annotations

import numpy as np

from mongoose_nb.core.arrays import Rows
from mongoose_nb.core.registry import Registered, register


class Loss(Registered, kind="loss"):
    """A loss over the outputs of a sample; training minimises its weighted mean over a batch."""

    #: which form the kernels compute: cross-entropy over all outputs together, or a logistic loss for each output
    logistic = False

    def log_probabilities(self, logits: np.ndarray, indptr: np.ndarray) -> np.ndarray:
        """Logarithms of probabilities from the logits of lists of outputs.

        Parameters
        ----------
        logits : (entries,) float32
        indptr : (n + 1,) int64
            Outputs of row i are entries ``indptr[i]`` to ``indptr[i + 1]``.

        Returns
        -------
        (entries,) float32
            Under the softmax, probabilities sum to one over what is listed for a row.
        """
        if self.logistic:
            return -np.logaddexp(np.float32(0), -logits)
        count = np.diff(indptr)
        start = indptr[:-1][count > 0]
        if not len(start):
            return logits
        size = count[count > 0]
        centred = logits - np.repeat(np.maximum.reduceat(logits, start), size)
        return centred - np.repeat(np.log(np.add.reduceat(np.exp(centred), start)), size)

    def weights(self, labels: Rows, sample_weight: np.ndarray | None = None) -> np.ndarray:
        """How much every sample counts in the mean over a batch.

        Parameters
        ----------
        labels : Rows
        sample_weight : (n,) array, optional
            1 each by default.

        Returns
        -------
        (n,) float64
            Where the loss is a cross-entropy, 0 for a sample without labels: it has no loss, and must not thin out that of the others.
        """
        weights = np.ones(len(labels)) if sample_weight is None else np.asarray(sample_weight, np.float64)
        return weights if self.logistic else np.where(labels.count > 0, weights, 0.0)


@register("loss", "softmax")
class Softmax(Loss):
    """Cross-entropy against the uniform distribution over a sample's labels. Samples without labels do not count in the mean."""


@register("loss", "logistic")
class Logistic(Loss):
    """One-vs-all: the sum over the outputs of the logistic loss, whether the output is a label of the sample."""

    logistic = True


def shares(weights: np.ndarray, total: float | None = None) -> np.ndarray:
    """Weights as shares of their sum, or of another `total`, (n,) float32; zeros where all weights are."""
    total = weights.sum() if total is None else total
    return (weights / total if total > 0 else np.zeros(len(weights))).astype(np.float32)
