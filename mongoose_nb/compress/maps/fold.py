"""STABLE-RPS: the whole model is folded over the array, chunk by chunk, each rotated by a random amount."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mongoose_nb.compress.base import IndexMap
from mongoose_nb.core.registry import register

#: entries of a model are numbered in int64
MOST_ENTRIES = 2**63 - 1


@register("index map", "fold")
class Fold(IndexMap):
    """Entry i of the model lies in cell ``(u[i // m] + i) mod m``: cells have equally many entries, and at m = n each has one.

    Matrices that share the array are placed one after the other by `offset`, so that this holds for all of them together.
    Reads are fastest where widths and cells have a common divisor such as 16.

    Parameters
    ----------
    shape, cells, seed, offset, signed
        See `IndexMap`.

    References
    ----------
    Desai and Shrivastava, "In defense of parameter sharing for model compression", ICLR 2024.
    """

    open_rows = False

    def __init__(self, shape: int | Sequence[int], cells: int, seed: int = 0, *, offset: int = 0, signed: bool = True) -> None:
        super().__init__(shape, cells, seed, offset=offset, signed=signed)
        end = self.offset + self.rows * self.width
        if end > MOST_ENTRIES:
            raise ValueError(f"shape={tuple(self.shape)} ends at entry {end:,} of the model; 'fold' numbers {MOST_ENTRIES:,}: give "
                             "fewer rows, or another map, such as 'robe'")
        # entries that no chunk's end can part, since it is a multiple of them
        self.block = math.gcd(self.cells, self.offset, self.width)

    def key(self, purpose: int) -> np.uint64:
        """See `IndexMap.key`: rotations are those of the whole array, signs of the matrix."""
        offset = self.offset if purpose else 0
        return np.uint64(np.random.SeedSequence([self.seed, offset, purpose, 0xF01D]).generate_state(1, np.uint64)[0])

    def bases(self, rows: np.ndarray) -> np.ndarray:
        """See `IndexMap.bases`."""
        m = self.cells
        first, last = self.offset // m, (self.offset + self.rows * self.width - 1) // m
        entry = self.offset + rows[:, None] * self.width + np.arange(0, self.width, self.block)
        chunk = entry // m
        if last - first < chunk.size:
            rotation = self.hashed(np.arange(first, last + 1), 1, m)[:, 0][chunk - first]
        else:  # few rows of a matrix with many chunks
            rotation = self.hashed(chunk.ravel(), 1, m).reshape(chunk.shape)
        place = rotation + (entry - chunk * m)
        return np.where(place >= m, place - m, place)
