"""Count sketch: counts without bias (Charikar, Chen and Farach-Colton 2002)."""

from __future__ import annotations

from typing import Any

import numpy as np

from mongoose_nb.sketch.counts import CountTable


class CountSketch(CountTable):
    """Counts of very many keys in a table of fixed size, without bias; amounts may be negative.

    Parameters
    ----------
    width : int
        Cells of a row.
    depth : int
        Rows: the median over them is the estimate.
    seed : int

    Notes
    -----
    What one row says of a key has the variance (sum of squares of the other counts) / `width`.

    Examples
    --------
    >>> from mongoose_nb.sketch import CountSketch
    >>> balance = CountSketch(width=1000).add(["in", "out", "in"], [5, 2, 3]).add("in", -1)
    >>> balance.estimate(["in", "out"])
    array([7., 2.])
    """

    signed = True
    file_kind = "count_sketch"

    def __init__(self, width: int = 2048, depth: int = 5, seed: int = 0) -> None:
        super().__init__(width, depth, seed)

    def estimate(self, keys: Any) -> np.ndarray:
        """Estimates of counts: of an odd number of rows the median is without bias.

        Parameters
        ----------
        keys : int, str, bytes, or an array or list of them

        Returns
        -------
        (n,) float64
        """
        return np.median(self._read(keys), axis=1)

    def second_moment(self) -> float:
        """Estimate of the sum of squares of all counts."""
        return float(np.median((self.table.astype(np.float64) ** 2).sum(axis=1)))
