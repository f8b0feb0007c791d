"""ROBE-Z: blocks of Z entries begin anywhere in the array."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mongoose_nb.compress.base import IndexMap
from mongoose_nb.core.registry import register
from mongoose_nb.core.validation import check_int


@register("index map", "robe")
class Block(IndexMap):
    """A row is cut into blocks of Z entries, and each block begins at a random place: blocks overlap, entries of one never collide.

    A row costs one read of neighbouring cells a block, where `Element` costs one an entry.

    Parameters
    ----------
    shape, cells, seed, offset, signed
        See `IndexMap`.
    block : int, optional
        Z; by default a whole row, at most 64 entries and at most half of the cells.

    References
    ----------
    Desai, Chou and Shrivastava, "Random offset block embedding array (ROBE) for CriteoTB benchmark MLPerf DLRM model", MLSys 2022.
    """

    def __init__(self, shape: int | Sequence[int], cells: int, seed: int = 0, *, offset: int = 0, signed: bool = True,
                 block: int | None = None) -> None:
        super().__init__(shape, cells, seed, offset=offset, signed=signed)
        default = max(1, min(self.width, 64, self.cells // 2))
        self.block = default if block is None else min(check_int("block", block, low=1, high=self.cells), self.width)

    def bases(self, rows: np.ndarray) -> np.ndarray:
        """See `IndexMap.bases`."""
        return self.hashed(rows, self.blocks, self.cells)
