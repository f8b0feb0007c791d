"""Which kernels multiply by a Monarch matrix: by tiles of rows (`monarch`), or by blocks where these are large (`monarch_blocks`)."""

from collections.abc import Callable
from typing import NamedTuple

from mongoose_nb.kernels.structured.monarch import GAP, monarch_backward, monarch_forward
from mongoose_nb.kernels.structured.monarch_blocks import backward_by_block, forward_by_block

# Numbers in a block from which all blocks are multiplied one after the other, over many rows each. On one thread a pass with blocks of 2^18
# numbers takes 0.89 of the time by tiles, with 2^20 0.86; with 2^16 there is no difference, and the barriers cost more on a busy machine.
LARGE = 1 << 17


class Order(NamedTuple):
    """Kernels, and most rows of a tile."""

    tile: int
    forward: Callable
    backward: Callable

    def scratch(self, n, features):
        """Shape of a scratch array of so many values for each of n rows: (tiles, features, rows of a tile and a gap)."""
        tile = min(self.tile, max(1, n))
        return -(-n // tile), features, tile + GAP


BY_TILE = Order(128, monarch_forward, monarch_backward)
BY_BLOCK = Order(1024, forward_by_block, backward_by_block)


def order_of(*shapes):
    """The order for factors of these shapes."""
    return BY_BLOCK if max(rows * columns for _, rows, columns in shapes) >= LARGE else BY_TILE
