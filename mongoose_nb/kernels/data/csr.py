"""Checks of sparse rows in one pass."""

import numpy as np

from mongoose_nb.core.jit import serial


@serial
def is_canonical(indptr, indices, data, n_columns):
    """Whether these are CSR rows of finite values, column ids rising strictly within each row, and no room that is not used."""
    n = indices.shape[0]
    if indptr[0] != 0 or indptr[-1] != n or data.shape[0] != n:
        return False
    for i in range(indptr.shape[0] - 1):
        lo, hi = indptr[i], indptr[i + 1]
        if hi < lo or hi > n:
            return False
        before = -1
        for j in range(lo, hi):
            column = indices[j]
            if column <= before or column >= n_columns or not np.isfinite(data[j]):
                return False
            before = column
    return True
