"""Arrays of CSR rows: what is checked of them, and their canonical form.

Canonical: ids of a row strictly increasing, int32 (int64 only from 2^31 entries on).
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from mongoose_nb.core.types import Matrix

MAX_ID = np.iinfo(np.int32).max


def row_of(indptr: np.ndarray, at: int) -> int:
    """The row in which entry `at` stands."""
    return int(np.searchsorted(indptr, at, side="right")) - 1


def check_structure(name: str, indptr: np.ndarray, indices: np.ndarray, n_columns: int) -> None:
    """Raise ValueError unless the arrays describe CSR rows: SciPy does not check all that is needed."""
    if indptr[0] != 0 or (indptr[1:] < indptr[:-1]).any() or indptr[-1] > len(indices):
        raise ValueError(f"{name}: indptr must start at 0, never decrease, and end within indices "
                         f"(it ends at {indptr[-1]}, there are {len(indices)} indices)")
    indices = indices[: indptr[-1]]
    if len(indices) and not (indices.min() >= 0 and indices.max() < n_columns):
        at = int(np.flatnonzero((indices < 0) | (indices >= n_columns))[0])
        raise ValueError(f"{name}: row {row_of(indptr, at)} has column {indices[at]}; expected 0 to {n_columns - 1}")


def is_increasing(indptr: np.ndarray, indices: np.ndarray) -> bool:
    """Whether the ids of each row increase strictly. Looks at the arrays: the flags of a scipy matrix may be stale."""
    falls = np.flatnonzero(indices[1:] <= indices[:-1]) + 1
    if not len(falls):
        return True
    # a fall is fine where a row begins
    at = np.searchsorted(indptr, falls)
    return bool((indptr[at] == falls).all())


def index_dtype(shape: tuple[int, int], nnz: int) -> type:
    """The narrowest dtype for ids and row pointers."""
    return np.int64 if nnz > MAX_ID or max(shape) > MAX_ID else np.int32


def csr_arrays(name: str, X: Matrix) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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
        check_structure(name, indptr, indices, X.shape[1])
    else:
        if X.format in ("csc", "bsr"):
            X.check_format(full_check=True)  # its conversion trusts the indices
        if X.dtype.kind in "biu":
            X = X.astype(np.float64)  # duplicates are summed on the way, and narrow integers would wrap
        X = X.tocsr()
        indptr, indices, data = X.indptr, X.indices, X.data
    nnz = int(indptr[-1])
    dtype = index_dtype(X.shape, nnz)
    if nnz < len(data):
        data, indices = data[:nnz], indices[:nnz]
    return data, indices.astype(dtype, copy=False), indptr.astype(dtype, copy=False)


def make_csr(data: np.ndarray, indices: np.ndarray, indptr: np.ndarray, shape: tuple[int, int]) -> sp.csr_matrix:
    """A matrix of canonical arrays, and marked so."""
    matrix = sp.csr_matrix((data, indices, indptr), shape=shape)
    matrix.has_sorted_indices = True
    matrix.has_canonical_format = True
    return matrix


def same_arrays(matrix: Matrix, data: np.ndarray, indices: np.ndarray, indptr: np.ndarray) -> bool:
    """Whether a sparse matrix is CSR over these very arrays."""
    def same(a, b):
        return a is b or a.dtype == b.dtype and a.shape == b.shape and a.strides == b.strides and a.ctypes.data == b.ctypes.data

    return (matrix.format == "csr" and same(matrix.data, data) and same(matrix.indices, indices)
            and same(matrix.indptr, indptr))


def summed(data: np.ndarray, indices: np.ndarray, indptr: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sorted rows with duplicates summed, in a copy."""
    wide = data if data.dtype == np.float32 else data.astype(np.float64)
    matrix = sp.csr_matrix((wide, indices, indptr), shape=shape, copy=True)
    matrix.has_sorted_indices = False
    matrix.has_canonical_format = False
    matrix.sum_duplicates()
    return matrix.data, matrix.indices, matrix.indptr
