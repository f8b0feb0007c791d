"""Data sets of the command line: the choice of the reader, equal columns of training and test set, fingerprints."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

from mongoose_nb.commands.console import note
from mongoose_nb.core.types import Matrix

FORMATS = ("auto", "xc", "svmlight", "npz", "csv", "jsonl")


@dataclasses.dataclass
class Dataset:
    """Features and labels of one file, and how it was read."""

    path: str
    format: str
    X: Any
    Y: Any
    zero_based: bool | None = None  # svmlight alone
    names: Any = None  # of the labels, where they have names
    text: Any = None  # fitted text features, where rows are texts
    columns: Any = None  # `data.Columns` of a table of texts

    def describe(self) -> dict[str, Any]:
        """What a run records of the data set: path, format, sizes, and a fingerprint of the content."""
        out = {"path": os.path.abspath(self.path), "format": self.format, "rows": self.X.shape[0], "features": self.X.shape[1],
               "labels": self.Y.shape[1], "sha256": fingerprint(self.X, self.Y)}
        if self.columns is not None:
            out["columns"] = self.columns._asdict()
        return out if self.zero_based is None else {**out, "zero_based": self.zero_based}


class Known(NamedTuple):
    """What the training data, or a network, say of others: the names of the labels, and the text features."""

    names: Any = None
    text: Any = None


def fingerprint(X: Matrix, Y: Matrix) -> str:
    """SHA-256 over shape and content: equal for the same data in another file format."""
    import hashlib

    import numpy as np

    digest = hashlib.sha256(np.array([*X.shape, Y.shape[1]], np.int64).tobytes())
    for array in (X.indptr, X.indices, X.data, Y.indptr, Y.indices):
        digest.update(np.ascontiguousarray(array).view(np.uint8))
    return digest.hexdigest()


def guess_format(path: str) -> str:
    """The form of a file: npz and tables of texts by its name; others by the first line, which is ``rows features labels`` in the xc
    format."""
    from mongoose_nb.data._files import open_data
    from mongoose_nb.data.text import table_format

    if os.path.isdir(path):
        return "directory"
    if path.endswith(".npz"):
        return "npz"
    if table_format(path) is not None:
        return str(table_format(path))
    try:
        with open_data(path) as file:
            tokens = file.readline(1 << 16).split()
    except ValueError:
        return "xc"  # a file that cannot be unpacked: the reader says so
    return "svmlight" if any(b":" in token for token in tokens) else "xc"


def read(path: str, format: str = "auto", *, zero_based: bool | None = None, part: str = "train", columns: Any = None,
         known: Known | None = None, labels: bool = True) -> Dataset:
    """The `Dataset` in a file, or the `part` ("train" or "test") of a directory.

    `columns` (`data.Columns`) are those of a table of texts. Text features and names are learned from the file, unless they are `known`.

    Raises
    ------
    ValueError, OSError
        As the readers of `mongoose_nb.data`, which name file and line.
    """
    from mongoose_nb import data
    from mongoose_nb.core.validation import check_choice

    check_choice("format", format, FORMATS)
    known = known or Known()
    format = guess_format(path) if format == "auto" or os.path.isdir(path) else format
    if format == "directory":
        table = table_in(path, part)
        if table is not None:
            return dataclasses.replace(_read_table(table, None, columns, known, labels), path=path, format=format)
        parts = data.load_dataset(path)
        X, Y = parts[:2] if part == "train" else parts[2:]
        return Dataset(path, format, X, Y)
    if format in ("csv", "jsonl"):
        return _read_table(path, format, columns, known, labels)
    if format == "svmlight":
        return _read_svmlight(path, zero_based, known.names)
    X, Y = data.read_npz(path) if format == "npz" else data.read_xc(path)
    return Dataset(path, format, X, Y)


def data_files(path: str | None) -> list[str]:
    """The files that `read` may open for a path: itself, or those of a directory."""
    if path is None or not os.path.isdir(path):
        return [] if path is None else [path]
    return [os.path.join(path, name) for name in os.listdir(path) if any(part in name.lower() for part in ("train", "test", "trn", "tst"))]


def table_in(path: str, part: str) -> str | None:
    """The table of texts of a directory, such as train.csv or test.jsonl.gz; None if there is none."""
    from mongoose_nb.data.text import table_format

    for file in sorted(os.listdir(path)):
        if file.split(".")[0] == part and table_format(file) is not None:
            return os.path.join(path, file)
    return None


def _read_table(path, format, columns, known, labels):
    """A table of texts, as rows of text features."""
    import numpy as np
    import scipy.sparse as sp

    from mongoose_nb.data.text import label_matrix, read_table
    from mongoose_nb.nn import TextFeatures

    table, cells = read_table(path, columns, format=format, labels=labels)
    text = TextFeatures().fit(table.texts) if known.text is None else known.text
    X, names = text.transform(table.texts), known.names
    if not labels:
        return Dataset(path, format, X, sp.csr_matrix((X.shape[0], 0), dtype=np.float32), names=names, text=text, columns=table.columns)
    if names is None:
        names = np.array(sorted({name for row in table.labels for name in row}), dtype=str)
        if not len(names):
            raise ValueError(f"{path}: no row has a label in the column {table.columns.label!r}")
    Y, unknown = label_matrix(table.labels, names)
    _tell_unknown(path, unknown)
    _tell_separator(path, cells)
    return Dataset(path, format, X, Y, names=names, text=text, columns=table.columns)


def _tell_unknown(path, unknown):
    if unknown:
        shown = ", ".join(repr(name) for name in unknown[:3]) + (", ..." if len(unknown) > 3 else "")
        note(f"{path}: left out {'a label' if len(unknown) == 1 else f'{len(unknown)} labels'} that the network does not know: {shown}")


def _tell_separator(path, cells):
    """A hint where cells look like several labels; what stands in a list, or was separated, is one."""
    for separator in ("|", ";", ","):
        having = sum(separator in cell for cell in cells)
        if having > len(cells) / 10:
            note(f"{path}: {having:,} labels contain {separator!r}; if that separates labels, give --label-separator '{separator}'")
            return


def _read_svmlight(path, zero_based, names=None):
    import scipy.sparse as sp

    # read as counted from 0: then one file can say for all of them whether they do
    X, Y, names = _svmlight_labels(path, names)
    lowest = int(X.indices.min()) if X.nnz else 0
    if zero_based is None:
        zero_based = lowest == 0
    if not zero_based:
        if X.nnz and lowest == 0:
            raise ValueError(f"{path}: feature id 0 occurs, but features count from 1 here (as in the training data, or by "
                             "--no-zero-based); give --zero-based, or number the file alike")
        X = sp.csr_matrix((X.data, X.indices - 1, X.indptr), shape=(X.shape[0], max(0, X.shape[1] - 1)))
    return Dataset(path, "svmlight", X, Y, zero_based, names)


def _svmlight_labels(path, names):
    """(X, Y, names or None): label ids; or a class for each row, such as +1, -1 or 3.0, which gets a name where not all can be ids."""
    import numpy as np

    from mongoose_nb.data import check_Y, read_svmlight
    from mongoose_nb.data.text import label_matrix

    try:
        X, Y = read_svmlight(path, multilabel=True, zero_based=True)
        classes = None
    except ValueError as error:
        try:
            X, classes = read_svmlight(path, zero_based=True)
        except ValueError:
            raise error from None
        if (classes != np.floor(classes)).any() or np.abs(classes).max() > 2**31 - 2:
            raise ValueError(f"{path}: the target {classes[classes != np.floor(classes)][:1].tolist() or classes.max()} is no class; "
                             "expected whole numbers: classes, or ids of labels with commas between them") from None
    if names is None and (classes is None or classes.min() >= 0):
        return X, Y if classes is None else check_Y(classes.astype(np.int64)), None
    rows = np.split(Y.indices, Y.indptr[1:-1]) if classes is None else classes.astype(np.int64)[:, None]
    names = np.unique(classes.astype(np.int64)) if names is None else names
    Y, unknown = label_matrix([row.tolist() for row in rows], names)
    _tell_unknown(path, unknown)
    return X, Y, names


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
             labels: bool = True, columns: Any = None) -> Dataset:
    """The data set in `path` with the columns that `network` expects; without `labels`, those of the file are not looked at."""
    known = Known(network.label_names, network.text)
    if format in ("auto", "csv", "jsonl") and network.text is None and table_like(path, format):
        raise ValueError(f"{path} holds texts, but the network was trained on numbers")
    named = network.label_names is not None and network.label_names.dtype.kind == "i"
    dataset = read(path, format, zero_based=zero_based, part=part, columns=columns, labels=labels,
                   known=known if network.text is not None or named else None)
    pairs = [("features", "X", network.n_features)] + ([("labels", "Y", network.n_outputs)] if labels else [])
    for what, name, need in pairs:
        has = getattr(dataset, name).shape[1]
        if has > need or (has != need and dataset.format != "svmlight"):
            raise ValueError(f"{path} has {has} {what}, but the network was trained with {need}")
        if has < need:
            getattr(dataset, name).resize((dataset.X.shape[0], need))
    return dataset


def table_like(path: str, format: str) -> bool:
    """Whether a file, or the files of a directory, are tables of texts."""
    if os.path.isdir(path):
        return table_in(path, "train") is not None or table_in(path, "test") is not None
    return (guess_format(path) if format == "auto" else format) in ("csv", "jsonl")


def with_labels(X: Matrix, Y: Matrix, name: str) -> tuple[Any, Any, int]:
    """(X, Y, number of rows that were left out): the rows that have a label that is known; a line says how many have none."""
    from mongoose_nb.nn.labelled import rows_with_labels

    rows, n = rows_with_labels(Y), Y.shape[0]
    if not len(rows):
        raise ValueError(f"{name}: none of the {n:,} rows has a label that is known, so there is nothing to score")
    if len(rows) < n:
        note(f"{name}: {n - len(rows):,} of {n:,} rows have no label that is known; they are left out of the scores")
        X, Y = X[rows], Y[rows]
    return X, Y, n - len(rows)


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
