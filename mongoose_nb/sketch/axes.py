"""Random grids for density sketches: means, rotated and scaled axes, offsets."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from mongoose_nb.core.arrays import read_only
from mongoose_nb.core.streams import stream

#: directions whose variance is below this share of the largest are left out
FLAT = 1e-12


class Axes(NamedTuple):
    """The grids of a sketch.

    Parameters
    ----------
    mean : (d,) float64
    axes : (repeats, m, d) float64
        Of grid r: ``axes[r] @ (x - mean)`` has unit variance in every direction, m of them.
    offsets : (levels, repeats, m) float64
        In units of a cell.
    side : float
        Of a cell of the finest level.
    log_volume : float
        Logarithm of how much larger a volume is in the space of the rows.
    """

    mean: np.ndarray
    axes: np.ndarray
    offsets: np.ndarray
    side: float
    log_volume: float

    @property
    def dim(self) -> int:
        """Columns of rows."""
        return len(self.mean)

    @property
    def rank(self) -> int:
        """Directions in which rows differ."""
        return self.axes.shape[1]

    def log_tail(self, X: np.ndarray) -> np.ndarray:
        """Log density of a Cauchy distribution around the mean, whose scales are those of the rows, at points (n, d), in whitened units.

        Parameters
        ----------
        X : (n, d) float64
        """
        half = (self.rank + 1) / 2
        Y = (X - self.mean) @ self.axes[0].T
        scale = np.maximum(np.abs(Y).max(axis=1), 1.0)  # squares of far points overflow
        squares = 2 * np.log(scale) + np.log(scale**-2.0 + ((Y / scale[:, None]) ** 2).sum(axis=1))  # log(1 + |y|^2)
        return math.lgamma(half) - half * (math.log(math.pi) + squares)

    def same(self, other: Axes) -> bool:
        """Whether both are equal, bit for bit."""
        return all(np.array_equal(mine, its) for mine, its in zip(self, other))


def choose_axes(X: np.ndarray, bandwidth: float | str, repeats: int, levels: int, whiten: bool, seed: int) -> Axes:
    """Axes for rows like these.

    Parameters
    ----------
    X : (n, d) float64
    bandwidth : float or "auto"
    repeats, levels : int
    whiten : bool
    seed : int

    Returns
    -------
    Axes
    """
    n, d = X.shape
    if n < 2 or d < 1:
        raise ValueError(f"X has shape {X.shape}; the first rows of a sketch give means and scales; give 2 rows and 1 column or more")
    mean = X.mean(axis=0)
    largest = np.abs(X - mean).max()
    if not largest > 0:
        raise ValueError("all rows are equal, so they have no density; give rows that differ")
    scaled = (X - mean) / largest
    if whiten:
        values, directions = np.linalg.eigh(scaled.T @ scaled / n)
    else:
        values, directions = scaled.var(axis=0), np.eye(d)
    used = values > FLAT * values.max()
    spread = np.sqrt(values[used]) * largest
    whitened = directions[:, used].T / spread[:, None]  # (m, d)
    m = len(spread)
    rng = stream(seed, "grids")
    axes = np.empty((repeats, m, d))
    for r in range(repeats):
        rotation, triangle = np.linalg.qr(rng.standard_normal((m, m)))
        axes[r] = (rotation * np.sign(np.diag(triangle))) @ whitened
    offsets = rng.random((levels, repeats, m))
    side = math.sqrt(6) * n ** (-1 / (m + 4)) if bandwidth == "auto" else float(bandwidth)
    return Axes(read_only(mean), read_only(axes), read_only(offsets), side, float(np.log(spread).sum()))
