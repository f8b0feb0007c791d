"""Writing table codes: an array (L, n) of 1, 2 or 4 bytes a code, passed as bytes so that one compiled kernel serves all three."""

from typing import NamedTuple

import numpy as np

from mongoose_nb.core.jit import inline

TASKS = 128  # pieces of a call where each needs its own scratch; rows do not depend on each other


class Rows(NamedTuple):
    """Dense rows X, or CSR rows where `indptr` is not empty."""

    X: np.ndarray  # (n, d) float32
    indptr: np.ndarray  # (n + 1,) int64
    indices: np.ndarray  # int32
    values: np.ndarray  # float32


@inline
def _copy_rows(codes, n, t, lo, out):
    for r in range(n):
        out[t, lo + r] = codes[r]


@inline
def store_rows(codes, n, t, lo, width, out):
    """Codes of table t for rows lo to lo + n."""
    if width == 1:
        _copy_rows(codes, n, t, lo, out)
    elif width == 2:
        _copy_rows(codes, n, t, lo, out.view(np.uint16))
    else:
        _copy_rows(codes, n, t, lo, out.view(np.uint32))


@inline
def _copy_tables(codes, row, out):
    for t in range(out.shape[0]):
        out[t, row] = codes[t]


@inline
def store_tables(codes, row, width, out):
    """Codes of one row for all tables."""
    if width == 1:
        _copy_tables(codes, row, out)
    elif width == 2:
        _copy_tables(codes, row, out.view(np.uint16))
    else:
        _copy_tables(codes, row, out.view(np.uint32))
