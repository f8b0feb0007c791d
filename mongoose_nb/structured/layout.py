"""How the rows and columns of a Monarch matrix are grouped."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from mongoose_nb.core.validation import check_int


class MonarchLayout(NamedTuple):
    """Sizes of the factors of a Monarch matrix (n_outputs, n_inputs).

    Column ``k * columns + i`` lies in group k (contiguous), row ``l * row_groups + j`` in group j (strided). The matrix of a pair of groups
    has rank `rank`. Groups may reach beyond the matrix: what is beyond counts as zero.

    Parameters
    ----------
    column_groups, columns : int
        Groups of columns, and columns of each.
    row_groups, rows : int
        Groups of rows, and rows of each.
    rank : int
    """

    column_groups: int
    columns: int
    row_groups: int
    rows: int
    rank: int

    @property
    def right_shape(self) -> tuple[int, int, int]:
        """Shape of R."""
        return self.column_groups, self.row_groups * self.rank, self.columns

    @property
    def left_shape(self) -> tuple[int, int, int]:
        """Shape of L."""
        return self.row_groups, self.rows, self.rank * self.column_groups

    @property
    def n_params(self) -> int:
        """Numbers in both factors."""
        return math.prod(self.right_shape) + math.prod(self.left_shape)


def _groups(n, larger):
    """A divisor of n near its square root, on the side that is wanted; where there is none within a factor of two, the root itself."""
    root = math.isqrt(n - 1) + 1 if larger else math.isqrt(n)
    tried = range(root, min(n, 2 * root) + 1) if larger else range(root, max(1, root // 2) - 1, -1)
    return next((b for b in tried if n % b == 0), root)


def layout_of(n_outputs: int, n_inputs: int, blocks: int | Sequence[int] | None = None, rank: int | None = 1) -> MonarchLayout:
    """The layout of a matrix.

    Parameters
    ----------
    n_outputs, n_inputs : int
    blocks : int or (int, int), optional
        Groups of rows and of columns, the numbers of blocks of L and of R; by default near the square roots.
    rank : int or None
        Of a pair of groups. None: so that the values between the two factors are as many as the smaller of input and output.

    Returns
    -------
    MonarchLayout

    Raises
    ------
    TypeError, ValueError
        For numbers of blocks or a rank that do not fit.
    """
    if blocks is None:
        row_groups, column_groups = _groups(n_outputs, True), _groups(n_inputs, False)
    else:
        pair = list(blocks) if isinstance(blocks, list | tuple) else [blocks, blocks]
        if len(pair) != 2:
            raise ValueError(f"blocks must be a number, or two: groups of rows and of columns; got {blocks!r}")
        row_groups = check_int("blocks", pair[0], low=1, high=n_outputs)
        column_groups = check_int("blocks", pair[1], low=1, high=n_inputs)
    columns, rows = -(-n_inputs // column_groups), -(-n_outputs // row_groups)
    column_groups = -(-n_inputs // columns)  # none is empty
    most = min(columns, rows)
    if rank is None:
        rank = min(most, max(1, -(-min(n_inputs, n_outputs) // (column_groups * row_groups))))
    rank = check_int("rank", rank, low=1, high=most)
    return MonarchLayout(column_groups, columns, row_groups, rows, rank)
