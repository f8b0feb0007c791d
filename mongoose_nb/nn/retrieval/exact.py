"""The best of all outputs, by their exact scores."""

from __future__ import annotations

import numpy as np

from mongoose_nb.core.arrays import Parameter
from mongoose_nb.core.registry import register
from mongoose_nb.core.validation import check_int
from mongoose_nb.nn.retrieval.base import Retriever, padded_sets
from mongoose_nb.nn.sampling.candidate_sets import ActiveSets
from mongoose_nb.nn.training.timing import PhaseTimer

# Rows that are made on the fly are scored so many at a time.
BLOCK = 1 << 16


def best_outputs(h: np.ndarray, weights: np.ndarray, bias: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Exact best k outputs of every row of `h`, best first, the lower id first among equals.

    Parameters
    ----------
    h : (n, d) float32 array
    weights, bias : (outputs, d) and (outputs,) float32 arrays
        Weights may be rows that slices make on the fly.
    k : int
        At most the number of outputs.

    Returns
    -------
    ids : (n, k) int32 array
    scores : (n, k) float32 array
    """
    if not isinstance(weights, np.ndarray):
        return _best_of_blocks(h, weights, bias, k)
    from mongoose_nb.kernels.layers import wide

    n = len(h)
    sample_block = min(256, max(1, n))
    # few samples: cut the outputs, so that all threads have work; fixed numbers keep the result independent of threads
    ranges = 16 if n <= 2048 else 1
    scores = np.empty((ranges, n, k), np.float32)
    ids = np.empty((ranges, n, k), np.int32)
    wide.topk_exact(h, weights, bias, sample_block, ranges, scores, ids)
    if ranges == 1:
        return ids[0], scores[0]
    scores, ids = scores.transpose(1, 0, 2).reshape(n, -1), ids.transpose(1, 0, 2).reshape(n, -1)
    # ranges hold ascending ids, so a stable sort keeps the lower id first
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(ids, order, 1), np.take_along_axis(scores, order, 1)


def _best_of_blocks(h, weights, bias, k):
    """The same of rows that are made on the fly, a block at a time; lower ids come first."""
    ids, scores = np.zeros((len(h), 0), np.int32), np.zeros((len(h), 0), np.float32)
    for lo in range(0, len(weights), BLOCK):
        rows = weights[lo:lo + BLOCK]
        more, theirs = best_outputs(h, rows, bias[lo:lo + BLOCK], min(k, len(rows)))
        ids, scores = np.concatenate([ids, more + np.int32(lo)], axis=1), np.concatenate([scores, theirs], axis=1)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        ids, scores = np.take_along_axis(ids, order, 1), np.take_along_axis(scores, order, 1)
    return ids, scores


@register("retriever", "exact")
class ExactRetriever(Retriever):
    """The outputs with the highest scores, found by computing all: the exact twin of all other retrievers.

    Parameters
    ----------
    candidates : int, optional
        Outputs to retrieve for a row; all by default.
    """

    def __init__(self, candidates: int | None = None) -> None:
        self.candidates = None if candidates is None else check_int("candidates", candidates, low=1, high=2**31 - 2)

    def bind_layer(self, weights: Parameter, bias: Parameter, seed: int) -> None:
        """As `Retriever.bind_layer`."""
        self._weights, self._bias = weights, bias
        self.candidates = min(len(bias.value), self.candidates or len(bias.value))

    def retrieve(self, h: np.ndarray, n: int, timer: PhaseTimer, step: int) -> ActiveSets:
        """As `Retriever.retrieve`."""
        from mongoose_nb.core.threads import one_blas_thread

        n, every = min(n, len(self._bias.value)), len(self._bias.value)
        if n == every:  # which ones is known
            return padded_sets(np.tile(np.arange(n, dtype=np.int32), (len(h), 1)))
        with timer("retrieve"), one_blas_thread():
            ids, _ = best_outputs(h, self._weights.value, self._bias.value, n)
        return padded_sets(ids)

    def multiply_adds(self, n: int) -> float:
        """As `Retriever.multiply_adds`: all outputs."""
        return float(self._weights.value.size)
