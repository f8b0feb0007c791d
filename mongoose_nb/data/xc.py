"""The text formats of the Extreme Classification Repository: one file with everything, or one file a matrix."""

from __future__ import annotations

import contextlib
import gzip
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from mongoose_nb.data import _cache
from mongoose_nb.data._files import read_bytes, replacing
from mongoose_nb.data._parse import parse, read_header, to_csr
from mongoose_nb.data.indicator import check_Y
from mongoose_nb.data.validate import check_same_rows, check_X

if TYPE_CHECKING:
    import scipy.sparse as sp

    from mongoose_nb.core.types import Matrix, PathLike

_FOUR = ("trn_X_Xf.txt", "trn_X_Y.txt", "tst_X_Xf.txt", "tst_X_Y.txt")
_BLOCK_BYTES = 1 << 26


def read_xc(path: PathLike, *, cache: bool = False, cache_dir: PathLike | None = None) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Read a data set in the text format of the Extreme Classification Repository.

    The first line is ``n_rows n_features n_labels``; every other line is ``l1,l2,... f:v f:v ...`` with ids from 0. A
    row without labels starts with a space. Values of a feature that stands twice in a row are summed, labels that stand
    twice are merged, ids are sorted. Plain and compressed files (gzip, bzip2, xz, zip archives of one file), a byte order
    mark, Windows line ends and a missing last newline are read.

    Parameters
    ----------
    path : str or path-like
        The file, plain or compressed.
    cache : bool, default False
        Keep the parsed arrays in an npz file beside the text, and read that next time if size and mtime of the text are
        still the same.
    cache_dir : str or path-like, optional
        Keep the npz file in this directory instead; turns the cache on.

    Returns
    -------
    X : scipy.sparse.csr_matrix of shape (n_rows, n_features), float32
        Features; canonical, with int32 indices (int64 from 2^31 entries on).
    Y : scipy.sparse.csr_matrix of shape (n_rows, n_labels), float32
        Label indicator, all stored values are 1.

    Raises
    ------
    ValueError
        If the file is empty, cut short or malformed, an id is out of range, a value is not finite, or the number of
        rows is not the header's. The message has the file and the line, counted from 1.
    OSError
        If the file cannot be read.
    """
    cache_file = _cache.cache_path(path, cache_dir) if cache or cache_dir is not None else None
    if cache_file is not None:
        stored = _cache.load(cache_file, os.stat(path))
        if stored is not None:
            return stored
    data, stat = read_bytes(path)
    X, Y = _parse_xc(os.fspath(path), data)
    if cache_file is not None:
        _cache.save(cache_file, stat, X, Y)
    return X, Y


def _parse_xc(path, data, chunk_bytes=None):
    from mongoose_nb.kernels.data import text

    (n_rows, n_features, n_labels), start = read_header(path, data, ("rows", "features", "labels"))
    rows = parse(path, data, start, text.LABELS, n_rows=n_rows, n_features=n_features, n_labels=n_labels,
                 chunk_bytes=chunk_bytes)
    X = to_csr(path, rows["row_feats"], rows["ids"], rows["values"], n_features, rows["feats_sorted"])
    Y = to_csr(path, rows["row_labels"], rows["labels"], None, n_labels, rows["labels_sorted"])
    return X, Y


def _read_matrix(path, chunk_bytes=None):
    data, _ = read_bytes(path)
    path = os.fspath(path)
    (n_rows, n_columns), start = read_header(path, data, ("rows", "columns"))
    rows = parse(path, data, start, 0, n_rows=n_rows, n_features=n_columns, chunk_bytes=chunk_bytes)
    return to_csr(path, rows["row_feats"], rows["ids"], rows["values"], n_columns, rows["feats_sorted"])


def read_xc_pair(features_path: PathLike, labels_path: PathLike) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Read a data set from two sparse matrix files, as the Extreme Classification Repository now ships them.

    Each file has ``n_rows n_columns`` in the first line and ``i:v i:v ...``, ids from 0, in every other.

    Parameters
    ----------
    features_path, labels_path : str or path-like
        For example ``trn_X_Xf.txt`` and ``trn_X_Y.txt``; plain or compressed. The values of the labels are 0 or 1.

    Returns
    -------
    X, Y : scipy.sparse.csr_matrix
        As `read_xc` returns them.

    Raises
    ------
    ValueError
        As `read_xc`, and if the files differ in rows or the values of the labels are not 0 or 1.
    """
    X = _read_matrix(features_path)
    Y = _read_matrix(labels_path)
    if X.shape[0] != Y.shape[0]:
        raise ValueError(f"{os.fspath(features_path)} has {X.shape[0]} rows, {os.fspath(labels_path)} has "
                         f"{Y.shape[0]}; they must describe the same rows")
    odd = np.flatnonzero((Y.data != 0) & (Y.data != 1))
    if odd.size:
        row = int(np.searchsorted(Y.indptr, odd[0], side="right")) - 1
        raise ValueError(f"{os.fspath(labels_path)}, line {row + 2}: label {Y.indices[odd[0]]} has the value "
                         f"{Y.data[odd[0]]:g}; expected 0 or 1")
    Y.eliminate_zeros()
    return X, Y


def read_xc_four(directory: PathLike) -> tuple[sp.csr_matrix, sp.csr_matrix, sp.csr_matrix, sp.csr_matrix]:
    """Read training and test set from the four sparse matrix files of one directory.

    Parameters
    ----------
    directory : str or path-like
        Holds ``trn_X_Xf.txt``, ``trn_X_Y.txt``, ``tst_X_Xf.txt`` and ``tst_X_Y.txt``, or these names with ``.gz``.

    Returns
    -------
    X_train, Y_train, X_test, Y_test : scipy.sparse.csr_matrix
        As `read_xc` returns them.

    Raises
    ------
    FileNotFoundError
        If one of the files is missing.
    ValueError
        As `read_xc_pair`, and if training and test set differ in features or labels.
    """
    paths = []
    for name in _FOUR:
        options = [os.path.join(os.fspath(directory), name + suffix) for suffix in ("", ".gz")]
        found = [option for option in options if os.path.exists(option)]
        if not found:
            raise FileNotFoundError(f"{options[0]}: no such file, nor with .gz; expected {', '.join(_FOUR)}")
        paths.append(found[0])
    X_train, Y_train = read_xc_pair(*paths[:2])
    X_test, Y_test = read_xc_pair(*paths[2:])
    check_same_columns(os.fspath(directory), X_train, Y_train, X_test, Y_test)
    return X_train, Y_train, X_test, Y_test


def check_same_columns(where: Any, X_train: Matrix, Y_train: Matrix, X_test: Matrix, Y_test: Matrix) -> None:
    """Raise ValueError, naming `where`, unless training and test set have the same features and labels."""
    for what, train, test in (("features", X_train, X_test), ("labels", Y_train, Y_test)):
        if train.shape[1] != test.shape[1]:
            raise ValueError(f"{where}: the training set has {train.shape[1]} {what}, the test set {test.shape[1]}; "
                             "they must be the same")


def write_xc(path: PathLike, X: Matrix, Y: Matrix) -> None:
    """Write a data set in the text format that `read_xc` reads.

    Values are the shortest decimals that give the same float32 back. The file is written under another name and then
    put in place.

    Parameters
    ----------
    path : str or path-like
        A name that ends in ``.gz`` is compressed, with a fixed time stamp, so that equal data give equal files.
    X : array-like or sparse matrix of shape (n_rows, n_features)
        Features.
    Y : sparse matrix, dense indicator, or list of lists of label ids
        Labels; see `check_Y`.

    Raises
    ------
    ValueError, TypeError
        If X or Y is not valid, or they differ in rows.
    """
    from mongoose_nb.kernels.data import text

    X = check_X(X)
    Y = check_Y(Y)
    check_same_rows(X, Y)
    n = X.shape[0]
    # The most that a row can take: 11 bytes a label, 30 a feature, its separators.
    size = np.cumsum(3 + 11 * np.diff(Y.indptr).astype(np.int64) + 30 * np.diff(X.indptr).astype(np.int64))
    with contextlib.ExitStack() as stack:
        file: Any = stack.enter_context(replacing(path))
        if os.fspath(path).endswith(".gz"):
            file = stack.enter_context(gzip.GzipFile("", "wb", 6, file, mtime=0))
        file.write(f"{n} {X.shape[1]} {Y.shape[1]}\n".encode())
        lo, written = 0, 0
        while lo < n:
            hi = max(lo + 1, int(np.searchsorted(size, written + _BLOCK_BYTES, side="right")))
            out = np.empty(int(size[hi - 1]) - written, np.uint8)
            used = text.format_rows(lo, hi, True, Y.indptr, Y.indices, X.indptr, X.indices, X.data, out)
            file.write(out[:used])
            lo, written = hi, int(size[hi - 1])
