"""Quotient and remainder: a row is the concatenation of a row of each of two small tables."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mongoose_nb.compress.base import IndexMap
from mongoose_nb.core.registry import register


@register("index map", "compositional")
class Compositional(IndexMap):
    """The first half of row r is row ``r // n`` of one table and the second half row ``r % n`` of another: no two rows are equal.

    n is the largest number for which both tables fit. They begin at a random cell, so that matrices that share an array overlap by chance
    and not row by row.

    Parameters
    ----------
    shape, cells, seed, offset
        See `IndexMap`; the seed and the offset draw the cell at which the tables begin.
    signed : bool
        By default entries have no signs.

    References
    ----------
    Shi, Mudigere, Naumov and Yang, "Compositional embeddings using complementary partitions for memory-efficient recommendation
    systems", KDD 2020.
    """

    open_rows = False
    least_width = 2

    def __init__(self, shape: int | Sequence[int], cells: int, seed: int = 0, *, offset: int = 0, signed: bool = False) -> None:
        super().__init__(shape, cells, seed, offset=offset, signed=signed)
        if self.width < self.least_width:
            raise ValueError(f"a row of {self.width} entries has no two halves; use index map 'row' or 'element' for it")
        self.block = -(-self.width // 2)
        # the largest n with n + ceil(rows / n) <= room, in halves of `block` entries
        room = self.cells // self.block
        root = room * room - 4 * self.rows
        if room < 2 or root < 0:
            least = self.block * (math.isqrt(4 * self.rows - 1) + 1)
            raise ValueError(f"cells={self.cells} hold no two tables for {self.rows} rows; give {max(least, 2 * self.block)} or more, or "
                             "use another map")
        self._remainders = min(self.rows, (room + math.isqrt(root)) // 2)

    def bases(self, rows: np.ndarray) -> np.ndarray:
        """See `IndexMap.bases`."""
        quotients = -(-self.rows // self._remainders)
        half = self.width - self.block
        place = np.stack([rows // self._remainders * self.block, quotients * self.block + rows % self._remainders * half], axis=1)
        return (place + self.hashed(np.zeros(1), 1, self.cells)) % self.cells
