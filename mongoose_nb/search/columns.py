"""Columns of wide sparse rows: most are empty, and work and memory follow those that are not."""

from __future__ import annotations

import numpy as np

from mongoose_nb.core.arrays import read_only

#: rows with so many columns at most are spread over arrays of that width
NARROW, SPREAD = 1 << 12, 1 << 20


class ColumnTable:
    """Which place a column has among some.

    Parameters
    ----------
    columns : ndarray of shape (c,), int, or None
        Different columns; None where a column stands at its own number.

    Attributes
    ----------
    parts : tuple
        Arrays for `mongoose_nb.kernels.search.columns`.
    """

    def __init__(self, columns: np.ndarray | None) -> None:
        if columns is None:
            self.parts = _EVERY
            return
        from mongoose_nb.kernels.search.columns import fill_columns

        keys = np.full(2 << max(3, int(len(columns)).bit_length()), -1, np.int32)
        places = np.zeros(len(keys), np.int32)
        fill_columns(read_only(np.ascontiguousarray(columns, np.int32)), keys, places)
        self.parts = read_only(keys), read_only(places)

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return sum(part.nbytes for part in self.parts)


_EVERY = read_only(np.zeros(0, np.int32)), read_only(np.zeros(0, np.int32))
