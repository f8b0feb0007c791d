"""Columns of a table as ids and numbers: categories by a vocabulary or by a hash, numeric columns standardised."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from mongoose_nb.core.text_numbers import to_float
from mongoose_nb.core.validation import check_list, unmasked

#: hashed ids lie below
HASH_SPACE = 2**40
#: numbers of numeric columns lie below
MOST = 1e30
#: and at most so many standard deviations from the mean: their squares, times weights, stay within float32
FARTHEST = 1e12
#: the category of missing values: of empty cells of a file, and of None, NaN and NA of data frames
MISSING = ""
#: longer texts are known by a digest: an array of texts has room for the longest one in every row
LONGEST = 256
_WHOLE, _FRACTION, _BOOLEAN = (int, np.integer), (float, np.floating), (bool, np.bool_)


def _column_hash(values, field):
    """Ids below HASH_SPACE from integers or strings; equal values of different fields differ."""
    if values.dtype.kind in "iub":
        x = values.astype(np.int64).view(np.uint64) + np.uint64((field + 1) * 0x9E3779B97F4A7C15 % 2**64)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return ((x ^ (x >> np.uint64(31))) & np.uint64(HASH_SPACE - 1)).astype(np.int64)
    unique, inverse = np.unique(values, return_inverse=True)
    ids = [int.from_bytes(_digest(f"{field}\0{value}", 8), "little") % HASH_SPACE for value in unique]
    return np.array(ids, np.int64)[inverse.reshape(-1)]


def _digest(text, size):
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=size).digest()


def _hash_as(values, field, text):
    """Hashes of values that are integers here and strings in training, or the other way round, as training had them."""
    if text:
        return _column_hash(values.astype(str), field)
    ids = _column_hash(values, field)
    if values.dtype.kind == "U":
        numbers = [_whole(value) for value in values.tolist()]
        whole = np.array([number is not None for number in numbers], bool)
        ids[whole] = _column_hash(np.array([number for number in numbers if number is not None], np.int64), field)
    return ids


def _whole(text):
    """The integer that a text was made from, as which a boolean counts too, or None."""
    if text in ("True", "False"):
        return int(text == "True")
    return int(text) if text.lstrip("-").isdecimal() and len(text) < 19 and str(int(text)) == text else None


class Encoder:
    """Turns rows of categories and numbers into ids (n, fields) and numbers (n, numeric columns).

    Parameters
    ----------
    numeric : list of str or int, optional
        Columns that are numbers: names, or positions. By default columns of floats of a data frame; others are categories.
    hashed : bool
        Ids are hashes, and nothing is kept of the values: a value that training has not seen has an id of its own. Without, a vocabulary is
        kept, and all values of a column that it does not have share one id.

    Notes
    -----
    A missing value is a category: None, NaN and NA are one with the empty text. Numbers and their texts are the same category, and so are
    whole floats and integers.

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
            names = [_plain_name(name) for name in names]
        else:
            if hasattr(X, "tocsr"):
                raise TypeError("X is a sparse matrix; a click model takes a column for each field, which holds the category: give a data "
                                "frame or an array of these")
            X = np.asarray(unmasked(X, "X")) if hasattr(X, "dtype") else np.asarray(X, dtype=object)
            if X.ndim != 2:
                raise ValueError(f"X must have rows and columns; got an array of shape {X.shape}: for a single row, give [row]")
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
            numeric = [_plain_name(name) for name in check_list("numeric", self.numeric, "columns, such as ['price']")]
            missing = [name for name in numeric if name not in names]
            if missing:
                raise ValueError(f"numeric names {missing[0]!r}, which X does not have; its columns are {names}")
            chosen = [names.index(name) for name in numeric]
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
            raise ValueError(_other_columns(names, self.names, named))
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
        table = self._standardised(np.stack(numbers, axis=1), names) if numbers else np.zeros((n, 0), np.float32)
        return np.stack(ids, axis=1).astype(np.int64), table

    def _standardised(self, numbers, names):
        with np.errstate(over="ignore"):
            table = ((numbers - self.mean) / self.scale).astype(np.float32)
        row, column = np.unravel_index(np.abs(table).argmax(), table.shape) if table.size else (0, 0)
        if table.size and np.abs(table[row, column]) > FARTHEST:
            name = [name for name, numeric in zip(names, self.is_numeric) if numeric][column]
            raise ValueError(f"column {name!r} holds the number {numbers[row, column]:g} in row {row}, {np.abs(table[row, column]):.3g} "
                             f"standard deviations from the mean in training; numbers must be at most {FARTHEST:g} from it: correct the "
                             "number, or train on its logarithm")
        return table

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


def _other_columns(names, known, named):
    """What is wrong with the columns of X, by the names that differ."""
    if not named:
        return f"X has {len(names)} columns; the model was trained with {len(known)}: give these, in the same order"
    parts = [f"{text} {', '.join(map(repr, some[:5]))}{', ...' if len(some) > 5 else ''}" for text, some in
             (("lacks the columns", [name for name in known if name not in names]),
              ("has columns more", [name for name in names if name not in known])) if some]
    found = " and ".join(parts) or f"has its columns in another order, first {names[0]!r} where {known[0]!r} was"
    return f"X {found}; the model was trained with {len(known)} columns: give these, in this order, as X[model.encoder_.names]"


def _plain_name(name):
    """A name that a file can hold: names of several levels are tuples."""
    return int(name) if isinstance(name, _WHOLE) and not isinstance(name, bool) else str(name)


def _tidy(column):
    """A column as integers, booleans, floats or texts; one of objects as what all of its values are."""
    column = np.asarray(column)
    if column.dtype.kind in "OSV":
        return _tidy_objects(column.tolist())
    if column.dtype.kind == "U" and column.dtype.itemsize > 4 * LONGEST:
        return np.array([_text(value) for value in column.tolist()], str)
    if column.dtype.kind == "u" and len(column) and column.max() >= 2**63:
        return column.astype(str)
    if column.dtype.kind in "mM":
        return np.where(np.isnat(column), MISSING, column.astype(str))
    return column


def _tidy_objects(values):
    types = set(map(type, values))
    if types and all(issubclass(one, _BOOLEAN) for one in types):
        return np.array(values, bool)
    if not any(issubclass(one, (str, bytes, *_BOOLEAN)) for one in types):  # numbers, and perhaps missing ones
        present = [value for value in values if not _is_missing(value)]
        if all(isinstance(value, _WHOLE) and -2**63 <= value < 2**63 for value in present) and len(present) == len(values):
            return np.array(values, np.int64)
        if any(isinstance(value, _FRACTION) for value in present) and all(isinstance(value, (*_WHOLE, *_FRACTION)) for value in present):
            return np.array([np.nan if _is_missing(value) else float(value) for value in values])
    return np.array([_text(value) for value in values], str)


def _is_missing(value):
    if value is None:
        return True
    try:
        return bool(value != value)
    except TypeError:  # NA of pandas is neither
        return True
    except ValueError:
        return False


def _text(value):
    """A category as a text: equal numbers have equal texts."""
    if _is_missing(value):
        return MISSING
    if isinstance(value, _FRACTION) and float(value).is_integer():
        value = int(value)
    text = value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)
    return text if len(text) <= LONGEST else _digest(text, 32).hex()


def _category(column, name):
    """Integers, booleans or texts of a column of categories; missing values of a column of floats make texts of it."""
    if column.dtype.kind == "f":
        gone = np.isnan(column)
        present = column[~gone]
        wrong = present[(present != np.round(present)) | np.isinf(present)]
        if len(wrong):
            raise ValueError(f"column {name!r} is to be a category and holds the number {wrong[0]:g}; categories are whole numbers or "
                             "texts: name the column in numeric=, or cast it to strings")
        if len(present) and np.abs(present).max() >= 2.0**53:
            raise ValueError(f"column {name!r} holds the category {np.abs(present).max():g}, and floats of this size do not tell whole "
                             "numbers apart: give integers or strings")
        whole = np.where(gone, 0, column).astype(np.int64)
        return np.where(gone, MISSING, whole.astype(str)) if gone.any() else whole
    if column.dtype.kind in "iu":
        return column.astype(np.int64)
    return column if column.dtype.kind == "b" else column.astype(str)


def _as_kind(values, known):
    """Values as training had them: texts of whole numbers are these, and the other way round."""
    if (values.dtype.kind == "U") == (known.dtype.kind == "U"):
        return values
    if known.dtype.kind == "U":
        return values.astype(str)
    numbers = [_whole(value) for value in values.tolist()]
    return np.array([-2**63 if number is None else number for number in numbers], np.int64)


def _to_float(text, row, name):
    if text == MISSING:
        return np.nan
    try:
        return to_float(text)
    except ValueError:
        raise ValueError(f"column {name!r} is one of numbers, and holds {text!r} in row {row}: give numbers, or leave it out of numeric= "
                         "and train again") from None


def _number(column, name):
    if column.dtype.kind == "U":
        column = np.array([_to_float(value, row, name) for row, value in enumerate(column.tolist())])
    elif column.dtype.kind not in "fiub":
        raise ValueError(f"column {name!r} is one of numbers, and holds {column[:1].tolist()[0]!r} in row 0: give numbers, or leave it out "
                         "of numeric= and train again")
    column = column.astype(np.float64)
    wrong = np.flatnonzero(~np.isfinite(column))
    if len(wrong):
        raise ValueError(f"column {name!r} holds {len(wrong):,} NaN or infinity among {len(column):,} numbers, the first in row {wrong[0]}"
                         ": fill these in, for instance with the median, or make it a category by naming other columns in numeric=")
    if len(column) and np.abs(column).max() > MOST:
        raise ValueError(f"column {name!r} holds the number {np.abs(column).max():g}; numbers must lie below {MOST:g}: scale it, or take "
                         "its logarithm")
    return column.astype(np.float32)
