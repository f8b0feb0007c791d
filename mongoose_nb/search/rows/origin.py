"""Where compact rows count from: an origin that is taken from rows before they are rounded, and a watch on what rounding loses.

Rows far from zero, such as years or coordinates of a map, leave no bits for their differences in int8 or float16.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from mongoose_nb.core.arrays import read_only

# Rounding errors, as a share of the spread of the rows, that are warned of; int8 rows around zero have about 0.006.
LOUD = 0.2
# Rows that are looked at together, and rows of a batch, or single ones in all, that are looked at.
TOGETHER, SINGLE = 32, 1024
# Share of its size without an origin, below which the rounding error with an origin is worth it.
_WORTH = 0.5


class Origin(NamedTuple):
    """What is taken from rows before they are rounded."""

    row: np.ndarray  # (width,) float32, multiples of the grid
    grid: float  # a power of two, so that sums of its multiples are exact; 0 where the origin is zero

    @classmethod
    def zero(cls, width: int) -> Origin:
        """No origin."""
        return cls(read_only(np.zeros(width, np.float32)), 0.0)


def on_grid(X: np.ndarray, grid: float) -> np.ndarray:
    """Numbers rounded to multiples of `grid`, float32."""
    return (np.rint(X / np.float64(grid)) * grid).astype(np.float32)


def _origin(row):
    """An `Origin` near a row (width,)."""
    largest = float(np.abs(row).max(initial=0))
    if largest < 2.0**-100:
        return Origin.zero(len(row))
    grid = math.ldexp(1.0, math.frexp(largest)[1] - 22)
    return Origin(read_only(on_grid(row, grid)), grid)


def column_origin(batch: np.ndarray, error_size: Callable[[np.ndarray], float]) -> Origin:
    """The origin for a store whose first rows are these: the mean of each column, or of a single row (also many times) one number for all
    columns; zero where that would not halve the rounding error.

    Parameters
    ----------
    batch : (n, width) float32
    error_size : callable
        Size of the rounding errors of rows, up to a factor.

    Returns
    -------
    Origin
    """
    if len(batch) > 1 and (batch != batch[0]).any():
        row = batch.mean(axis=0, dtype=np.float64)
    else:
        row = np.full(batch.shape[1], (float(batch.max()) + float(batch.min())) / 2)
    origin, n = _origin(row), len(batch)
    alone = n / (n - 1) if n > 1 else 1  # from the mean of the other rows, as the rows to come
    return origin if error_size(batch - origin.row) * alone < _WORTH * error_size(batch) else Origin.zero(batch.shape[1])


def saved_origin(row: np.ndarray, width: int) -> Origin:
    """The origin of a file, or a ValueError where it is none."""
    if row.shape != (width,) or row.dtype != np.float32 or not np.isfinite(row).all() or not row.any():
        raise ValueError("the saved origin does not fit the saved rows")
    return _origin(np.array(row))


class RoundingWatch:
    """Warns once where rounding errors are large beside the spread of the rows, so that near rows cannot be told apart."""

    def __init__(self) -> None:
        self._single: list[tuple[np.ndarray, np.ndarray]] = []
        self._seen, self._done = 0, False

    def look(self, given: np.ndarray, kept: np.ndarray, storage: str) -> None:
        """Compare rows with what is kept of them.

        Parameters
        ----------
        given, kept : (n, width) float32
        storage : str
            Name of the storage, for the warning.
        """
        if self._done or not len(given):
            return
        if len(given) < TOGETHER:
            if self._seen >= SINGLE:
                return
            self._seen += len(given)
            self._single = [*self._single, (given.copy(), kept)]
            if sum(len(rows) for rows, _ in self._single) < TOGETHER:
                return
            (given, kept), self._single = (np.concatenate(parts) for parts in zip(*self._single)), []
        some = slice(None, None, max(1, len(given) // SINGLE))
        given, kept = given[some].astype(np.float64), kept[some]
        spread = float(np.sqrt(np.square(given - given.mean(axis=0)).mean()))
        error = float(np.sqrt(np.square(given - kept).mean()))
        if error > LOUD * spread and spread > 0:
            self._done = True
            warnings.warn(f"storage={storage!r} rounds numbers by {error:.2g} on average, and these rows spread by {spread:.2g} around "
                          "their mean, so that near rows cannot be told apart: leave storage out, or subtract the mean of all rows from "
                          "rows and queries", UserWarning, stacklevel=6)
