"""Propensity-scored metrics, which give rare labels more weight (Jain, Prabhu and Varma, KDD 2016)."""

from __future__ import annotations

from typing import Any

import numpy as np

from mongoose_nb.metrics.ranking import ranked_hits
from mongoose_nb.metrics.scores import mean_ndcg, mean_precision


def inverse_propensity(Y_train: Any, A: float = 0.55, B: float = 1.5) -> np.ndarray:
    """Inverse propensity of every label: 1 + C (N_l + B)^-A with C = (ln N - 1) (B + 1)^A.

    N is the number of training rows, N_l the number of those that have label l. Of one or two rows, for which C would be negative, every
    label has the weight 1.

    Parameters
    ----------
    Y_train : indicator matrix (N, n_labels), or list of lists of label ids
        Labels of the *training* set. Pass a matrix where the last labels may not occur.
    A, B : float, default 0.55 and 1.5
        The repository uses 0.5 and 0.4 for the Wikipedia sets, 0.6 and 2.6 for the Amazon sets but for AmazonCat-13K, which has 0.55
        and 1.5 like all others.

    Returns
    -------
    ndarray of shape (n_labels,), float64
        Weights for `psp_at_k` and `psndcg_at_k`.

    Raises
    ------
    ValueError
        If Y_train is not valid, or A or B is out of range.
    """
    from mongoose_nb.data.indicator import check_Y

    if not (np.isfinite(A) and np.isfinite(B) and B > 0):
        raise ValueError(f"A must be finite and B finite and above 0, got A={A!r}, B={B!r}")
    Y_train = check_Y(Y_train, name="Y_train")
    counts = np.bincount(Y_train.indices, minlength=Y_train.shape[1])
    C = max(0.0, np.log(Y_train.shape[0]) - 1.0) * (B + 1.0) ** A
    return 1.0 + C * (counts + float(B)) ** -A


def _weighted(Y, pred, propensity, k, drop_empty):
    """(labels of each row, gains of the predictions (n, k), gains of the best ranking (n, k))."""
    Y, ids, hits = ranked_hits(Y, pred, k, drop_empty)
    weights = np.asarray(propensity, np.float64)
    if weights.shape != (Y.shape[1],) or not np.isfinite(weights).all():
        raise ValueError(f"propensity must hold a finite weight for each of {Y.shape[1]} labels, as inverse_propensity "
                         f"returns; got shape {weights.shape}")
    counts = np.diff(Y.indptr)
    rows = np.repeat(np.arange(Y.shape[0]), counts)
    order = np.lexsort((-weights[Y.indices], rows))
    rank = np.arange(len(rows)) - np.repeat(Y.indptr[:-1].astype(np.int64), counts)
    best = np.zeros(ids.shape)
    best[rows[rank < k], rank[rank < k]] = weights[Y.indices[order[rank < k]]]
    return counts, np.where(hits, weights[ids], 0.0), best


def _ratio(part, whole):
    return np.divide(part, whole, out=np.zeros_like(part), where=whole != 0)


def psp_at_k(Y: Any, pred: Any, propensity: np.ndarray, k: int = 5, *, drop_empty: bool = False) -> np.ndarray:
    """Propensity scored precision at 1..k: a ratio of means, as in the published tables.

    A hit on label l counts its inverse propensity; the mean over rows is divided by the mean of the best possible
    rankings.

    Parameters
    ----------
    Y : indicator matrix (n, n_labels), or list of lists of label ids
        True labels, as `mongoose_nb.data.check_Y` accepts them.
    pred : array, sparse matrix or tuple
        Ranked label ids or scores, as `top_k` accepts them.
    propensity : array-like of shape (n_labels,)
        *Inverse* propensities, from `inverse_propensity`.
    k : int, default 5
        Longest ranking.
    drop_empty : bool, default False
        Leave out the rows without labels. They add 0 to both means, so a ratio of means does not change.

    Returns
    -------
    ndarray of shape (k,), float64
        ``PSP@1 .. PSP@k``; 0 if no row has a label.

    Raises
    ------
    ValueError, TypeError
        If an argument is not valid, or they do not fit together.
    """
    _, gains, best = _weighted(Y, pred, propensity, k, drop_empty)
    return _ratio(mean_precision(gains), mean_precision(best))


def psndcg_at_k(Y: Any, pred: Any, propensity: np.ndarray, k: int = 5, *, drop_empty: bool = False) -> np.ndarray:
    """Propensity scored nDCG at 1..k: a ratio of means, as in the published tables.

    The weighted, discounted gain of a row is divided by the unweighted sum of discounts of its min(k, labels) first
    ranks, as pyxclib does, for the predictions and for the best possible ranking; then the means are divided.

    Parameters
    ----------
    Y, pred, propensity, k, drop_empty
        As in `psp_at_k`.

    Returns
    -------
    ndarray of shape (k,), float64
        ``PSnDCG@1 .. PSnDCG@k``; 0 if no row has a label.

    Raises
    ------
    ValueError, TypeError
        As `psp_at_k`.
    """
    counts, gains, best = _weighted(Y, pred, propensity, k, drop_empty)
    return _ratio(mean_ndcg(gains, counts), mean_ndcg(best, counts))
