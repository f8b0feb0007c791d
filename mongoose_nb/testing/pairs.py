"""Pairs of rows at a given similarity, and the similarity of given pairs."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np

# --- makers: (value, n, dim, nnz, rng) -> two (n, dim) arrays in float64 ----------------------------------------------------------------


def _places(n, dim, take, rng):
    """For each of n rows, `take` different coordinates in random order."""
    keys = rng.random((n, dim))
    if take == dim:
        return keys.argsort(axis=1)
    smallest = keys.argpartition(max(take - 1, 0), axis=1)[:, :take]
    return np.take_along_axis(smallest, np.take_along_axis(keys, smallest, axis=1).argsort(axis=1), axis=1)


def _spread(rows, dim, nnz, rng):
    """The coordinates of several (n, nnz) arrays on the same nnz random coordinates of dim, another choice for each row."""
    if nnz == dim:
        return rows
    places = _places(len(rows[0]), dim, nnz, rng)
    spread = [np.zeros((len(part), dim)) for part in rows]
    for part, out in zip(rows, spread):
        np.put_along_axis(out, places, part, axis=1)
    return spread


def _directions(n, dim, rng, orthogonal_to=None):
    """Unit vectors, uniform on the sphere or on its part orthogonal to given unit vectors."""
    V = rng.standard_normal((n, dim))
    if orthogonal_to is not None:
        for _ in range(2):  # once more for what rounding left
            V -= (V * orthogonal_to).sum(axis=1, keepdims=True) * orthogonal_to
    return V / np.linalg.norm(V, axis=1, keepdims=True)


def _at_cosine(value, n, dim, nnz, rng):
    U = _directions(n, nnz, rng)
    Y = value * U
    if abs(value) < 1:
        Y = Y + math.sqrt((1 - value) * (1 + value)) * _directions(n, nnz, rng, U)
    return _spread((U, Y), dim, nnz, rng)


def _at_inner_product(value, n, dim, nnz, rng):
    U = _directions(n, nnz, rng)
    return _spread((U, value * U + rng.random((n, 1)) * _directions(n, nnz, rng, U)), dim, nnz, rng)


def _at_distance(value, n, dim, nnz, rng):
    X = rng.standard_normal((n, nnz))
    return _spread((X, X + value * _directions(n, nnz, rng)), dim, nnz, rng)


def _at_correlation(value, n, dim, nnz, rng):
    X, Z = rng.standard_normal((2, n, nnz))
    return _spread((X, value * X + math.sqrt((1 - value) * (1 + value)) * Z), dim, nnz, rng)


def _at_jaccard(value, n, dim, nnz, rng):
    # Of the sizes of the union in the upper half of what is allowed, the one that comes nearest to the similarity.
    sizes = np.arange(nnz, max(1, nnz // 2) - 1, -1)
    shared = np.rint(value * sizes)
    best = int(np.abs(shared / sizes - value).argmin())
    union, both = int(sizes[best]), int(shared[best])
    alone = 1 if both == 0 and union > 1 else 0  # neither set is empty where that can be helped
    first = rng.integers(both + alone, union - alone + 1, (n, 1))
    places, order = _places(n, dim, union, rng), np.arange(union)
    X, Y = np.zeros((2, n, dim))
    np.put_along_axis(X, places, order < first, axis=1)
    np.put_along_axis(Y, places, (order < both) | (order >= first), axis=1)
    return X, Y


def _at_hamming(value, n, dim, nnz, rng):
    X = rng.random((n, dim)) < 0.5
    Y = X.copy()
    places = _places(n, dim, round(value), rng)
    np.put_along_axis(Y, places, ~np.take_along_axis(X, places, axis=1), axis=1)
    return X, Y


# --- measures: two (n, dim) arrays -> (n,) ----------------------------------------------------------------------------------------------


def _cosine(X, Y):
    return np.clip((X * Y).sum(axis=1) / (np.linalg.norm(X, axis=1) * np.linalg.norm(Y, axis=1)), -1, 1)


def _distance(X, Y):
    return np.linalg.norm(X - Y, axis=1)


def _inner_product(X, Y):
    return (X * Y).sum(axis=1)


def _correlation(X, Y):
    return _cosine(X - X.mean(axis=1, keepdims=True), Y - Y.mean(axis=1, keepdims=True))


def _jaccard(X, Y):
    union = ((X != 0) | (Y != 0)).sum(axis=1)
    return np.where(union, ((X != 0) & (Y != 0)).sum(axis=1) / np.maximum(union, 1), 1.0)


def _hamming(X, Y):
    return (X != Y).sum(axis=1).astype(np.float64)


@dataclasses.dataclass(frozen=True)
class Metric:
    """A similarity or distance of two rows, and a generator of rows that have a given one.

    Define one for a similarity of your own; the checks accept it in place of a name.

    Parameters
    ----------
    name : str
    make : callable
        ``make(value, n, dim, nnz, rng)`` gives two arrays (n, dim) whose rows have the similarity `value`, with at most `nnz`
        nonzero coordinates.
    measure : callable
        ``measure(X, Y)``, float64 arrays (n, dim), gives the (n,) values of the pairs.
    values : tuple of float
        Values that a check uses by default.
    low, high : float
        Range of the value.
    closer : {1, -1}
        1 where larger means more similar, -1 for distances.
    near : float
        A value so close that a search index has to find it.
    least : int
        Coordinates needed to make a pair.
    reflexive : bool
        Whether no row is nearer to a row than itself, as with all but the inner product.
    of_pair : bool, default True
        Whether the value is one of each pair; False where it is one of the distribution that pairs are drawn from.
    """

    name: str
    make: Callable
    measure: Callable
    values: tuple
    low: float
    high: float
    closer: int = 1
    near: float = 0.95
    least: int = 1
    reflexive: bool = True
    of_pair: bool = True

    def __post_init__(self) -> None:
        if self.closer not in (1, -1):
            raise ValueError(f"closer is {self.closer!r}; it must be 1 (larger is more similar) or -1 (a distance)")

    def check(self, value: float) -> float:
        """Return `value` as a float; ValueError if it is out of range."""
        value = float(value)
        if not self.low <= value <= self.high:
            raise ValueError(f"{value} is no value of {self.name}, which lies in [{self.low:g}, {self.high:g}]")
        return value


#: name -> Metric
METRICS = {metric.name: metric for metric in (
    Metric("cosine", _at_cosine, _cosine, (-0.5, 0.0, 0.5, 0.9, 1.0), -1.0, 1.0, least=2),
    Metric("l2", _at_distance, _distance, (0.0, 0.5, 1.0, 2.0, 4.0), 0.0, math.inf, closer=-1, near=0.2),
    Metric("ip", _at_inner_product, _inner_product, (-0.5, 0.0, 0.5, 0.9), -math.inf, math.inf, least=2, near=1.5, reflexive=False),
    Metric("jaccard", _at_jaccard, _jaccard, (0.0, 0.2, 0.5, 0.8, 1.0), 0.0, 1.0, near=0.9),
    Metric("hamming", _at_hamming, _hamming, (0.0, 1.0, 2.0, 4.0, 8.0), 0.0, math.inf, closer=-1, near=2.0),
    Metric("correlation", _at_correlation, _correlation, (-0.5, 0.0, 0.6, 0.95), -1.0, 1.0, least=2, of_pair=False),
)}


def find_metric(metric: str | Metric) -> Metric:
    """The `Metric` of a name, or `metric` itself."""
    if isinstance(metric, Metric):
        return metric
    if metric not in METRICS:
        raise ValueError(f"metric is {metric!r}; it must be one of {', '.join(map(repr, METRICS))}, or a testing.Metric")
    return METRICS[metric]


def pairs_at(similarity: float, metric: str | Metric, n: int, dim: int, rng: np.random.Generator, *,
             nnz: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Make `n` pairs of rows at a given similarity.

    Parameters
    ----------
    similarity : float
        The value that the pairs are to have:

        - ``"cosine"``: of the angle between them; both have norm 1
        - ``"l2"``: Euclidean distance; the first row is standard normal
        - ``"ip"``: inner product; the first row, the query, has norm 1
        - ``"jaccard"``: shared members over all members of two sets, rows of 0 and 1, neither of them empty
        - ``"hamming"``: number of coordinates in which two rows of 0 and 1 differ, a whole number up to `dim`
        - ``"correlation"``: not of the pair but of the normal distribution from which its coordinates are drawn
    metric : str or Metric
    n, dim : int
        Number of pairs, and of coordinates of a row.
    rng : numpy.random.Generator or int
        Source of randomness, or a seed.
    nnz : int, optional
        Most coordinates of a pair that are not zero, chosen at random for every pair; all by default, half of them for
        ``"jaccard"``. Few test a family where it is weakest: on rows that meet few of its random numbers. Not for ``"hamming"``.

    Returns
    -------
    X, Y : ndarray of shape (n, dim), float32
        Row i of one and row i of the other are a pair. Sets have no more members than `nnz`, so that their similarity is the
        fraction nearest to the one asked for; `similarity_of` tells which, and what rounding to float32 left of the others.

    Raises
    ------
    ValueError
        If the metric is unknown, cannot have this value, or needs more coordinates.

    Examples
    --------
    >>> from mongoose_nb.testing import pairs_at, similarity_of
    >>> X, Y = pairs_at(0.8, "jaccard", n=2, dim=40, rng=0)
    >>> similarity_of(X, Y, "jaccard")
    array([0.8, 0.8])
    """
    metric, rng = find_metric(metric), np.random.default_rng(rng)
    value = metric.check(similarity)
    if nnz is None:
        nnz = max(1, dim // 2) if metric.name == "jaccard" else dim
    elif metric.name == "hamming":
        raise ValueError("nnz has no meaning for 'hamming', whose rows are zero in half of the coordinates; leave it out")
    if metric.name == "hamming" and (value > dim or value % 1):
        raise ValueError(f"rows of dim={dim} differ in 0 to {dim} coordinates, a whole number; not in {value:g}")
    least = 2 if metric.name == "jaccard" and value < 1 else metric.least
    if not least <= nnz <= dim:
        raise ValueError(f"nnz is {nnz}; pairs at {metric.name} {value:g} in dim={dim} need {least} to {dim} coordinates")
    X, Y = metric.make(value, n, dim, nnz, rng)
    return np.asarray(X, np.float32), np.asarray(Y, np.float32)


def similarity_of(X: np.ndarray, Y: np.ndarray, metric: str | Metric) -> np.ndarray:
    """Similarity of row i of `X` and row i of `Y`, computed in float64.

    Parameters
    ----------
    X, Y : array_like of shape (n, dim)
    metric : str or Metric
        See `pairs_at`. For ``"correlation"`` it is that of the sample: the correlation of the two rows.

    Returns
    -------
    ndarray of shape (n,), float64
        NaN for the cosine of a row of zeros.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return find_metric(metric).measure(np.asarray(X, np.float64), np.asarray(Y, np.float64))


def rows_of(metric: str | Metric, n: int, dim: int, rng: np.random.Generator) -> np.ndarray:
    """Rows for checks that need no similarity: partners at all usual values, some of them sparse."""
    metric = find_metric(metric)
    parts: list[np.ndarray] = []
    few = [None] if metric.name == "hamming" or dim < 4 else [None, max(metric.least, 2, dim // 4), max(metric.least, 2)]
    count = -(-n // (2 * len(few) * len(metric.values)))
    for value in metric.values:
        for nnz in few:
            parts += pairs_at(value, metric, count, dim, rng, nnz=nnz)
    return np.concatenate(parts)[rng.permutation(count * 2 * len(few) * len(metric.values))[:n]]
