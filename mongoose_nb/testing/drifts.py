"""Ways in which rows drift: what they are replaced by in the checks of an index."""

from collections.abc import Callable

import numpy as np


def drifts(X: np.ndarray, rng: np.random.Generator) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Functions that turn rows like those of X (n, dim), and queries, into another kind of rows.

    Parameters
    ----------
    X : ndarray of shape (n, dim)
        Of zeros and ones, or of numbers.
    rng : Generator

    Returns
    -------
    dict
        name -> function of an array (m, dim) that returns another, (m, dim).
    """
    dim = X.shape[1]
    order = rng.permutation(dim)

    def equal(A):
        return np.repeat(X[:1], len(A), axis=0)

    if np.isin(X, (0, 1)).all():
        return {"columns change places": lambda A: A[:, order], "half of the columns are zero": lambda A: A * (np.arange(dim) % 2 == 0),
                "equal rows": equal, "rows of zeros": np.zeros_like}
    turn = np.linalg.qr(rng.standard_normal((dim, dim)))[0].astype(X.dtype)
    center = X.mean(axis=0)
    scales = np.asarray(10.0 ** (np.arange(64) % 3 - 1), X.dtype)[:, None]
    return {
        "a fifth": lambda A: A / 5,
        "a thousandth": lambda A: A / 1000,
        "five times": lambda A: A * 5,
        "moved far": lambda A: A + 10,
        "moved on one axis": lambda A: A + 10 * (np.arange(dim) == 0).astype(A.dtype),
        "turned": lambda A: A @ turn,
        "mirrored": lambda A: 2 * center - A,
        "length one": lambda A: A / np.maximum(np.linalg.norm(A, axis=1, keepdims=True), 1e-30).astype(A.dtype),
        "of three scales": lambda A: A * np.resize(scales, (len(A), 1)),
        "equal rows": equal,
        "rows of zeros": np.zeros_like,
    }
