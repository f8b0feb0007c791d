"""Rows that hash families and transforms are given: dense or CSR, checked, and read-only."""

from typing import Any

import numpy as np

from mongoose_nb.core.arrays import read_only
from mongoose_nb.hashing.arguments import as_float32

# So many values are looked at one by one; of more, the sum comes first.
_FEW = 4096


def is_sparse(X: Any) -> bool:
    """Whether `X` is a SciPy sparse matrix or array."""
    return hasattr(X, "tocsr") and hasattr(X, "format")


def check_csr(X: Any, dim: int | None) -> None:
    """Refuse sparse rows that are not CSR, not `dim` wide, or whose parts do not fit each other; kernels index without checks."""
    if X.format != "csr":
        raise TypeError(f"X is sparse in format {X.format!r}; rows are read from CSR: pass X.tocsr()")
    if len(X.shape) != 2 or dim not in (None, X.shape[1]):
        raise ValueError(f"X has shape {X.shape}; needed are rows of dim={dim}")
    inside = not X.indices.size or (X.indices.min() >= 0 and X.indices.max() < X.shape[1])
    if not inside or X.indptr[0] != 0 or (np.diff(X.indptr) < 0).any():
        raise ValueError(f"X is a broken CSR matrix: indices must lie in [0, {X.shape[1]}) and indptr start at 0 and not decrease")


def dense_rows(X: Any, dim: int | None) -> np.ndarray:
    """`X` as read-only C-contiguous float32 rows (n, dim); None for rows of any width."""
    X = as_float32(X, "X")
    if X.ndim == 1:
        X = X[None, :]
    if X.ndim != 2 or dim not in (None, X.shape[1]):
        raise ValueError(f"X has shape {X.shape}; needed are rows (n, dim) or one row (dim,)" + f", dim={dim}" * (dim is not None))
    check_finite(X, "X")
    return read_only(np.require(X, np.float32, ["C", "A"]))


def csr_rows(X: Any, dim: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read-only parts of canonical CSR rows: indptr int64, indices int32, values float32."""
    check_csr(X, dim)
    if not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    values = as_float32(X.data, "X")[: X.indptr[-1]]
    check_finite(values, "X")
    parts = (X.indptr, np.int64), (X.indices, np.int32), (values, np.float32)
    indptr, indices, values = (read_only(np.require(part, dtype, ["C", "A"])) for part, dtype in parts)
    return indptr, indices, values


def check_finite(values: np.ndarray, name: str) -> None:
    """Refuse NaN and infinity."""
    # A sum is cheaper than a look at each entry, unless they are few; it may overflow by itself, so only then look.
    if values.size <= _FEW and np.isfinite(values).all():
        return
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(values.sum()) or np.isfinite(values).all():
            return
    raise ValueError(f"{name} holds NaN or infinity (in float32); replace them first, for instance with numpy.nan_to_num")
