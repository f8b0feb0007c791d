"""Alias tables: draws from any distribution over n rows in constant time (Walker 1977; Vose 1991)."""

import numpy as np

from mongoose_nb.core.jit import serial

ONE = 2.0**32


@serial
def build_alias(p, cells):
    """Fill an alias table: cell i keeps row i with probability ``cells[i, 0] / 2^32``, and gives the rest to row ``cells[i, 1]``.

    Parameters
    ----------
    p : array (n,) float64
        Probabilities, with the sum 1.
    cells : array (n, 2) uint32
        Filled. Cells that have one row alone name it twice.
    """
    n = p.shape[0]
    share = p * n
    rows = np.empty(n, np.int32)  # a stack of rows with less than a cell from the left, of the others from the right
    few, many = 0, n
    for i in range(n):
        cells[i, 0] = np.uint32(0xFFFFFFFF)
        cells[i, 1] = i
        if share[i] < 1.0:
            rows[few] = i
            few += 1
        else:
            many -= 1
            rows[many] = i
    while few > 0 and many < n:
        few -= 1
        i, j = rows[few], rows[many]
        cells[i, 0] = np.uint32(share[i] * ONE)
        cells[i, 1] = j
        share[j] -= 1.0 - share[i]
        if share[j] < 1.0:
            many += 1
            rows[few] = j
            few += 1
