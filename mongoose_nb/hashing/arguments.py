"""What families accept as numbers and rows."""

import operator
from typing import Any

import numpy as np

from mongoose_nb.core.arrays import read_only
from mongoose_nb.core.validation import unmasked


def as_count(value: Any, name: str) -> int:
    """`value` as a positive int, or an error that names it."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is {value!r}; it must be an integer") from None
    if number < 1:
        raise ValueError(f"{name} is {number}; it must be at least 1")
    return number


def as_seed(seed: int) -> int:
    """`seed` as an int in [0, 2^64), or an error that names it."""
    try:
        number = operator.index(seed)
    except TypeError:
        raise TypeError(f"seed is {seed!r}; it must be an integer, so that the functions can be drawn again") from None
    if not 0 <= number < 1 << 64:
        raise ValueError(f"seed is {number}; it must lie in [0, 2^64)")
    return number


def as_float32(values: Any, name: str) -> np.ndarray:
    """`values` as a float32 array, without a copy where they are one; what overflows becomes infinite."""
    values = unmasked(values, name)
    if values.dtype == np.float32:
        return values
    if values.dtype.kind not in "fiub":
        raise TypeError(f"{name} has dtype {values.dtype}; it must be real numbers")
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


#: rows for a kernel that takes dense or CSR rows, where there are none of one kind: X, and (indptr, indices, values)
NO_ROWS = read_only(np.empty((0, 0), np.float32))
NO_CSR = read_only(np.empty(0, np.int64)), read_only(np.empty(0, np.int32)), read_only(np.empty(0, np.float32))


class ByOneKernel:
    """Hooks of a `HashFamily` with one method for dense and CSR rows and for any number of probes.

    ``_run(X, indptr, indices, values, out)`` writes codes (L, n, probes).
    """

    def _hash_dense(self, X, out):
        self._probe_dense(X, out[:, :, None])

    def _hash_csr(self, indptr, indices, values, out):
        self._probe_csr(indptr, indices, values, out[:, :, None])

    def _probe_dense(self, X, out):
        self._run(X, *NO_CSR, out)

    def _probe_csr(self, indptr, indices, values, out):
        self._run(NO_ROWS, indptr, indices, values, out)
