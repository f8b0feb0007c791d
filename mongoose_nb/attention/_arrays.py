"""Checks of the arrays of attention, and their view as rows with strides: heads need not be neighbours in memory."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from mongoose_nb.kernels.attention.tile import Factors


class Rows(NamedTuple):
    """An array (B, H, T, d), and the same memory as rows with strides, for kernels."""

    array: np.ndarray
    heads: object  # kernels.attention.tile.Heads

    @property
    def rows(self) -> np.ndarray:
        """The memory as rows (n, d)."""
        return self.heads.rows


def as_rows(array: np.ndarray) -> Rows:
    """`Rows` without a copy where the memory is that of (B, H, T, d) or (B, T, H, d)."""
    from mongoose_nb.kernels.attention.tile import Heads

    B, H, T, d = array.shape
    if array.flags.c_contiguous:
        return Rows(array, Heads(array.reshape(-1, d), H * T, T, 1))
    other = array.transpose(0, 2, 1, 3)
    if other.flags.c_contiguous:
        return Rows(array, Heads(other.reshape(-1, d), T * H, 1, H))
    return as_rows(np.ascontiguousarray(array))


def zeros_like(rows: Rows) -> Rows:
    """`Rows` of zeros in the same layout."""
    B, H, T, d = rows.array.shape
    if rows.array.flags.c_contiguous:
        return as_rows(np.zeros((B, H, T, d), rows.rows.dtype))
    return as_rows(np.zeros((B, T, H, d), rows.rows.dtype).transpose(0, 2, 1, 3))


def check_heads(name: str, array: np.ndarray, like: Rows | None = None) -> Rows:
    """`array` as `Rows` of float32 or float64, of the shape and dtype of `like` where that is given."""
    array = np.asarray(array)
    if array.ndim != 4 or array.dtype not in (np.float32, np.float64) or 0 in (array.shape[1], array.shape[3]):
        raise ValueError(f"{name} must be a float32 or float64 array (batch, heads, tokens, width) with a head at least, of width 1 or "
                         f"more; got {array.dtype} {array.shape}")
    if like is not None and (array.shape != like.array.shape or array.dtype != like.array.dtype):
        raise ValueError(f"{name} must have shape {like.array.shape} and dtype {like.array.dtype} as qk has; "
                         f"it has {array.shape} and {array.dtype}")
    if not array.flags.writeable:  # read-only arrays are another type to a kernel: a copy is cheaper than compiling it again
        array = array.copy()
    return as_rows(array)


def check_mask(mask: np.ndarray | None, batch: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """(valid (B, T) bool, how many (B,) int64)."""
    if mask is None:
        valid = np.ones((batch, length), bool)
    else:
        valid = np.array(mask)
        if valid.shape != (batch, length) or valid.dtype != bool:
            raise ValueError(f"mask must be a bool array (batch, tokens) = {(batch, length)}, True for tokens that count; "
                             f"got {valid.dtype} {valid.shape}")
    return valid, valid.sum(axis=1).astype(np.int64)


def log_partitions(top: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Log-partitions in float64 from largest scores and one over sums of exponentials, -inf where there is no key."""
    with np.errstate(divide="ignore"):
        return np.where(share != 0, top - np.log(share, dtype=np.float64), -np.inf)


def factors_of(rows: Rows, inverse: np.ndarray) -> Factors:
    """The `kernels.attention.tile.Factors`: `inverse` of the keys; scores are scaled by 1 / sqrt(width)."""
    from mongoose_nb.kernels.attention.tile import Factors

    return Factors(inverse, np.array([1 / math.sqrt(rows.array.shape[3])], rows.rows.dtype))  # an array: its dtype reaches the kernel
