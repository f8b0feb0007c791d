"""Data sets of the command line: the choice of the reader, equal columns of training and test set, fingerprints."""

from __future__ import annotations

import dataclasses
import gzip
import os
from collections.abc import Sequence
from typing import Any

from mongoose_nb.core.types import Matrix

FORMATS = ("auto", "xc", "svmlight", "npz")


@dataclasses.dataclass
class Dataset:
    """Features and labels of one file, and how it was read."""

    path: str
    format: str
    X: Any
    Y: Any
    zero_based: bool | None = None  # svmlight alone

    def describe(self) -> dict[str, Any]:
        """What a run records of the data set: path, format, sizes, and a fingerprint of the content."""
        out = {"path": os.path.abspath(self.path), "format": self.format, "rows": self.X.shape[0], "features": self.X.shape[1],
               "labels": self.Y.shape[1], "sha256": fingerprint(self.X, self.Y)}
        return out if self.zero_based is None else {**out, "zero_based": self.zero_based}


def fingerprint(X: Matrix, Y: Matrix) -> str:
    """SHA-256 over shape and content: equal for the same data in another file format."""
    import hashlib

    import numpy as np

    digest = hashlib.sha256(np.array([*X.shape, Y.shape[1]], np.int64).tobytes())
    for array in (X.indptr, X.indices, X.data, Y.indptr, Y.indices):
        digest.update(np.ascontiguousarray(array).view(np.uint8))
    return digest.hexdigest()


def guess_format(path: str) -> str:
    """The form of a file: npz by its name; text by its first line, which is ``rows features labels`` in the xc format."""
    if os.path.isdir(path):
        return "directory"
    if path.endswith(".npz"):
        return "npz"
    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path, "rb") if packed else open(path, "rb") as file:
            tokens = file.readline(1 << 16).split()
    except (EOFError, OSError):
        return "xc"  # a broken gzip stream: the reader says so
    return "svmlight" if any(b":" in token for token in tokens) else "xc"


def read(path: str, format: str = "auto", *, zero_based: bool | None = None, part: str = "train") -> Dataset:
    """The `Dataset` in a file, or the `part` ("train" or "test") of a directory.

    Raises
    ------
    ValueError, OSError
        As the readers of `mongoose_nb.data`, which name file and line.
    """
    from mongoose_nb import data
    from mongoose_nb.core.validation import check_choice

    check_choice("format", format, FORMATS)
    format = guess_format(path) if format == "auto" or os.path.isdir(path) else format
    if format == "directory":
        parts = data.load_dataset(path)
        X, Y = parts[:2] if part == "train" else parts[2:]
        return Dataset(path, format, X, Y)
    if format == "svmlight":
        return _read_svmlight(path, zero_based)
    X, Y = data.read_npz(path) if format == "npz" else data.read_xc(path)
    return Dataset(path, format, X, Y)


def _read_svmlight(path, zero_based):
    import scipy.sparse as sp

    from mongoose_nb.data import read_svmlight

    # read as counted from 0: then one file can say for all of them whether they do
    X, Y = read_svmlight(path, multilabel=True, zero_based=True)
    lowest = int(X.indices.min()) if X.nnz else 0
    if zero_based is None:
        zero_based = lowest == 0
    if not zero_based:
        if X.nnz and lowest == 0:
            raise ValueError(f"{path}: feature id 0 occurs, but features count from 1 here (as in the training data, or by "
                             "--no-zero-based); give --zero-based, or number the file alike")
        X = sp.csr_matrix((X.data, X.indices - 1, X.indptr), shape=(X.shape[0], max(0, X.shape[1] - 1)))
    return Dataset(path, "svmlight", X, Y, zero_based)


def widen(sets: Sequence[Dataset], n_features: int | None = None, n_labels: int | None = None) -> None:
    """Give svmlight sets, whose files do not say how many columns there are, the same columns; compare those of the others.

    Parameters
    ----------
    sets : list of Dataset
        The training set first.
    n_features, n_labels : int, optional
        By default the most that a set needs.
    """
    counted = all(s.format == "svmlight" for s in sets)
    if not counted and (n_features is not None or n_labels is not None):
        raise ValueError("--n-features and --n-labels are for svmlight files; the other formats say these numbers themselves")
    for what, name, given in (("features", "X", n_features), ("labels", "Y", n_labels)):
        columns = [getattr(s, name).shape[1] for s in sets]
        need = max(columns) if given is None and counted else columns[0] if given is None else given
        for s, has in zip(sets, columns):
            if has > need or (has != need and s.format != "svmlight"):
                other = f"{sets[0].path} has {need}" if given is None else f"--n-{what} is {need}"
                raise ValueError(f"{s.path} has {has} {what}, but {other}; they must be the same")
            if has < need:
                getattr(s, name).resize((s.X.shape[0], need))


def read_for(network: Any, path: str, format: str, zero_based: bool | None = None, *, part: str = "test",
             labels: bool = True) -> Dataset:
    """The data set in `path` with the columns that `network` expects; without `labels`, those of the file are not looked at."""
    dataset = read(path, format, zero_based=zero_based, part=part)
    pairs = [("features", "X", network.n_features)] + ([("labels", "Y", network.n_outputs)] if labels else [])
    for what, name, need in pairs:
        has = getattr(dataset, name).shape[1]
        if has > need or (has != need and dataset.format != "svmlight"):
            raise ValueError(f"{path} has {has} {what}, but the network was trained with {need}")
        if has < need:
            getattr(dataset, name).resize((dataset.X.shape[0], need))
    return dataset


def split(X: Matrix, Y: Matrix, share: float, seed: int) -> tuple[Any, ...]:
    """(rows kept, rows put aside): `share` of the rows is drawn by `seed` and put aside."""
    import numpy as np

    n = X.shape[0]
    aside = round(share * n)
    if not 0 < aside < n:
        raise ValueError(f"--validation {share:g} of {n} rows puts {aside} aside and leaves {n - aside}; both need a row")
    # not a purpose of core.streams: runs that earlier versions began are resumed with the same rows
    order = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 2]))).permutation(n)
    kept, held = np.sort(order[aside:]), np.sort(order[:aside])
    return (X[kept], Y[kept]), (X[held], Y[held])
