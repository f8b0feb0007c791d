"""Integer codes as bits, so that equal codes are equal bits."""

from __future__ import annotations

import numpy as np

#: most columns of bits
WIDEST = 2**18


class CodeBits:
    """Rows of codes as rows of bits in which two bits differ for every code that differs.

    Parameters
    ----------
    X : ndarray of shape (n, dim)
        Rows whose codes get a bit each; another code of their column has one bit more.
    """

    def __init__(self, X: np.ndarray) -> None:
        self._values = [np.unique(column) for column in X.T]
        self._offsets = np.concatenate([[0], np.cumsum([len(values) + 1 for values in self._values])])
        self.width = int(self._offsets[-1])
        if self.width > WIDEST:
            raise ValueError(f"metric 'hamming' takes rows of codes; these have {self.width - len(self._values):,} different values in "
                             f"{len(self._values)} columns, more than {WIDEST:,}: round them, or compare numbers with metric 'euclidean'")

    def __call__(self, X: np.ndarray) -> np.ndarray:
        """Bits (n, width) of rows (n, dim)."""
        out = np.zeros((len(X), self.width), bool)
        rows = np.arange(len(X))
        for column, values, offset in zip(X.T, self._values, self._offsets):
            place = np.searchsorted(values, column)
            known = values[np.minimum(place, len(values) - 1)] == column
            out[rows, offset + np.where(known, place, len(values))] = True
        return out
