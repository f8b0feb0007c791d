"""Losses of the output layer. The kernels compute them; a class says which of their two forms it is, and what it means."""

from __future__ import annotations

import numpy as np

from mongoose_nb.core.registry import Registered, register


class Loss(Registered, kind="loss"):
    """A loss over the outputs of a sample; training minimises its mean over a batch."""

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


@register("loss", "softmax")
class Softmax(Loss):
    """Cross-entropy against the uniform distribution over a sample's labels; zero for a sample without labels."""


@register("loss", "logistic")
class Logistic(Loss):
    """One-vs-all: the sum over the outputs of the logistic loss, whether the output is a label of the sample."""

    logistic = True
