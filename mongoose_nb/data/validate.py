"""Validation of rows and their weights: what the package accepts, and the canonical form in which it uses them.

::

    dense, CSR, CSC, COO, lists  -> check_X            -> canonical CSR (`csr`), float32, finite
    indicator, id lists, classes -> indicator.check_Y  -> canonical CSR, float32, all ones

What is canonical already is returned without a copy; anything else is changed in a copy.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from mongoose_nb.core.types import Matrix
from mongoose_nb.core.validation import unmasked
from mongoose_nb.data.csr import MAX_ID, csr_arrays, index_dtype, is_increasing, make_csr, row_of, same_arrays, summed


def _is_canonical(X):
    """Whether a sparse matrix is what `check_X` returns. One pass: a query's row takes a third of the time of the checks that tell
    what is wrong."""
    parts = (X.indptr, X.indices, X.data) if X.format == "csr" and X.ndim == 2 else ()
    wanted = (np.int32, np.int32, np.float32)
    if not parts or len(parts[0]) != X.shape[0] + 1:
        return False
    if any(part.dtype != dtype or not (part.flags.c_contiguous and part.flags.aligned) for part, dtype in zip(parts, wanted)):
        return False
    from mongoose_nb.core.arrays import read_only
    from mongoose_nb.kernels.data.csr import is_canonical

    return is_canonical(*(read_only(part) for part in parts), X.shape[1])


def _as_float32(name, data, where):
    """float32 values, all finite; `where` maps the offset of a bad one to (row, column)."""
    given = data
    if data.dtype != np.float32:
        with np.errstate(over="ignore"):
            data = data.astype(np.float32)
    finite = np.isfinite(data)
    if not finite.all():
        at = int(np.flatnonzero(~finite)[0])
        row, column = where(at)
        value = given[at]
        what = "NaN" if np.isnan(value) else "infinity" if np.isinf(value) else f"{value:g}, too large for float32,"
        raise ValueError(f"{name} contains {what} at row {row}, column {column}; all values must be finite")
    return data


def _numeric(name, array):
    if array.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: {name} has dtype {array.dtype}")
    if array.dtype.kind in "biuf":
        return array
    if array.dtype.kind != "O":
        texts = "; texts are given as a list or column of strings, of one dimension" if array.dtype.kind in "UST" else ""
        raise TypeError(f"{name} has dtype {array.dtype}, expected numbers{texts}")
    try:
        return array.astype(np.float64)
    except TypeError as error:
        raise TypeError(f"{name} has dtype object, expected numbers ({error})") from error
    except ValueError as error:
        texts = "; texts are given as a list or column of strings, of one dimension" if array.ndim == 2 and array.shape[1] == 1 else ""
        raise ValueError(f"{name} has dtype object, expected numbers ({error}){texts}") from error


def check_X(X: Any, n_features: int | None = None, *, name: str = "X", owner: str = "model") -> Matrix:
    """Validate features, and bring them into canonical form.

    Parameters
    ----------
    X : array-like or sparse matrix or array of shape (n_rows, n_features)
        Dense, or sparse of any format. Never changed; read-only and memory-mapped arrays will do.
    n_features : int, optional
        How many columns X must have.
    name, owner : str
        What errors call X, and who expects `n_features`.

    Returns
    -------
    scipy.sparse.csr_matrix (or csr_array, as given) of shape (n_rows, n_features), float32
        Canonical CSR: finite, ids strictly increasing in a row, values of duplicate entries summed. X itself where it
        is that already. Zeros of a dense array are dropped; zeros that a sparse matrix stores stay.

    Raises
    ------
    ValueError
        If X is not 2-D, has no rows or no columns, has another number of columns than `n_features`, or holds NaN, an
        infinite or complex value, or broken CSR arrays.
    TypeError
        If X does not hold numbers.
    """
    if sp.issparse(X):
        if X.dtype.kind not in "biuf":
            _numeric(name, np.empty(0, X.dtype))
            raise TypeError(f"{name} has dtype {X.dtype}, expected numbers")
        if _is_canonical(X):
            _check_shape(name, X.shape, n_features, owner)
            return X
        data, indices, indptr = csr_arrays(name, X)
        _check_shape(name, X.shape, n_features, owner)
        if not is_increasing(indptr, indices):
            _as_float32(name, data, lambda at: (row_of(indptr, at), int(indices[at])))
            data, indices, indptr = summed(data, indices, indptr, X.shape)
        data = _as_float32(name, data, lambda at: (row_of(indptr, at), int(indices[at])))
        if same_arrays(X, data, indices, indptr):
            return X
        return make_csr(data, indices, indptr, X.shape)
    X = _numbers_in_rows(name, X, n_features, owner)
    rows, columns = np.nonzero(X)
    data = _as_float32(name, X[rows, columns], lambda at: (int(rows[at]), int(columns[at])))
    dtype = index_dtype(X.shape, len(data))
    indptr = np.zeros(X.shape[0] + 1, dtype)
    np.cumsum(np.bincount(rows, minlength=X.shape[0]), out=indptr[1:])
    return make_csr(data, columns.astype(dtype), indptr, X.shape)


def check_dense(X: Any, n_features: int | None = None, *, name: str = "X", owner: str = "model") -> np.ndarray:
    """Validate features that stay dense.

    Parameters
    ----------
    X : array-like of shape (n_rows, n_features)
        Never changed.
    n_features : int, optional
        How many columns X must have.
    name, owner : str
        What errors call X, and who expects `n_features`.

    Returns
    -------
    ndarray of shape (n_rows, n_features), float64
        Finite.

    Raises
    ------
    ValueError, TypeError
        As `check_X`; sparse rows are refused.
    """
    if sp.issparse(X):
        raise TypeError(f"{name} is sparse, and dense rows are needed: give {name}.toarray() if it fits into memory")
    X = _numbers_in_rows(name, X, n_features, owner).astype(np.float64)
    bad = np.argwhere(~np.isfinite(X))
    if len(bad):
        row, column = bad[0].tolist()
        what = "NaN" if np.isnan(X[row, column]) else "infinity"
        raise ValueError(f"{name} contains {what} at row {row}, column {column}; all values must be finite")
    return X


def _numbers_in_rows(name, X, n_features, owner):
    """An array of numbers (n, d), neither of them 0."""
    try:
        X = unmasked(X, name)
    except ValueError as error:
        if isinstance(X, np.ndarray):
            raise
        raise ValueError(f"{name} is ragged: expected rows of one length, 2-D ({error})") from error
    if X.ndim != 2:
        raise ValueError(f"{name}: Expected 2D array, got {X.ndim}D array instead (shape {X.shape}). Reshape your "
                         f"data: {name}.reshape(1, -1) makes one row of it.")
    X = _numeric(name, X)
    if X.shape[1] > MAX_ID:
        raise ValueError(f"{name} has {X.shape[1]} columns; ids are int32, so at most {MAX_ID} fit")
    _check_shape(name, X.shape, n_features, owner)
    return X


def _check_shape(name, shape, n_features, owner):
    if shape[0] == 0:
        raise ValueError(f"{name}: found array with 0 sample(s) (shape={shape}) while a minimum of 1 is required.")
    if n_features is not None and shape[1] != n_features:
        raise ValueError(f"{name} has {shape[1]} features, but {owner} is expecting {n_features} features as input")
    if shape[1] == 0:
        raise ValueError(f"{name}: found array with 0 feature(s) (shape={shape}) while a minimum of 1 is required.")


def check_same_rows(X: Matrix, Y: Matrix) -> None:
    """Check that X and Y have the same number of rows.

    Parameters
    ----------
    X, Y : arrays or sparse matrices
        Features and labels.

    Raises
    ------
    ValueError
        If they have not.
    """
    if X.shape[0] != Y.shape[0]:
        raise ValueError(f"X has {X.shape[0]} rows, Y has {Y.shape[0]}; they must describe the same samples")


def check_weights(weights: Any, n_rows: int, *, name: str = "sample_weight") -> np.ndarray:
    """Validate weights of rows.

    Parameters
    ----------
    weights : array-like of shape (n_rows,), or a number
        A number is the weight of each row.
    n_rows : int
        How many there must be.
    name : str
        What errors call them.

    Returns
    -------
    ndarray of shape (n_rows,), float64
        Finite, none below 0, not all 0.

    Raises
    ------
    ValueError, TypeError
        If they are not as described.
    """
    weights = _numeric(name, np.asarray(weights))
    if weights.ndim == 0:
        weights = np.full(n_rows, weights)
    if weights.ndim != 1:
        raise ValueError(f"{name} has shape {weights.shape}; Sample weights must be 1D array or scalar: one weight for each row")
    if len(weights) != n_rows:
        raise ValueError(f"{name} has {len(weights)} weights for {n_rows} rows; {name}.shape == {weights.shape}, expected ({n_rows},)!")
    weights = weights.astype(np.float64)
    bad = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if len(bad):
        raise ValueError(f"{name} has the weight {weights[bad[0]]:g} at row {bad[0]}; weights must be finite and not below 0")
    if not weights.any():
        raise ValueError(f"every weight in {name} is zero; at least one row has to count")
    return weights
