"""Rows with labels: the others can be neither right nor wrong, and do not belong into a mean."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import scipy.sparse as sp


def labelled(X: sp.csr_matrix, Y: sp.csr_matrix, name: str = "Y") -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """The rows that have a label; a UserWarning says how many have none.

    Parameters
    ----------
    X : (n, features) CSR
    Y : (n, labels) canonical CSR
    name : str
        What messages call Y.

    Returns
    -------
    X, Y : CSR
        As given where all rows have labels.

    Raises
    ------
    ValueError
        If no row has a label.
    """
    rows = rows_with_labels(Y)
    if len(rows) == Y.shape[0]:
        return X, Y
    if not len(rows):
        raise ValueError(f"{name}: none of the {Y.shape[0]:,} rows has a label that is known, so there is nothing to score: give rows with "
                         "labels of the training data")
    warnings.warn(f"{name}: {Y.shape[0] - len(rows):,} of {Y.shape[0]:,} rows have no label that is known; they are left out of all scores",
                  UserWarning, stacklevel=3)
    return X[rows], Y[rows]


def check_labelled(Y: sp.csr_matrix, name: str = "Y") -> None:
    """ValueError where no row has a label, so that there is nothing to learn.

    Parameters
    ----------
    Y : (n, labels) canonical CSR
    name : str
        What the message calls Y.
    """
    if not Y.nnz:
        raise ValueError(f"{name}: none of the {Y.shape[0]:,} rows has a label, so there is nothing to learn: give rows with labels. "
                         "partial_fit goes on with rows that have none")


def rows_with_labels(Y: sp.csr_matrix) -> np.ndarray:
    """The rows that have a label, (m,) int64, ascending.

    Parameters
    ----------
    Y : (n, labels) canonical CSR
    """
    return np.flatnonzero(np.diff(Y.indptr))


def warn_of_single_labels(Y: sp.csr_matrix) -> None:
    """A UserWarning where every label occurs once only: then nothing that is learned of one row says anything of another.

    Parameters
    ----------
    Y : (n, labels) canonical CSR
    """
    count = np.bincount(Y.indices, minlength=Y.shape[1])
    if Y.nnz > 1 and count.max() == 1:
        warnings.warn(f"each of the {Y.nnz:,} labels occurs in one row only, so no two rows have one in common: is Y a column of names "
                      "or numbers of the rows?", UserWarning, stacklevel=3)
