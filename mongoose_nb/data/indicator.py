"""Validation of labels: indicators, lists of ids and classes become canonical CSR rows of ones."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import scipy.sparse as sp

from mongoose_nb.core.validation import unmasked
from mongoose_nb.data.csr import MAX_ID, csr_arrays, index_dtype, is_increasing, make_csr, row_of, same_arrays, summed


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
        data, indices, indptr = csr_arrays(name, Y.tocsr())
    else:
        data, indices, indptr = csr_arrays(name, Y)
    ones = data == 1
    if not ones.all():
        bad = np.flatnonzero(~ones & (data != 0))
        if bad.size:
            raise _not_indicator(name, row_of(indptr, bad[0]), int(indices[bad[0]]), data[bad[0]])
        kept = np.zeros(len(data) + 1, indptr.dtype)
        np.cumsum(ones, out=kept[1:])
        data, indices, indptr = data[ones], indices[ones], kept[indptr]
    if not is_increasing(indptr, indices):
        data, indices, indptr = summed(np.ones(len(indices), np.float32), indices, indptr, Y.shape)
        data[:] = 1
    data = data.astype(np.float32, copy=False)
    return Y if same_arrays(Y, data, indices, indptr) else make_csr(data, indices, indptr, Y.shape)


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
    dtype = index_dtype((len(counts), n_outputs), len(ids))
    indptr = np.zeros(len(counts) + 1, dtype)
    np.cumsum(counts, out=indptr[1:])
    shape = (len(counts), n_outputs)
    data, indices = np.ones(len(ids), np.float32), ids.astype(dtype, copy=False)
    if not is_increasing(indptr, indices):
        data, indices, indptr = summed(data, indices, indptr, shape)
        data[:] = 1
    return make_csr(data, indices, indptr, shape)


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
        row = row_of(np.concatenate([[0], np.cumsum(counts)]), at)
        raise ValueError(f"{name}: row {row} has the label {ids[at]}; expected whole numbers from 0 to {limit - 1}")
    ids = ids.astype(np.int64)
    if n_outputs is None:
        if not len(ids):
            raise ValueError(f"{name}: no row has a label, so the number of outputs is unknown: give rows with labels, or n_outputs")
        n_outputs = int(ids.max()) + 1
    return _from_ids(counts, ids, n_outputs)
