"""Weights of rows from weights of classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mongoose_nb.core.validation import check_number

if TYPE_CHECKING:
    import scipy.sparse


def row_weights(class_weight: Any, sample_weight: Any, classes: np.ndarray, Y: scipy.sparse.csr_matrix) -> np.ndarray | None:
    """The weight of every row: that which is given, times the mean of the weights of its classes.

    Parameters
    ----------
    class_weight : dict, "balanced" or None
        By class; those that it lacks have the weight 1. ``"balanced"`` gives all classes the same weight in sum.
    sample_weight : array-like or None
    classes : (n_classes,) array
    Y : (n, n_classes) canonical CSR

    Returns
    -------
    (n,) float64 array or None
        None where no weights are given.
    """
    from mongoose_nb.data.validate import check_weights

    weights = None if sample_weight is None else check_weights(sample_weight, Y.shape[0])
    if class_weight is None:
        return weights
    of_class = _class_weights(class_weight, classes, Y, weights)
    count = np.diff(Y.indptr)
    own = np.bincount(np.repeat(np.arange(Y.shape[0]), count), of_class[Y.indices], Y.shape[0])
    own = np.where(count > 0, own / np.maximum(count, 1), 1.0)
    return own if weights is None else own * weights


def _class_weights(class_weight, classes, Y, weights):
    if isinstance(class_weight, str) and class_weight == "balanced":
        rows = np.repeat(np.arange(Y.shape[0]), np.diff(Y.indptr))
        total = np.bincount(Y.indices, None if weights is None else weights[rows], len(classes))
        return np.where(total > 0, total.sum() / (np.count_nonzero(total) * np.maximum(total, 1e-300)), 1.0)
    if not isinstance(class_weight, Mapping):
        raise ValueError(f"class_weight must be 'balanced', None or a dict of weights by class; got {class_weight!r}")
    place = {name: i for i, name in enumerate(classes.tolist())}
    out = np.ones(len(classes))
    for name, weight in class_weight.items():
        key = name.item() if isinstance(name, np.generic) else name
        if key not in place:
            raise ValueError(f"class_weight has a weight for {name!r}, which is none of the {len(classes)} classes")
        out[place[key]] = check_number(f"class_weight[{name!r}]", weight, low=0.0)
    return out
