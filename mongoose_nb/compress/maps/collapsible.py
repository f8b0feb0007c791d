"""FAIR: the cells of a small array are unions of cells of a large one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mongoose_nb.compress.base import IndexMap
from mongoose_nb.core.registry import register
from mongoose_nb.core.validation import check_int


@register("index map", "collapsible")
class Collapsible(IndexMap):
    """Entry i lies in cell ``u[i] mod m`` with u drawn from one large range, whatever the number m of cells.

    Arrays of m and k m cells with one seed are nested: what the smaller one can hold, the larger one holds exactly. With the signs, which
    do not depend on m either, this is what lets devices of different memory train one table together.

    Parameters
    ----------
    shape, cells, seed, offset, signed
        See `IndexMap`.
    span : int
        The range of u; a multiple of all numbers of cells that are to be used with it, such as a power of two.

    References
    ----------
    Desai, Chou and Shrivastava, "FAIR: Federated averaging in random subspaces", arXiv 2311.01722.
    """

    def __init__(self, shape: int | Sequence[int], cells: int, seed: int = 0, *, offset: int = 0, signed: bool = True,
                 span: int = 2**29) -> None:
        super().__init__(shape, cells, seed, offset=offset, signed=signed)
        self.span = check_int("span", span, low=self.cells, high=2**32 - 1)

    def bases(self, rows: np.ndarray) -> np.ndarray:
        """See `IndexMap.bases`."""
        return self.hashed(rows, self.width, self.span, modulus=self.cells)
