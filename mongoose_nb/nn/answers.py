"""What a prediction makes of the best outputs: leaving some out, and probabilities.

::

    exclude = check_exclude(given, n_rows, n_outputs)      canonical CSR pattern
    ids, scores = best_without(best, listed, X, k, exclude)
    top_probabilities(network, X, scores)
"""

from __future__ import annotations

import numbers
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import scipy.sparse as sp

# Best outputs up to this number are taken, and those to leave out dropped; beyond, the allowed ones are listed and scored.
WIDEST = 1024
# Ids listed, and logits computed, at once.
LISTED = 1 << 24


def one_row(X: Any, width: int | None = None) -> tuple[Any, bool]:
    """(X, False), or a single row as a matrix of one and True: a 1-D array, list of numbers or sparse array, or one text.

    `width` is that of the rows of a model that takes texts: other numbers are no row there.
    """
    if isinstance(X, str):
        return [X], True
    if width is not None and np.ndim(X) == 1 and len(X) != width:
        return X, False
    if isinstance(X, list | tuple):
        single = len(X) > 0 and all(isinstance(value, numbers.Real) for value in X)
        return ([X], True) if single else (X, False)
    if getattr(X, "ndim", 2) != 1:
        return X, False
    if hasattr(X, "nnz"):
        return X.reshape(1, -1).tocsr(), True
    array = np.asarray(X)
    return (array[None], True) if array.dtype.kind in "biuf" and array.size else (X, False)


def check_exclude(exclude: Any, n_rows: int, n_outputs: int) -> sp.csr_matrix:
    """Outputs to leave out, by row.

    Parameters
    ----------
    exclude : one of
        - (n_rows, n_outputs) sparse matrix, or array of booleans: the entries that are not zero;
        - list of lists of ids, one for each row;
        - ids, or a (n_outputs,) array of booleans, for all rows.
    n_rows, n_outputs : int

    Returns
    -------
    (n_rows, n_outputs) canonical CSR

    Raises
    ------
    ValueError, TypeError
        If it is not as described.
    """
    import scipy.sparse as sp

    from mongoose_nb.data.indicator import check_Y

    if sp.issparse(exclude):
        if exclude.shape != (n_rows, n_outputs):
            raise ValueError(f"exclude has shape {exclude.shape}; expected {(n_rows, n_outputs)}: a row for each of X, a column for each "
                             "output")
        return check_Y(exclude != 0, name="exclude")
    if len(exclude) == 0:
        return check_Y(sp.csr_matrix((n_rows, n_outputs)))
    nested = not isinstance(exclude, np.ndarray) and any(hasattr(row, "__len__") for row in exclude)
    array = None if nested else np.asarray(exclude)
    if array is not None and array.ndim == 2 and (array.dtype == bool or array.shape == (n_rows, n_outputs)):
        return check_exclude(sp.csr_matrix(array), n_rows, n_outputs)
    if array is not None and array.ndim == 1 and array.dtype == bool:
        if len(array) != n_outputs:
            raise ValueError(f"exclude has {len(array)} booleans; expected one for each of the {n_outputs} outputs")
        array = np.flatnonzero(array)
    if array is not None and array.ndim == 1 and array.dtype != object:
        one = check_Y([array.tolist()], n_outputs=n_outputs, name="exclude")
        return sp.csr_matrix((np.tile(one.data, n_rows), np.tile(one.indices, n_rows), np.arange(n_rows + 1) * one.nnz),
                             shape=(n_rows, n_outputs))
    return check_Y(exclude, n_outputs=n_outputs, n_rows=n_rows, name="exclude")


def drop(ids: np.ndarray, scores: np.ndarray, exclude: sp.csr_matrix, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The first `k` of ranked outputs that are not excluded; -1 and -inf where there are fewer."""
    n, n_outputs = exclude.shape
    row = np.repeat(np.arange(n, dtype=np.int64), np.diff(exclude.indptr)) * n_outputs
    keys = np.arange(n, dtype=np.int64)[:, None] * n_outputs + ids
    kept = (ids >= 0) & ~np.isin(keys, row + exclude.indices)
    order = np.argsort(~kept, axis=1, kind="stable")[:, :k]
    kept, short = np.take_along_axis(kept, order, 1), k - order.shape[1]
    ids = np.where(kept, np.take_along_axis(ids, order, 1), np.int32(-1))
    scores = np.where(kept, np.take_along_axis(scores, order, 1), np.float32(-np.inf))
    return (np.pad(ids, ((0, 0), (0, short)), constant_values=-1), np.pad(scores, ((0, 0), (0, short)), constant_values=-np.inf))


def best_without(best: Callable, listed: Callable | None, X: sp.csr_matrix, k: int,
                 exclude: sp.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """Best `k` outputs of every row without those to leave out.

    Parameters
    ----------
    best : callable
        ``best(X, k, exclude)`` gives the best k of all outputs, or of those that it proposes, for some rows.
    listed : callable or None
        ``listed(X, k, start, count, ids)`` gives the best k of those that are listed for every row; None where not all may be.
    X : (n, n_features) canonical CSR
    k : int
    exclude : (n, n_outputs) canonical CSR

    Returns
    -------
    ids : (n, k) int32
    scores : (n, k) float32
    """
    n, n_outputs = exclude.shape
    ids, scores = np.full((n, k), -1, np.int32), np.full((n, k), -np.inf, np.float32)
    count = np.diff(exclude.indptr)
    extra = np.where(count > 0, 1 << np.ceil(np.log2(np.maximum(count, 1))).astype(np.int64), 0)  # rows of about equal numbers together
    for more in np.unique(extra):
        rows, wide = np.flatnonzero(extra == more), min(n_outputs, k + int(more))
        if listed is None or wide <= WIDEST:
            found, values = best(X[rows], wide, exclude[rows])
            ids[rows], scores[rows] = drop(found, values, exclude[rows], k)
            continue
        step = max(1, LISTED // n_outputs)
        for lo in range(0, len(rows), step):
            part = rows[lo:lo + step]
            allowed = np.ones((len(part), n_outputs), bool)
            left_out = exclude[part]
            allowed[np.repeat(np.arange(len(part)), np.diff(left_out.indptr)), left_out.indices] = False
            number = allowed.sum(axis=1)
            ids[part], scores[part] = listed(X[part], k, np.cumsum(number) - number, number, np.nonzero(allowed)[1].astype(np.int32))
    return ids, scores


def top_probabilities(network: Any, X: sp.csr_matrix, scores: np.ndarray, *, normalise: bool = False) -> np.ndarray:
    """Probabilities of outputs from their logits.

    Parameters
    ----------
    network : Network
    X : (n, n_features) CSR
    scores : (n, k) array
        Logits of some outputs of every row.
    normalise : bool
        Under the logistic loss: divide by the sum over all outputs, for classes of which one is right.

    Returns
    -------
    (n, k) float32
        Under the softmax, shares of all outputs; under the logistic loss each output has a probability of its own.
    """
    scores = scores.astype(np.float64)
    if not network.output.loss_kind.logistic:
        return np.exp(scores - _over_all(network, X, np.logaddexp, _log_sum, -np.inf)[:, None]).astype(np.float32)
    own = _sigmoid(scores)
    if normalise:
        own = own / _over_all(network, X, np.add, lambda z: _sigmoid(z).sum(axis=1), 0.0)[:, None]
    return own.astype(np.float32)


def _log_sum(z):
    top = z.max(axis=1)
    return top + np.log(np.exp(z - top[:, None]).sum(axis=1))


def _sigmoid(z):
    small = np.exp(-np.abs(z))  # of the absolute value, so that neither sign overflows
    return np.where(z >= 0, 1.0, small) / (1.0 + small)


def _over_all(network, X, join, of_block, start):
    """A sum over all outputs of every row, in float64, so that it does not depend on the other rows."""
    from mongoose_nb.core.threads import one_blas_thread

    out = np.full(X.shape[0], start)
    weights, bias = network.output.weights.value, network.output.bias.value
    rows, columns = 1024, 4096
    with one_blas_thread():
        for lo in range(0, X.shape[0], rows):
            h = network.hidden_activations(X[lo:lo + rows]).astype(np.float64)
            for first in range(0, len(weights), columns):
                part = slice(first, first + columns)
                z = h @ weights[part].astype(np.float64).T + bias[part]
                out[lo:lo + rows] = join(out[lo:lo + rows], of_block(z))
    return out


def scores_of(Y: sp.csr_matrix, predicted: np.ndarray, propensity: np.ndarray | None = None) -> dict[str, float]:
    """Scores of the best k outputs of labelled rows at 1, 3, 5, ... and k; see `Network.evaluate`.

    Parameters
    ----------
    Y : (n, n_outputs) canonical CSR
    predicted : (n, k) int
    propensity : (n_outputs,) array, optional
    """
    from mongoose_nb import metrics

    k = predicted.shape[1]
    table = {"P": metrics.precision_at_k(Y, predicted, k), "nDCG": metrics.ndcg_at_k(Y, predicted, k),
             "R": metrics.recall_at_k(Y, predicted, k)}
    if propensity is not None:
        table["PSP"] = metrics.psp_at_k(Y, predicted, propensity, k)
    places = sorted({*range(1, k + 1, 2), k})
    return {f"{name}@{j}": float(values[j - 1]) for name, values in table.items() for j in places}
