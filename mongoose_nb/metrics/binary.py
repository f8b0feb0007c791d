"""Scores of predicted probabilities of two classes."""

from __future__ import annotations

from typing import Any

import numpy as np


def _checked(y, scores):
    y, scores = np.asarray(y), np.asarray(scores, np.float64)
    if y.ndim != 1 or y.shape != scores.shape:
        raise ValueError(f"y and scores must be vectors of one length; got shapes {y.shape} and {scores.shape}")
    if not np.isin(y, (0, 1)).all():
        raise ValueError("y must hold 0 and 1 only")
    if not np.isfinite(scores).all():
        raise ValueError("scores hold NaN or infinity")
    return y.astype(bool), scores


def auc(y: Any, scores: Any) -> float:
    """Area under the ROC curve: the share of pairs of a 1 and a 0 in which the 1 has the higher score; equal scores count half.

    Parameters
    ----------
    y : (n,) array of 0 and 1
        Both must occur.
    scores : (n,) array

    Returns
    -------
    float
    """
    y, scores = _checked(y, scores)
    ones = int(y.sum())
    if ones in (0, len(y)):
        raise ValueError(f"the AUC needs both classes; y has only {int(ones > 0)}" if len(y) else "y is empty")
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    first = np.searchsorted(ordered, ordered, "left")
    last = np.searchsorted(ordered, ordered, "right")
    ranks = np.empty(len(y))
    ranks[order] = (first + last + 1) / 2
    return float((ranks[y].sum() - ones * (ones + 1) / 2) / (ones * (len(y) - ones)))


def log_loss(y: Any, probabilities: Any) -> float:
    """Mean negative logarithm of the probability of what happened.

    Parameters
    ----------
    y : (n,) array of 0 and 1
    probabilities : (n,) array
        Of 1; values are kept away from 0 and 1 by 1e-7.

    Returns
    -------
    float
    """
    y, p = _checked(y, probabilities)
    if not len(y):
        raise ValueError("y is empty")
    if p.min() < 0 or p.max() > 1:
        raise ValueError("probabilities must lie in [0, 1]")
    p = np.clip(p, 1e-7, 1 - 1e-7)
    return float(-np.where(y, np.log(p), np.log1p(-p)).mean())
