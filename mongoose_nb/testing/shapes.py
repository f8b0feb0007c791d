"""Recall of an index at its defaults on data of several shapes: of few axes, off the origin, stretched, skewed, in clusters."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mongoose_nb.testing.distances import DISTANCES
from mongoose_nb.testing.report import Report, require

AXES = 10  # of each shape: among rows without structure in many dimensions, no row is much nearer than others


def _dominant(Z, rng):
    return Z * np.where(np.arange(AXES) == 0, 10, 1)


def _skewed(Z, rng):
    return Z * np.exp(0.5 * rng.standard_normal((len(Z), 1)))


def _clusters(Z, rng):
    return Z + 4 * np.random.default_rng(1).standard_normal((30, AXES))[rng.integers(0, 30, len(Z))]


#: shape -> (what becomes of normal rows (n, AXES), what becomes of them in all dimensions)
SHAPES = {
    "low rank": (None, None),
    "shifted": (None, lambda X: X + 10),
    "dominant direction": (_dominant, None),
    "skewed lengths": (_skewed, None),
    "clusters": (_clusters, None),
    "orthant": (None, lambda X: np.maximum(X, 0)),
}


def draw_shape(shape: str, n: int, dim: int, rng: np.random.Generator) -> np.ndarray:
    """Rows of one of `SHAPES`.

    Parameters
    ----------
    shape : str
    n, dim : int
    rng : Generator
        Of the rows. The axes, the shift and the centres of clusters are the same at each call.

    Returns
    -------
    ndarray of shape (n, dim), float32
    """
    before, after = SHAPES[shape]
    Z = rng.standard_normal((n, AXES))
    X = (Z if before is None else before(Z, rng)) @ np.random.default_rng(0).standard_normal((AXES, dim))
    return (X if after is None else after(X)).astype(np.float32)


def check_shapes(make: Callable[[], Any], *, metric: str = "cosine", dim: int = 64, n: int = 4000, n_queries: int = 100, k: int = 10,
                 recall: float = 0.75, unlike: float = 0.7, shapes: Sequence[str] = tuple(SHAPES), seed: int = 0) -> Report:
    """Check that an index finds the k nearest rows of data of several shapes.

    Parameters
    ----------
    make : callable
        ``make()`` returns an empty index; see `check_index`.
    metric : {"cosine", "l2", "ip"}
    dim, n, n_queries, k : int
    recall : float, default 0.75
        Share of the k nearest rows that must be found, with each shape.
    unlike : float, default 0.7
        The same of inner products for queries in all directions, with most of which rows have nothing to do: the scores of a factor model,
        for instance, come from queries that are unlike rows.
    shapes : sequence of str
        Some of `SHAPES`.
    seed : int

    Returns
    -------
    Report
        The recall of each shape.

    Raises
    ------
    CheckFailed
        Named ``recall``.
    ValueError
        An unknown metric or shape.
    """
    if metric not in ("cosine", "l2", "ip") or not set(shapes) <= set(SHAPES):
        raise ValueError(f"metric={metric!r}, shapes={list(shapes)}: the metric must be 'cosine', 'l2' or 'ip', and shapes some of "
                         f"{list(SHAPES)}")
    report, rng = Report(), np.random.default_rng(seed)
    for shape in shapes:
        X = draw_shape(shape, n, dim, rng)
        index = make()
        index.add(X.copy(), np.arange(n))
        queries = [(shape, recall, draw_shape(shape, n_queries, dim, rng))]
        if metric == "ip":
            queries.append((f"{shape}, queries unlike rows", unlike, rng.standard_normal((n_queries, dim)).astype(np.float32)))
        for what, least, Q in queries:
            found = _recall(index, Q, X, k, DISTANCES[metric])
            figures = {"observed": found, "expected": least, "bound": (least, 1.0)}
            require(found >= least, "recall", f"{what}: observed {found:.3f} of the {k} nearest rows, expected at least {least:g}, bound "
                    f"[{least:g}, 1]", **figures)
            report.holds(f"recall, {what}", "", **figures)
    return report


def _recall(index, Q, X, k, distance):
    ids, _ = index.query(Q.copy(), k)
    shares = []
    for q, row in zip(Q.astype(np.float64), np.asarray(ids)):
        far = distance(q, X.astype(np.float64))
        bound = np.partition(far, k - 1)[k - 1]
        shares.append((far[row[row >= 0]] <= bound + 1e-5 * abs(bound)).sum() / k)
    return float(np.mean(shares))
