"""Readers of rows with clicks: CSV with named columns, and libfm."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from mongoose_nb.core.text_numbers import are_plain, to_float, to_int
from mongoose_nb.core.types import PathLike
from mongoose_nb.core.validation import check_list
from mongoose_nb.data._files import as_text, read_bytes, split_lines


class Columns:
    """Named columns, as the classifier takes them of a data frame.

    Parameters
    ----------
    columns : dict of str to (n,) array
    """

    def __init__(self, columns: dict[str, np.ndarray]) -> None:
        self._columns = columns
        self.columns = list(columns)

    def __getitem__(self, name: str) -> np.ndarray:
        """A column."""
        return self._columns[name]

    def __len__(self) -> int:
        return len(next(iter(self._columns.values())))


def read_clicks(path: PathLike, *, label: str | None = None, numeric: Sequence[str] | None = None) -> tuple[Any, np.ndarray]:
    """Rows and their classes.

    Parameters
    ----------
    path : path-like
        A file whose name has ``.csv`` is read as CSV with a line of names; others as libfm, where each row has equally many entries
        ``id:1``, one a field. Both may be packed with gzip, bzip2, xz or zip.
    label : str, optional
        CSV: column of the classes, the first by default.
    numeric : sequence of str, optional
        CSV: columns that are numbers.

    Returns
    -------
    X : Columns, or (n, fields) int64 array
    y : (n,) array

    Raises
    ------
    ValueError
        For a file that is neither; the message names the line.
    """
    path, numeric = os.fspath(path), check_list("numeric", () if numeric is None else numeric, "columns, such as ['price']")
    text = as_text(read_bytes(path)[0], path)
    return _csv(path, text, label, numeric) if ".csv" in os.path.basename(path) else _libfm(path, text)


def _csv(path, text, label, numeric):
    rows = csv.reader(io.StringIO(text, newline=""))
    names = next(rows, None)
    if not names or len(set(names)) != len(names):
        raise ValueError(f"{path} must begin with a line of column names, each once; got {names}")
    label = names[0] if label is None else label
    for name in (label, *numeric):
        if name not in names:
            raise ValueError(f"{path} has no column {name!r}; its columns are {', '.join(names)}")
    kept = []
    for row in rows:
        if not row:
            continue
        if len(row) != len(names):
            raise ValueError(f"{path}:{rows.line_num}: {len(row)} cells; the first line has {len(names)}")
        kept.append(row)
    if not kept:
        raise ValueError(f"{path} has no rows")
    columns = dict(zip(names, (np.array(column) for column in zip(*kept))))
    for name in numeric:
        columns[name] = _numbers(path, name, columns[name])
    y = columns.pop(label)
    return Columns(columns), y


def _numbers(path, name, column):
    cells = column.tolist()
    try:
        if are_plain(cells):
            return column.astype(np.float64)
    except ValueError:
        pass
    for row, cell in enumerate(cells, 1):
        try:
            to_float(cell)
        except ValueError:
            raise ValueError(f"{path}: column {name!r} is not of numbers: row {row} holds {cell!r}; fill it in, or leave {name!r} out of "
                             "the numeric columns") from None
    raise ValueError(f"{path}: column {name!r} is not of numbers")


def _libfm(path, text):
    rows, y = [], []
    for number, line in enumerate(split_lines(text), 1):
        words = line.split()
        if not words:
            continue
        try:
            label = to_float(words[0])
            if not math.isfinite(label):
                raise ValueError(f"the label is {words[0]}")
            y.append(label > 0)
            entries = [word.split(":") for word in words[1:]]
            rows.append([to_int(entry[0]) for entry in entries])
            if any(abs(id_) >= 2**63 for id_ in rows[-1]):
                raise ValueError("an id beyond 64 bits")
            if any(len(entry) > 1 and to_float(entry[1]) != 1 for entry in entries):
                raise ValueError("a value other than 1")
        except ValueError as error:
            raise ValueError(f"{path}:{number}: not 'label id:1 id:1 ...': {error}") from None
        if len(rows[-1]) != len(rows[0]):
            raise ValueError(f"{path}:{number}: {len(rows[-1])} entries; the first row has {len(rows[0])}, and each is one field")
    if not rows or not rows[0]:
        raise ValueError(f"{path} has no rows of 'label id:1 id:1 ...'")
    return np.array(rows, np.int64), np.array(y, np.int64)
