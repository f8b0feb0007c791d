"""How hard a row is, by the angles between its features and the weights of the classes.

::

    A(h, w) = arccos(h . w / (|h| |w|))
    hardness(h, y) = A(h, w_y) / sum over classes c of A(h, w_c)         higher is harder; 1 / classes: all angles are equal
    confidence(h)_c = (pi - A(h, w_c)) / sum over k of (pi - A(h, w_k))

Lengths do not matter. The softmax of a network that is trained for long grows ever surer because its features and weights grow; angles
stop changing early. Of two vectors a SimHash bit differs with probability A / pi, so that the hardness can be estimated from codes alone.

References
----------
Chen et al., "Angular Visual Hardness", ICML 2020.
"""

from __future__ import annotations

from typing import Any

import numpy as np

_BLOCK = 1 << 22  # angles that are held at a time


def angular_visual_hardness(features: Any, class_weights: Any, labels: Any) -> np.ndarray:
    """Angular visual hardness of every row.

    Parameters
    ----------
    features : (n, d) array
        What the output layer sees, as `Network.hidden_activations` gives it.
    class_weights : (classes, d) array
        Rows of the output layer, without biases.
    labels : (n,) int array
        The class of each row.

    Returns
    -------
    (n,) float64
        The angle to the weights of the row's class, as a share of the angles to all classes. A row or weights of length zero are at a
        right angle to everything.

    Raises
    ------
    ValueError
        If a shape does not fit, a number is not finite, or a label is not a class.

    Examples
    --------
    >>> import numpy as np
    >>> from mongoose_nb.metrics import angular_visual_hardness
    >>> angular_visual_hardness([[1.0, 0.0], [1.0, 1.0]], [[2.0, 0.0], [0.0, 1.0]], [0, 0]).tolist()
    [0.0, 0.5]
    """
    features, weights = _rows("features", features), _rows("class_weights", class_weights)
    labels = _labels(labels, len(features), len(weights))
    out = np.empty(len(features))
    for some, angles in _angles(features, weights):
        out[some] = _share(angles, labels[some])
    return out


def angular_confidence(features: Any, class_weights: Any) -> np.ndarray:
    """Confidence in every class by angles.

    Parameters
    ----------
    features, class_weights
        As for `angular_visual_hardness`.

    Returns
    -------
    (n, classes) float64
        Rows add up to one. The class with the highest confidence is that of the smallest angle.
    """
    features, weights = _rows("features", features), _rows("class_weights", class_weights)
    out = np.empty((len(features), len(weights)))
    for some, angles in _angles(features, weights):
        left = np.pi - angles
        out[some] = left / np.maximum(left.sum(axis=1, keepdims=True), np.finfo(float).tiny)
    return out


def angular_pseudo_labels(features: Any, class_weights: Any, share: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Rows for self-training: of every class that is predicted, those with the highest angular confidence.

    Parameters
    ----------
    features, class_weights
        As for `angular_visual_hardness`.
    share : float
        Share of the rows of each predicted class that are chosen, in (0, 1], at least one row.

    Returns
    -------
    rows : (m,) int64
        Ascending.
    labels : (m,) int64
        Their predicted classes.

    References
    ----------
    Chen et al., "Angular Visual Hardness", ICML 2020, section 5. Zou et al., "Unsupervised domain adaptation via class-balanced
    self-training", ECCV 2018: the same share of every class.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share must be above 0 and at most 1; got {share!r}")
    confidence = angular_confidence(features, class_weights)
    best = confidence.argmax(axis=1)
    surest = confidence[np.arange(len(best)), best]
    chosen = []
    for label in np.unique(best):
        rows = np.flatnonzero(best == label)
        chosen.append(rows[np.argsort(-surest[rows], kind="stable")[:max(1, round(share * len(rows)))]])
    rows = np.sort(np.concatenate(chosen)) if chosen else np.zeros(0, np.int64)
    return rows, best[rows]


def hardness_from_codes(codes: Any, class_codes: Any, bits: int, labels: Any) -> np.ndarray:
    """Estimate of the angular visual hardness from SimHash codes of features and of class weights, without either.

    Parameters
    ----------
    codes : (n, L) array of unsigned integers
        ``SimHash(d, K, L).hash(features)``.
    class_codes : (classes, L) array of unsigned integers
        ``hash(class_weights)`` of the same functions.
    bits : int
        Hashes of a table, K.
    labels : (n,) int array

    Returns
    -------
    (n,) float64
        Each angle is estimated as pi times the share of the K * L bits that differ, with a standard error of
        ``sqrt(A * (pi - A) / (K * L))``.

    Examples
    --------
    >>> import numpy as np
    >>> from mongoose_nb import SimHash
    >>> from mongoose_nb.metrics import angular_visual_hardness, hardness_from_codes
    >>> rng = np.random.default_rng(0)
    >>> h, W = rng.standard_normal((5, 20)), rng.standard_normal((3, 20))
    >>> family = SimHash(20, 16, 200)
    >>> estimate = hardness_from_codes(family.hash(h), family.hash(W), 16, [0, 1, 2, 0, 1])
    >>> bool(abs(estimate - angular_visual_hardness(h, W, [0, 1, 2, 0, 1])).max() < 0.02)
    True
    """
    codes, class_codes = np.asarray(codes), np.asarray(class_codes)
    for name, array in (("codes", codes), ("class_codes", class_codes)):
        if array.ndim != 2 or array.dtype.kind != "u":
            raise ValueError(f"{name} must be unsigned integers of shape (rows, L), as SimHash.hash gives them; got {array.dtype} "
                             f"{array.shape}")
    if codes.shape[1] != class_codes.shape[1] or not codes.shape[1]:
        raise ValueError(f"codes have L={codes.shape[1]} tables and class_codes {class_codes.shape[1]}; give codes of the same functions")
    if not 1 <= bits <= 64:
        raise ValueError(f"bits must be the K of the functions, from 1 to 64; got {bits!r}")
    labels = _labels(labels, len(codes), len(class_codes))
    out, step = np.empty(len(codes)), max(1, _BLOCK // class_codes.size)
    for lo in range(0, len(codes), step):
        some = slice(lo, lo + step)
        differ = np.bitwise_count(codes[some, None, :] ^ class_codes[None]).sum(axis=2, dtype=np.int64)
        out[some] = _share(np.pi * differ / (bits * codes.shape[1]), labels[some])
    return out


def _rows(name, rows):
    rows = np.asarray(rows, np.float64)
    if rows.ndim != 2 or not rows.shape[0] * rows.shape[1]:
        raise ValueError(f"{name} must be an array of rows, (n, d), not empty; got shape {rows.shape}")
    if not np.isfinite(rows).all():
        raise ValueError(f"{name} holds NaN or infinity; leave such rows out")
    return rows


def _labels(labels, n, n_classes):
    labels = np.asarray(labels)
    if labels.shape != (n,) or labels.dtype.kind not in "iu":
        raise ValueError(f"labels must be {n} integers, the class of each row; got {labels.dtype} {labels.shape}")
    if n and not 0 <= labels.min() <= labels.max() < n_classes:
        raise ValueError(f"labels must be from 0 to {n_classes - 1}, rows of the class weights; got {labels.min()} to {labels.max()}")
    return labels.astype(np.int64)


def _unit(rows):
    rows = rows / np.maximum(np.abs(rows).max(axis=1, keepdims=True), np.finfo(float).tiny)  # squares stay in range
    return rows / np.maximum(np.sqrt(np.square(rows).sum(axis=1, keepdims=True)), np.finfo(float).tiny)


def _angles(features, weights):
    """(slice of the rows, angles to all classes), block by block."""
    if features.shape[1] != weights.shape[1]:
        raise ValueError(f"features have {features.shape[1]} columns and class_weights {weights.shape[1]}; they must have the same")
    features, weights = _unit(features), _unit(weights)
    step = max(1, _BLOCK // len(weights))
    for lo in range(0, len(features), step):
        some = slice(lo, lo + step)
        yield some, np.arccos(np.clip(features[some] @ weights.T, -1.0, 1.0))


def _share(angles, labels):
    return angles[np.arange(len(labels)), labels] / np.maximum(angles.sum(axis=1), np.finfo(float).tiny)
