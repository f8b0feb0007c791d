"""Validation of features and labels: what the package accepts, and the canonical form in which it uses them.

::

    dense, CSR, CSC, COO, lists  -> check_X -> canonical CSR, float32, finite
    indicator, id lists, classes -> check_Y -> canonical CSR, float32, all ones

Canonical: ids of a row strictly increasing, int32 (int64 only from 2^31 entries on). What is canonical already is
returned without a copy; anything else is changed in a copy.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import scipy.sparse as sp

from mongoose_nb.core.types import Matrix
from mongoose_nb.core.validation import unmasked

MAX_ID = np.iinfo(np.int32).max


def _row_of(indptr, at):
    return int(np.searchsorted(indptr, at, side="right")) - 1


def _check_structure(name, indptr, indices, n_columns):
    """Raise ValueError unless the arrays describe CSR rows: SciPy does not check all that is needed."""
    if indptr[0] != 0 or (indptr[1:] < indptr[:-1]).any() or indptr[-1] > len(indices):
        raise ValueError(f"{name}: indptr must start at 0, never decrease, and end within indices "
                         f"(it ends at {indptr[-1]}, there are {len(indices)} indices)")
    indices = indices[: indptr[-1]]
    if len(indices) and not (indices.min() >= 0 and indices.max() < n_columns):
        at = int(np.flatnonzero((indices < 0) | (indices >= n_columns))[0])
        raise ValueError(f"{name}: row {_row_of(indptr, at)} has column {indices[at]}; expected 0 to {n_columns - 1}")


def _is_increasing(indptr, indices):
    """Whether the ids of each row increase strictly. Looks at the arrays: the flags of a scipy matrix may be stale."""
    falls = np.flatnonzero(indices[1:] <= indices[:-1]) + 1
    if not len(falls):
        return True
    # a fall is fine where a row begins
    at = np.searchsorted(indptr, falls)
    return bool((indptr[at] == falls).all())


def _index_dtype(shape, nnz):
    return np.int64 if nnz > MAX_ID or max(shape) > MAX_ID else np.int32


def _csr_arrays(name, X):
    """(data, indices, indptr) of a sparse matrix of any format, without unused entries, with the narrowest index type."""
    if X.ndim != 2:
        raise ValueError(f"{name}: expected 2-D, got a sparse array of shape {X.shape}. Reshape your data.")
    if X.shape[1] > MAX_ID:
        raise ValueError(f"{name} has {X.shape[1]} columns; ids are int32, so at most {MAX_ID} fit")
    if X.format == "csr":
        indptr, indices, data = (np.asarray(part) for part in (X.indptr, X.indices, X.data))
        if len(indptr) != X.shape[0] + 1 or len(indices) != len(data):
            raise ValueError(f"{name}: {X.shape[0]} rows need {X.shape[0] + 1} row pointers and as many indices as "
                             f"values, got {len(indptr)} pointers, {len(indices)} indices and {len(data)} values")
        _check_structure(name, indptr, indices, X.shape[1])
    else:
        if X.format in ("csc", "bsr"):
            X.check_format(full_check=True)  # its conversion trusts the indices
        if X.dtype.kind in "biu":
            X = X.astype(np.float64)  # duplicates are summed on the way, and narrow integers would wrap
        X = X.tocsr()
        indptr, indices, data = X.indptr, X.indices, X.data
    nnz = int(indptr[-1])
    dtype = _index_dtype(X.shape, nnz)
    if nnz < len(data):
        data, indices = data[:nnz], indices[:nnz]
    return data, indices.astype(dtype, copy=False), indptr.astype(dtype, copy=False)


def _make_csr(data, indices, indptr, shape):
    matrix = sp.csr_matrix((data, indices, indptr), shape=shape)
    matrix.has_sorted_indices = True
    matrix.has_canonical_format = True
    return matrix


def _same_arrays(matrix, data, indices, indptr):
    def same(a, b):
        return a is b or a.dtype == b.dtype and a.shape == b.shape and a.strides == b.strides and a.ctypes.data == b.ctypes.data

    return (matrix.format == "csr" and same(matrix.data, data) and same(matrix.indices, indices)
            and same(matrix.indptr, indptr))


def _summed(data, indices, indptr, shape):
    """Sorted rows with duplicates summed, in a copy."""
    wide = data if data.dtype == np.float32 else data.astype(np.float64)
    matrix = sp.csr_matrix((wide, indices, indptr), shape=shape, copy=True)
    matrix.has_sorted_indices = False
    matrix.has_canonical_format = False
    matrix.sum_duplicates()
    return matrix.data, matrix.indices, matrix.indptr


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
        data, indices, indptr = _csr_arrays(name, X)
        _check_shape(name, X.shape, n_features, owner)
        if not _is_increasing(indptr, indices):
            _as_float32(name, data, lambda at: (_row_of(indptr, at), int(indices[at])))
            data, indices, indptr = _summed(data, indices, indptr, X.shape)
        data = _as_float32(name, data, lambda at: (_row_of(indptr, at), int(indices[at])))
        if _same_arrays(X, data, indices, indptr):
            return X
        return _make_csr(data, indices, indptr, X.shape)
    X = _numbers_in_rows(name, X, n_features, owner)
    rows, columns = np.nonzero(X)
    data = _as_float32(name, X[rows, columns], lambda at: (int(rows[at]), int(columns[at])))
    dtype = _index_dtype(X.shape, len(data))
    indptr = np.zeros(X.shape[0] + 1, dtype)
    np.cumsum(np.bincount(rows, minlength=X.shape[0]), out=indptr[1:])
    return _make_csr(data, columns.astype(dtype), indptr, X.shape)


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


def check_Y(Y: Any, n_outputs: int | None = None, n_rows: int | None = None, *, name: str = "Y") -> sp.csr_matrix:
    """Validate labels, and bring them into canonical form.

    Parameters
    ----------
    Y : one of
        - sparse matrix or array, or 2-D ndarray, of shape (n_rows, n_outputs): an indicator, values 0 and 1;
        - list (or tuple, or object array) of lists or arrays of label ids, one for each row; an empty one is a row
          without labels. A nested *list* always holds ids, never an indicator;
        - 1-D integer array or list: the class of each row.
    n_outputs : int, optional
        Number of labels; ids lie below it and an indicator has that many columns. By default the indicator's columns,
        or one more than the greatest id.
    n_rows : int, optional
        How many rows Y must have.
    name : str
        What errors call Y.

    Returns
    -------
    scipy.sparse.csr_matrix (or csr_array, as given) of shape (n_rows, n_outputs), float32
        Canonical CSR, all stored values 1; labels that stand twice in a row are merged. Y itself where it is that
        already.

    Raises
    ------
    ValueError
        If an indicator has another value than 0 and 1, an id is negative, not whole or out of range, Y is empty, or its
        shape is not the expected one.
    TypeError
        If Y does not hold numbers.
    """
    if not sp.issparse(Y) and hasattr(Y, "__array__"):
        Y = unmasked(Y, name)  # data frames and tensors
    if sp.issparse(Y):
        matrix = _check_sparse_indicator(name, Y)
    elif isinstance(Y, np.ndarray) and Y.ndim == 2:
        matrix = _check_dense_indicator(name, Y)
    else:
        matrix = _check_ids(name, Y, n_outputs)
    if n_outputs is not None and matrix.shape[1] != n_outputs:
        raise ValueError(f"{name} has {matrix.shape[1]} outputs, expected {n_outputs}")
    if n_rows is not None and matrix.shape[0] != n_rows:
        raise ValueError(f"{name} has {matrix.shape[0]} rows, expected {n_rows}")
    if matrix.shape[0] == 0:
        raise ValueError(f"{name} is empty: 0 rows")
    return matrix


def _check_sparse_indicator(name, Y):
    if Y.dtype.kind not in "biuf":
        raise TypeError(f"{name} has dtype {Y.dtype}, expected an indicator of 0 and 1")
    if Y.format == "coo":
        # its conversion sums duplicates, and 1 + 1 is no indicator: look at the values first
        bad = np.flatnonzero((Y.data != 0) & (Y.data != 1))
        if bad.size:
            row, column = (int(part[bad[0]]) for part in Y.coords)
            raise _not_indicator(name, row, column, Y.data[bad[0]])
        Y = sp.coo_matrix((np.asarray(Y.data) != 0, Y.coords), shape=Y.shape)  # bool: 1 + 1 is 1
        data, indices, indptr = _csr_arrays(name, Y.tocsr())
    else:
        data, indices, indptr = _csr_arrays(name, Y)
    ones = data == 1
    if not ones.all():
        bad = np.flatnonzero(~ones & (data != 0))
        if bad.size:
            raise _not_indicator(name, _row_of(indptr, bad[0]), int(indices[bad[0]]), data[bad[0]])
        kept = np.zeros(len(data) + 1, indptr.dtype)
        np.cumsum(ones, out=kept[1:])
        data, indices, indptr = data[ones], indices[ones], kept[indptr]
    if not _is_increasing(indptr, indices):
        data, indices, indptr = _summed(np.ones(len(indices), np.float32), indices, indptr, Y.shape)
        data[:] = 1
    data = data.astype(np.float32, copy=False)
    return Y if _same_arrays(Y, data, indices, indptr) else _make_csr(data, indices, indptr, Y.shape)


def _not_indicator(name, row, column, value):
    return ValueError(f"{name} has the value {value:g} at row {row}, label {column}; an indicator holds 0 and 1 "
                      "only (for label ids, pass a list of lists)")


def _check_dense_indicator(name, Y):
    if Y.dtype.kind not in "biuf":
        raise TypeError(f"{name} has dtype {Y.dtype}, expected an indicator of 0 and 1, or a list of lists of "
                        "label ids")
    rows, columns = np.nonzero(Y)
    values = Y[rows, columns]
    bad = np.flatnonzero(values != 1)
    if bad.size:
        raise _not_indicator(name, rows[bad[0]], columns[bad[0]], values[bad[0]])
    return _from_ids(np.bincount(rows, minlength=Y.shape[0]), columns, Y.shape[1])


def _from_ids(counts, ids, n_outputs):
    """Canonical CSR from the number of ids of each row and the ids, in range."""
    dtype = _index_dtype((len(counts), n_outputs), len(ids))
    indptr = np.zeros(len(counts) + 1, dtype)
    np.cumsum(counts, out=indptr[1:])
    shape = (len(counts), n_outputs)
    data, indices = np.ones(len(ids), np.float32), ids.astype(dtype, copy=False)
    if not _is_increasing(indptr, indices):
        data, indices, indptr = _summed(data, indices, indptr, shape)
        data[:] = 1
    return _make_csr(data, indices, indptr, shape)


def _check_ids(name, Y, n_outputs):
    if isinstance(Y, str | bytes) or not hasattr(Y, "__len__"):
        raise TypeError(f"{name} is a {type(Y).__name__}; expected a sparse or dense indicator, a list of lists of "
                        "label ids, or a 1-D integer array")
    if isinstance(Y, np.ndarray) and Y.ndim == 0:
        raise ValueError(f"{name} is a single value; expected one row of labels for each sample")
    if len(Y) == 0:
        raise ValueError(f"{name} is empty: 0 rows")
    if not (isinstance(Y, np.ndarray) and Y.dtype != object) and all(hasattr(row, "__len__") for row in Y):
        text = next((r for r, row in enumerate(Y) if isinstance(row, str | bytes)), None)
        if text is not None:
            raise TypeError(f"{name}: row {text} is {Y[text]!r}; expected a list of label ids")
        counts = np.fromiter(map(len, Y), np.int64, len(Y))
        flat = list(itertools.chain.from_iterable(Y))
    else:
        counts = np.ones(len(Y), np.int64)
        flat = Y
    try:
        ids = np.asarray(flat) if len(flat) else np.empty(0, np.int64)
    except ValueError as error:
        raise ValueError(f"{name}: expected rows that all are label ids, or all lists of label ids "
                         f"({error})") from error
    if ids.ndim != 1 or ids.dtype == object:
        raise ValueError(f"{name}: expected label ids, got an array of shape {ids.shape} and dtype {ids.dtype}")
    if ids.dtype.kind not in "iuf":
        raise TypeError(f"{name}: label ids must be whole numbers, got dtype {ids.dtype}")
    limit = MAX_ID if n_outputs is None else n_outputs
    bad = (ids < 0) | (ids >= limit)
    if ids.dtype.kind == "f":
        bad |= ids != np.floor(ids)  # NaN too
    if bad.any():
        at = int(np.flatnonzero(bad)[0])
        row = _row_of(np.concatenate([[0], np.cumsum(counts)]), at)
        raise ValueError(f"{name}: row {row} has the label {ids[at]}; expected whole numbers from 0 to {limit - 1}")
    ids = ids.astype(np.int64)
    if n_outputs is None:
        if not len(ids):
            raise ValueError(f"{name}: no row has a label, so the number of outputs is unknown; pass n_outputs")
        n_outputs = int(ids.max()) + 1
    return _from_ids(counts, ids, n_outputs)


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
