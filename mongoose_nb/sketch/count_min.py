"""Count-min: counts that are never too small (Cormode and Muthukrishnan 2005)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mongoose_nb.sketch.counts import CountTable


class CountMinSketch(CountTable):
    """Counts of very many keys in a table of fixed size. An estimate is never below the count.

    Parameters
    ----------
    width : int
        Cells of a row.
    depth : int
        Rows: the least cell of a key counts.
    seed : int

    Notes
    -----
    An estimate is above the count by more than ``e / width * total`` with probability at most ``exp(-depth)``; see `error_bound`.

    Examples
    --------
    >>> from mongoose_nb.sketch import CountMinSketch
    >>> words = CountMinSketch(width=1000).add(["to", "be", "or", "not", "to", "be"])
    >>> words.estimate(["to", "not", "that"])
    array([2, 1, 0])
    """

    file_kind = "count_min_sketch"

    def __init__(self, width: int = 2048, depth: int = 5, seed: int = 0) -> None:
        super().__init__(width, depth, seed)

    def estimate(self, keys: Any) -> np.ndarray:
        """Estimates of counts, at least the counts.

        Parameters
        ----------
        keys : int, str, bytes, or an array or list of them

        Returns
        -------
        (n,) int64
        """
        return self._read(keys).min(axis=1)

    def error_bound(self) -> tuple[float, float]:
        """How far an estimate is above the count at most, and the probability that it is farther.

        Returns
        -------
        error : float
        probability : float
        """
        return math.e / self.width * self.total, math.exp(-self.depth)
