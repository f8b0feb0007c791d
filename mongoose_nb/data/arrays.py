"""Data sets stored as npz arrays, and `load_dataset`, which chooses the reader."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from mongoose_nb.data._npz import read_npz_arrays
from mongoose_nb.data.indicator import check_Y
from mongoose_nb.data.validate import check_X
from mongoose_nb.data.xc import check_same_columns, read_xc, read_xc_four

if TYPE_CHECKING:
    import scipy.sparse as sp

    from mongoose_nb.core.types import PathLike

_KEYS = ("fptr", "feat", "val", "lptr", "lab", "shape")


def read_npz(path: PathLike) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Read a data set from an npz file with two CSR matrices.

    Parameters
    ----------
    path : str or path-like
        Holds ``fptr, feat, val`` (row pointers, ids and values of the features), ``lptr, lab`` (row pointers and ids of
        the labels) and ``shape`` (n_rows, n_features, n_labels).

    Returns
    -------
    X, Y : scipy.sparse.csr_matrix
        As `read_xc` returns them.

    Raises
    ------
    ValueError
        If the file is no npz file, a key is missing, or the arrays do not fit together.
    """
    import scipy.sparse as sp

    path = os.fspath(path)
    try:
        stored = read_npz_arrays(path)
        missing = [key for key in _KEYS if key not in stored]
        if missing:
            raise ValueError(f"it lacks {', '.join(missing)} and has {', '.join(stored)}")
        arrays = {key: stored[key] for key in _KEYS}
    except ValueError as error:
        raise ValueError(f"{path}: not an npz file with the arrays {', '.join(_KEYS)} ({error})") from error
    try:
        n, d, n_labels = (int(v) for v in arrays["shape"])
        ones = np.ones(len(arrays["lab"]), np.float32)
        X = sp.csr_matrix((arrays["val"], arrays["feat"], arrays["fptr"]), shape=(n, d))
        Y = sp.csr_matrix((ones, arrays["lab"], arrays["lptr"]), shape=(n, n_labels))
        return check_X(X), check_Y(Y)
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"{path}: {error}") from error


def load_dataset(path: PathLike, *, cache: bool = False) -> tuple[sp.csr_matrix, ...]:
    """Read a data set from a file, or training and test set from a directory.

    Parameters
    ----------
    path : str or path-like
        A file: ``.npz`` as `read_npz` reads it, anything else as `read_xc` does. A directory: ``train`` and ``test``,
        each with ``.npz``, ``.txt`` or ``.txt.gz`` (the first of these that is there), or the four files of
        `read_xc_four`.
    cache : bool, default False
        Keep an npz file beside each text, as `read_xc` does; the four files are parsed every time.

    Returns
    -------
    X, Y : scipy.sparse.csr_matrix
        For a file.
    X_train, Y_train, X_test, Y_test : scipy.sparse.csr_matrix
        For a directory.

    Raises
    ------
    FileNotFoundError
        If there is no such file, or the directory has none of these names.
    ValueError
        As the readers, and if training and test set differ in features or labels.
    """
    path = os.fspath(path)
    if not os.path.isdir(path):
        return read_npz(path) if path.endswith(".npz") else read_xc(path, cache=cache)
    parts: list[sp.csr_matrix] = []
    for part in ("train", "test"):
        options = [os.path.join(path, part + suffix) for suffix in (".npz", ".txt", ".txt.gz")]
        found = [option for option in options if os.path.exists(option)]
        if not found:
            if any(name.startswith("trn_X_") for name in os.listdir(path)):
                return read_xc_four(path)
            raise FileNotFoundError(f"{path}: no {part}.npz, {part}.txt or {part}.txt.gz, and no trn_X_Xf.txt either")
        parts += load_dataset(found[0], cache=cache)
    check_same_columns(path, *parts)
    return tuple(parts)
