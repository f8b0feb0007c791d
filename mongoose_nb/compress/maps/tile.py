"""ROAST: tiles of a matrix, as large as what an operator loads, begin anywhere in the array."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mongoose_nb.compress.base import IndexMap
from mongoose_nb.core.registry import register
from mongoose_nb.core.validation import check_int


@register("index map", "roast")
class Tile(IndexMap):
    """A matrix is cut into tiles, and each begins at a random place; within a tile, entries lie row by row.

    Parameters
    ----------
    shape, cells, seed, offset, signed
        See `IndexMap`.
    tile : (int, int), optional
        Rows and columns of a tile; by default 32 x 32, or fewer rows where the array holds less than two such tiles.

    References
    ----------
    Desai, Zhou and Shrivastava, "Hardware-aware compression with random operation access specific tile (ROAST) hashing", ICML 2023.
    """

    def __init__(self, shape: int | Sequence[int], cells: int, seed: int = 0, *, offset: int = 0, signed: bool = True,
                 tile: Sequence[int] | None = None) -> None:
        super().__init__(shape, cells, seed, offset=offset, signed=signed)
        if tile is None:
            self.block = max(1, min(32, self.width, self.cells // 2))
            self._tall = max(1, min(32, self.rows, self.cells // (2 * self.block)))
        else:
            tall, block = tile
            self._tall, self.block = check_int("tile", tall, low=1), min(check_int("tile", block, low=1), self.width)
        self.tile = [self._tall, self.block]
        if self._tall * self.block > self.cells:
            raise ValueError(f"cells={self.cells} hold no tile of {self._tall} x {self.block} entries; give a smaller tile")

    def bases(self, rows: np.ndarray) -> np.ndarray:
        """See `IndexMap.bases`."""
        tall = self._tall
        return self.hashed(rows // tall, self.blocks, self.cells, shifts=rows % tall * self.block)
