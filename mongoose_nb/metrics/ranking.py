"""Turn predictions of any form into ranked label ids, and find the correct ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

_BLOCK = 1 << 24  # scores that are ranked at a time


def top_k(pred: Any, k: int, n_labels: int | None = None) -> np.ndarray:
    """Rank predictions: the ids of the `k` best labels of every row.

    Parameters
    ----------
    pred : one of
        - integer ndarray (n, m): label ids, best first; -1 is no prediction;
        - tuple ``(ids, scores)`` of shape (n, m) each: ranked here by score; an id of -1 is no prediction;
        - sparse matrix (n, n_labels) of scores: what is not stored is not predicted, a stored zero is;
        - floating ndarray (n, n_labels): a score for every label.

        Equal scores are ranked by label id, lowest first.
    k : int
        How many; at least 1. `m` must be at least k, or n_labels where there are fewer labels than k.
    n_labels : int, optional
        Ids are below it, matrices have that many columns.

    Returns
    -------
    ndarray of shape (n, k), int64
        Ids, best first, padded with -1.

    Raises
    ------
    ValueError
        If a shape does not fit, an id is out of range or stands twice in a row, or a score is NaN.
    TypeError
        If `pred` is none of these.
    """
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
        raise ValueError(f"k must be a whole number of at least 1, got {k!r}")
    k = int(k)
    if isinstance(pred, tuple):
        ids = _from_pair(pred, k)
        width = np.shape(pred[0])[1]
    elif sp.issparse(pred):
        _check_columns(pred.shape, n_labels)
        return _from_csr(pred, k)
    else:
        pred = np.asarray(pred)
        if pred.ndim != 2 or pred.dtype.kind not in "iuf":
            raise TypeError(f"predictions have shape {pred.shape} and dtype {pred.dtype}; expected an integer "
                            "(n, k) array of label ids, a floating (n, n_labels) array of scores, a sparse matrix of "
                            "scores, or a tuple (ids, scores)")
        if pred.dtype.kind == "f":
            _check_columns(pred.shape, n_labels)
            return _from_dense(pred, k)
        ids = pred[:, :k].astype(np.int64)
        width = pred.shape[1]
    if width < (k if n_labels is None else min(k, n_labels)):
        raise ValueError(f"k={k}, but the predictions hold {width} ids a row; predict more, or score with k={width}")
    _check_ids(ids, n_labels)
    return _pad(ids, k)


def _pad(ids, k):
    out = np.full((len(ids), k), -1, np.int64)
    out[:, : ids.shape[1]] = ids
    return out


def _check_columns(shape, n_labels):
    if n_labels is not None and shape[1] != n_labels:
        raise ValueError(f"the predictions have {shape[1]} columns, but there are {n_labels} labels")


def _check_ids(ids, n_labels):
    high = np.iinfo(np.int64).max if n_labels is None else n_labels
    bad = np.argwhere((ids < -1) | (ids >= high))
    if len(bad):
        row, column = bad[0]
        raise ValueError(f"predictions: row {row} has the label id {ids[row, column]}; expected -1 (none) to "
                         f"{high - 1}")
    ranked = np.sort(ids, axis=1)
    twice = np.argwhere((ranked[:, 1:] == ranked[:, :-1]) & (ranked[:, 1:] >= 0))
    if len(twice):
        row, column = twice[0]
        raise ValueError(f"predictions: row {row} has the label id {ranked[row, column]} twice; every label counts "
                         "once")


def _check_scores(scores):
    if np.isnan(scores).any():
        raise ValueError("predictions contain a score that is NaN; scores must be comparable")


def _from_pair(pair, k):
    if len(pair) != 2:
        raise ValueError(f"expected a tuple (ids, scores), got one of {len(pair)} items")
    ids, scores = (np.asarray(part) for part in pair)
    if ids.ndim != 2 or ids.shape != scores.shape:
        raise ValueError(f"ids and scores must have one shape (n, m), got {ids.shape} and {scores.shape}")
    if ids.dtype.kind not in "iu":
        raise TypeError(f"ids must be integers, got {ids.dtype}; the order is (ids, scores)")
    _check_scores(scores[ids >= 0])
    ids = ids.astype(np.int64)
    # sorts by: no prediction last, score falling, id rising
    order = np.lexsort((ids, -scores.astype(np.float64), ids == -1), axis=1)[:, :k]
    return np.take_along_axis(ids, order, axis=1)


def _from_csr(scores, k):
    scores = scores.tocsr()
    if not scores.has_canonical_format:
        scores = scores.copy()
        scores.sum_duplicates()
    data = scores.data.astype(np.float64)
    _check_scores(data)
    n = scores.shape[0]
    rows = np.repeat(np.arange(n), np.diff(scores.indptr))
    order = np.lexsort((scores.indices, -data, rows))
    rank = np.arange(len(rows)) - np.repeat(scores.indptr[:-1].astype(np.int64), np.diff(scores.indptr))
    kept = rank < k
    out = np.full((n, k), -1, np.int64)
    out[rows[kept], rank[kept]] = scores.indices[order[kept]]
    return out


def _from_dense(scores, k):
    n, n_labels = scores.shape
    m = min(k, n_labels)
    out = np.full((n, k), -1, np.int64)
    step = max(1, _BLOCK // max(1, n_labels))
    for lo in range(0, n if m else 0, step):
        block = scores[lo : lo + step]
        _check_scores(block)
        least = np.partition(block, n_labels - m, axis=1)[:, n_labels - m, None]
        above = block > least
        level = block == least
        # of those level with the k-th best, the lowest ids fill what is left
        wanted = above | (level & (np.cumsum(level, axis=1) <= m - above.sum(axis=1, keepdims=True)))
        ids = np.nonzero(wanted)[1].reshape(len(block), m)
        order = np.argsort(-np.take_along_axis(block, ids, axis=1), axis=1, kind="stable")
        out[lo : lo + step, :m] = np.take_along_axis(ids, order, axis=1)
    return out


def find_hits(Y: sp.csr_matrix, ids: np.ndarray) -> np.ndarray:
    """Boolean array (n, k): which of the ranked `ids` are labels in the canonical indicator `Y`."""
    n, n_labels = Y.shape
    rows = np.repeat(np.arange(n, dtype=np.int64), np.diff(Y.indptr))
    keys = rows * n_labels + Y.indices  # rising, because Y is canonical
    if not len(keys):
        return np.zeros(ids.shape, bool)
    wanted = np.arange(n, dtype=np.int64)[:, None] * n_labels + ids
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return (keys[at] == wanted) & (ids >= 0)


def ranked_hits(Y: Any, pred: Any, k: int, drop_empty: bool) -> tuple[sp.csr_matrix, np.ndarray, np.ndarray]:
    """Validate, rank and look up: (canonical Y, ids, hits), without rows that have no label if `drop_empty`."""
    from mongoose_nb.data.indicator import check_Y

    Y = check_Y(Y)
    ids = top_k(pred, k, Y.shape[1])
    if len(ids) != Y.shape[0]:
        raise ValueError(f"Y has {Y.shape[0]} rows, the predictions have {len(ids)}; they must describe the same "
                         "samples")
    if drop_empty:
        full = np.diff(Y.indptr) > 0
        if not full.any():
            raise ValueError("no row of Y has a label, so drop_empty=True leaves nothing to score")
        if not full.all():
            Y, ids = Y[np.flatnonzero(full)], ids[full]
    return Y, ids, find_hits(Y, ids)
