"""The hashing trick: rows are hashed to fewer rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mongoose_nb.compress.base import IndexMap
from mongoose_nb.core.registry import register


@register("index map", "row")
class RowHash(IndexMap):
    """Whole rows share the rows of a smaller matrix: what most people use, and the baseline of the other maps.

    Parameters
    ----------
    shape, cells, seed, offset
        See `IndexMap`.
    signed : bool
        Whether entries have signs; by default they have none, so that two rows in one place are the same row.

    References
    ----------
    Weinberger, Dasgupta, Langford, Smola and Attenberg, "Feature hashing for large scale multitask learning", ICML 2009.
    """

    def __init__(self, shape: int | Sequence[int], cells: int, seed: int = 0, *, offset: int = 0, signed: bool = False) -> None:
        super().__init__(shape, cells, seed, offset=offset, signed=signed)
        self.block = self.width
        if self.cells < self.width:
            raise ValueError(f"cells={self.cells} hold no row of {self.width} entries; give {self.width} or more")

    def bases(self, rows: np.ndarray) -> np.ndarray:
        """See `IndexMap.bases`."""
        return self.hashed(rows, 1, self.cells // self.width, stride=self.width)
