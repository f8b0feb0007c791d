"""Precision, recall and nDCG at 1..k."""

from __future__ import annotations

from typing import Any

import numpy as np

from mongoose_nb.metrics.ranking import ranked_hits


def mean_precision(gains: np.ndarray) -> np.ndarray:
    """Mean over rows of the gain per rank, for 1..k, from gains (n, k)."""
    k = gains.shape[1]
    return (np.cumsum(gains, axis=1) / np.arange(1, k + 1)).mean(axis=0)


def mean_ndcg(gains: np.ndarray, n_positive: np.ndarray) -> np.ndarray:
    """Mean over rows of discounted gain / that of min(k, n_positive) hits, for 1..k, from gains (n, k)."""
    k = gains.shape[1]
    discount = 1.0 / np.log2(np.arange(2, k + 2))
    # a row without labels gains nothing, whatever it is divided by
    most = np.cumsum(discount)[np.minimum(np.arange(1, k + 1), np.maximum(n_positive, 1)[:, None]) - 1]
    return (np.cumsum(gains * discount, axis=1) / most).mean(axis=0)


def precision_at_k(Y: Any, pred: Any, k: int = 5, *, drop_empty: bool = False) -> np.ndarray:
    """Precision at 1..k: the share of the first j predictions that are labels, averaged over rows.

    Parameters
    ----------
    Y : indicator matrix (n, n_labels), or list of lists of label ids
        True labels, as `mongoose_nb.data.check_Y` accepts them.
    pred : array, sparse matrix or tuple
        Ranked label ids or scores, as `top_k` accepts them; missing predictions (-1) are wrong ones.
    k : int, default 5
        Longest ranking.
    drop_empty : bool, default False
        Leave out the rows without labels. They count as 0 by default, as in pyxclib and the published tables.

    Returns
    -------
    ndarray of shape (k,), float64
        ``P@1 .. P@k``.

    Raises
    ------
    ValueError, TypeError
        If Y or `pred` is not valid, or they do not fit together.
    """
    _, _, hits = ranked_hits(Y, pred, k, drop_empty)
    return mean_precision(hits.astype(np.float64))


def recall_at_k(Y: Any, pred: Any, k: int = 5, *, drop_empty: bool = False) -> np.ndarray:
    """Recall at 1..k: the share of a row's labels among its first j predictions, averaged over rows.

    Parameters
    ----------
    Y, pred, k, drop_empty
        As in `precision_at_k`.

    Returns
    -------
    ndarray of shape (k,), float64
        ``R@1 .. R@k``.

    Raises
    ------
    ValueError, TypeError
        As `precision_at_k`.
    """
    Y, _, hits = ranked_hits(Y, pred, k, drop_empty)
    n_positive = np.maximum(np.diff(Y.indptr), 1)
    return (np.cumsum(hits, axis=1) / n_positive[:, None]).mean(axis=0)


def ndcg_at_k(Y: Any, pred: Any, k: int = 5, *, drop_empty: bool = False) -> np.ndarray:
    """Normalised discounted cumulative gain at 1..k, averaged over rows.

    A hit at rank j gains ``1 / log2(j + 1)``; the sum over the first k ranks is divided by the most that k predictions
    could gain, ``sum of 1 / log2(j + 1) for j = 1 .. min(k, labels of the row)``.

    Parameters
    ----------
    Y, pred, k, drop_empty
        As in `precision_at_k`.

    Returns
    -------
    ndarray of shape (k,), float64
        ``nDCG@1 .. nDCG@k``.

    Raises
    ------
    ValueError, TypeError
        As `precision_at_k`.
    """
    Y, _, hits = ranked_hits(Y, pred, k, drop_empty)
    return mean_ndcg(hits.astype(np.float64), np.diff(Y.indptr))
