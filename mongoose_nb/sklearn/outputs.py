"""What the classifier makes of the network's answers: indicators and probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import scipy.sparse

    from mongoose_nb.nn import Network

# Most scores (rows x outputs, 8 bytes each) that are returned as an array.
DENSE_LIMIT = 1 << 26


def logits(network: Network, X: scipy.sparse.csr_matrix) -> np.ndarray:
    """All logits (n, n_outputs) in float64, so that those of a row do not depend on the other rows."""
    from mongoose_nb.core.threads import one_blas_thread

    _check_size(network, X)
    with one_blas_thread():
        h = network.hidden_activations(X).astype(np.float64)
        return h @ network.output.weights.value[:].astype(np.float64).T + network.output.bias.value


def _check_size(network, X):
    if X.shape[0] * network.n_outputs > DENSE_LIMIT:
        raise ValueError(f"{X.shape[0]} rows by {network.n_outputs} outputs are more than {DENSE_LIMIT} dense scores; give "
                         "fewer rows at a time, or take the best of every row with predict_topk(X, k)")


def ranked_scores(network: Network, X: scipy.sparse.csr_matrix) -> np.ndarray:
    """Scores of a ranking, (n, n_outputs) float64; outputs without one get one less than the lowest of the row."""
    _check_size(network, X)
    lists, scores = network.ranked_lists(X)
    out = np.full((X.shape[0], network.n_outputs), np.inf)
    out[lists.row, lists.ids] = scores
    lowest = out.min(axis=1, keepdims=True, initial=np.inf)
    return np.where(np.isinf(out), np.where(np.isinf(lowest), 0.0, lowest) - 1.0, out)


def ranked_probabilities(network: Network, X: scipy.sparse.csr_matrix, multilabel: bool) -> np.ndarray:
    """Probabilities of a ranking, (n, n_outputs) float64: of each label alone if `multilabel`, else they sum to 1 over a row.

    Outputs without a score have the probability 0.
    """
    _check_size(network, X)
    lists, scores = network.ranked_lists(X)
    if multilabel:
        out = np.zeros((X.shape[0], network.n_outputs))
        out[lists.row, lists.ids] = network.ranking.mixture.probabilities(scores.astype(np.float64))
        return out
    out = np.full((X.shape[0], network.n_outputs), -np.inf)
    out[lists.row, lists.ids] = network.ranking.mixture.log_probabilities(scores)
    return _shares(out)


def ranked_top_probabilities(network: Network, X: scipy.sparse.csr_matrix, scores: np.ndarray, multilabel: bool) -> np.ndarray:
    """The same for the best outputs alone, (n, k) float32, from their `scores`."""
    mixture = network.ranking.mixture
    if multilabel:
        return mixture.probabilities(scores.astype(np.float64)).astype(np.float32)
    lists, all_scores = network.ranked_lists(X)
    row, logs = lists.row, mixture.log_probabilities(all_scores)
    top = np.full(X.shape[0], -np.inf)
    np.maximum.at(top, row, logs)
    total = np.bincount(row, np.exp(logs - top[row]), X.shape[0])
    return (np.exp(mixture.log_probabilities(scores) - top[:, None]) / total[:, None]).astype(np.float32)


def _shares(logs):
    """Shares that sum to 1 over a row, from logarithms (n, outputs) of numbers that may be too small for themselves; of a row of -inf
    alone, equal ones."""
    top = logs.max(axis=1, keepdims=True)
    shares = np.exp(logs - np.where(np.isneginf(top), 0.0, top))
    shares[np.isneginf(top)[:, 0]] = 1.0
    return shares / shares.sum(axis=1, keepdims=True)


def indicator(ids: np.ndarray, n_labels: int, dtype: np.dtype, dense: bool) -> np.ndarray | scipy.sparse.csr_matrix:
    """An indicator (n, n_labels) of the labels `ids` (n, k), an array if `dense`, else CSR."""
    ids = np.sort(ids, axis=1)
    if dense:
        out = np.zeros((len(ids), n_labels), dtype)
        np.put_along_axis(out, ids, 1, axis=1)
        return out
    import scipy.sparse as sp

    start = np.arange(0, ids.size + 1, ids.shape[1])
    return sp.csr_matrix((np.ones(ids.size, dtype), ids.reshape(-1), start), shape=(len(ids), n_labels))


def probabilities(z: np.ndarray, logistic: bool, multilabel: bool) -> np.ndarray:
    """Probabilities from logits (n, n_outputs).

    Parameters
    ----------
    z : (n, n_outputs) float64 array
        Logits.
    logistic : bool
        Whether the loss was the logistic one; else it was the softmax.
    multilabel : bool
        Under the logistic loss: False scales the probabilities of a row to sum to 1.

    Returns
    -------
    (n, n_outputs) float64 array
    """
    if logistic:
        small = np.exp(-np.abs(z))  # of the absolute value, so that neither sign overflows
        p = np.where(z >= 0, 1.0, small) / (1.0 + small)
        if multilabel:
            return p
    else:
        p = np.exp(z - z.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)
