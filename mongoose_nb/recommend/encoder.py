"""Columns of a table as ids and numbers: categories by a vocabulary or by a hash, numeric columns standardised."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

#: hashed ids lie below
HASH_SPACE = 2**40
#: numbers of numeric columns lie below
MOST = 1e30


def _column_hash(values, field):
    """Ids below HASH_SPACE from integers or strings; equal values of different fields differ."""
    if values.dtype.kind in "iub":
        x = values.astype(np.int64).view(np.uint64) + np.uint64((field + 1) * 0x9E3779B97F4A7C15 % 2**64)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return ((x ^ (x >> np.uint64(31))) & np.uint64(HASH_SPACE - 1)).astype(np.int64)
    unique, inverse = np.unique(values, return_inverse=True)
    ids = [int.from_bytes(hashlib.blake2b(f"{field}\0{value}".encode(), digest_size=8).digest(), "little") % HASH_SPACE for value in unique]
    return np.array(ids, np.int64)[inverse.reshape(-1)]


def _hash_as(values, field, text):
    """Hashes of values that are integers here and strings in training, or the other way round, as training had them."""
    if text:
        return _column_hash(values.astype(str), field)
    ids = _column_hash(values, field)
    if values.dtype.kind == "U":
        whole = np.array([_is_whole(value) for value in values.tolist()], bool)
        ids[whole] = _column_hash(values[whole].astype(np.int64), field)
    return ids


def _is_whole(text):
    return text.lstrip("-").isdecimal() and len(text) < 19 and str(int(text)) == text


class Encoder:
    """Turns rows of categories and numbers into ids (n, fields) and numbers (n, numeric columns).

    Parameters
    ----------
    numeric : list of str or int, optional
        Columns that are numbers: names, or positions. By default columns of floats of a data frame; others are categories.
    hashed : bool
        Ids are hashes, and nothing is kept of the values: a value that training has not seen has an id of its own. Without, a vocabulary is
        kept, and all values of a column that it does not have share one id.

    Attributes
    ----------
    n_ids : int
        Number of ids that the training data have.
    """

    def __init__(self, numeric: Sequence[str | int] | None = None, hashed: bool = False) -> None:
        self.numeric, self.hashed = numeric, hashed
        self.n_ids = 0

    # ------------------------------------------------------------------ columns

    def columns(self, X: Any) -> tuple[list[np.ndarray], list[Any]]:
        """The columns of a data frame, an array or a list of rows, and their names (positions without names)."""
        if hasattr(X, "columns") and hasattr(X, "__getitem__"):
            names = list(X.columns)
            twice = [name for name in names if names.count(name) > 1]
            if twice:
                raise ValueError(f"X has more than one column {twice[0]!r}; give each a name of its own")
            found = [np.asarray(X[name]) for name in names]
        else:
            if hasattr(X, "tocsr"):
                raise TypeError("X is a sparse matrix; a click model takes a column for each field, which holds the category: give a data "
                                "frame or an array of these")
            X = np.asarray(X) if hasattr(X, "dtype") else np.asarray(X, dtype=object)
            if X.ndim != 2:
                raise ValueError(f"X must have rows and columns; got an array of shape {X.shape}")
            names, found = list(range(X.shape[1])), list(X.T)
        if not found:
            raise ValueError("X has no columns")
        for name, column in zip(names, found):
            if column.ndim != 1 or len(column) != len(found[0]):
                raise ValueError(f"all columns of X must be vectors of one length; column {names[0]!r} has the shape {found[0].shape}, and "
                                 f"column {name!r} {column.shape}")
        return [_tidy(column) for column in found], names

    def fit(self, X: Any) -> Encoder:
        """Learn which columns are numbers, their mean and scale, and the vocabulary."""
        columns, names = self.columns(X)
        if len(columns[0]) == 0:
            raise ValueError("X has no rows")
        if self.numeric is None:
            chosen = [j for j, column in enumerate(columns) if column.dtype.kind == "f"] if hasattr(X, "columns") else []
        else:
            missing = [name for name in self.numeric if name not in names]
            if missing:
                raise ValueError(f"numeric names {missing[0]!r}, which X does not have; its columns are {names}")
            chosen = [names.index(name) for name in self.numeric]
        self.names = names
        self.is_numeric = [j in chosen for j in range(len(columns))]
        if all(self.is_numeric):
            raise ValueError("all columns of X are numbers; a click model needs one column of categories or more: cast ids to integers, "
                             "or list the numeric columns in numeric=")
        table = np.stack([_number(columns[j], names[j]) for j in chosen], axis=1) if chosen else np.zeros((len(columns[0]), 0), np.float32)
        self.mean = table.mean(axis=0, dtype=np.float64).astype(np.float32)
        scale = table.std(axis=0, dtype=np.float64).astype(np.float32)
        self.scale = np.where(scale > 0, scale, 1).astype(np.float32)
        self.vocabulary: list[np.ndarray] = []
        self.texts: list[bool] = []
        self.n_ids = 0
        for j, column in enumerate(columns):
            if not self.is_numeric[j]:
                unique = np.unique(_category(column, names[j]))
                self.texts.append(unique.dtype.kind == "U")
                self.n_ids += len(unique) + (not self.hashed)
                if not self.hashed:
                    self.vocabulary.append(unique)
        return self

    def transform(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """(ids (n, fields) int64, numbers (n, numeric columns) float32)."""
        columns, names = self.columns(X)
        named = hasattr(X, "columns") and any(isinstance(name, str) for name in self.names)
        if len(columns) != len(self.names) or named and names != self.names:
            raise ValueError(f"X has the columns {names}; the model was trained with {self.names}")
        ids, numbers, first = [], [], 0
        for j, column in enumerate(columns):
            if self.is_numeric[j]:
                numbers.append(_number(column, names[j]))
                continue
            values, field = _category(column, names[j]), len(ids)
            if self.hashed:
                ids.append(_hash_as(values, field, self.texts[field]))
                continue
            known = self.vocabulary[field]
            values = _as_kind(values, known)
            place = np.minimum(np.searchsorted(known, values), len(known) - 1)
            ids.append(first + np.where(known[place] == values, place, len(known)))
            first += len(known) + 1
        n = len(columns[0])
        table = (np.stack(numbers, axis=1) - self.mean) / self.scale if numbers else np.zeros((n, 0), np.float32)
        return np.stack(ids, axis=1).astype(np.int64), table.astype(np.float32)

    # ------------------------------------------------------------------ saving

    def settings(self) -> dict:
        """What JSON can hold of it."""
        return {"numeric": None if self.numeric is None else list(self.numeric), "hashed": self.hashed, "n_ids": self.n_ids,
                "names": self.names, "is_numeric": self.is_numeric, "texts": self.texts,
                "vocabulary": [{"strings": known.dtype.kind == "U", "values": known.tolist()} for known in self.vocabulary]}

    def arrays(self) -> dict[str, np.ndarray]:
        """Mean and scale of the numeric columns."""
        return {"encoder.mean": self.mean, "encoder.scale": self.scale}

    @classmethod
    def of(cls, settings: dict, arrays: dict) -> Encoder:
        """The encoder that `settings` and `arrays` came from."""
        self = cls(settings["numeric"], settings["hashed"])
        self.n_ids, self.names, self.is_numeric = settings["n_ids"], settings["names"], settings["is_numeric"]
        self.texts = settings["texts"]
        self.vocabulary = [np.array(one["values"], str if one["strings"] else np.int64) for one in settings["vocabulary"]]
        self.mean, self.scale = arrays["encoder.mean"], arrays["encoder.scale"]
        return self


def _tidy(column):
    """A column of objects as integers where all are, else as strings."""
    column = np.asarray(column)
    if column.dtype.kind not in "OSV":
        return column
    values = column.tolist()
    if all(isinstance(value, int | np.integer) and not isinstance(value, bool) and -2**63 <= value < 2**63 for value in values):
        return np.array(values, np.int64)
    if all(isinstance(value, float | int | np.number) and not isinstance(value, bool) for value in values):
        return np.array(values, np.float64)
    return np.array([value.decode() if isinstance(value, bytes) else str(value) for value in values])


def _category(column, name):
    if column.dtype.kind == "f":
        if not np.isfinite(column).all() or (column != np.round(column)).any():
            raise ValueError(f"column {name!r} holds fractions or NaN and is to be a category: name it in numeric=, or cast it to strings")
        if len(column) and np.abs(column).max() >= 2.0**53:
            raise ValueError(f"column {name!r} holds the category {np.abs(column).max():g}, and floats of this size do not tell whole "
                             "numbers apart: give integers or strings")
        return column.astype(np.int64)
    return column.astype(np.int64) if column.dtype.kind in "iub" else column.astype(str)


def _as_kind(values, known):
    if (values.dtype.kind == "U") == (known.dtype.kind == "U"):
        return values
    if known.dtype.kind == "U":
        return values.astype(str)
    return np.array([int(value) if _is_whole(value) else -2**63 for value in values.tolist()], np.int64)


def _number(column, name):
    try:
        column = column.astype(np.float64)
    except ValueError as error:
        raise ValueError(f"column {name!r} is named in numeric= but is not of numbers: {error}") from None
    if not np.isfinite(column).all():
        raise ValueError(f"column {name!r} holds NaN or infinity; fill these in first")
    if len(column) and np.abs(column).max() > MOST:
        raise ValueError(f"column {name!r} holds the number {np.abs(column).max():g}; numbers must lie below {MOST:g}: scale it, or take "
                         "its logarithm")
    return column.astype(np.float32)
