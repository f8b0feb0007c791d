"""Labels of rows as an array in which each is still what was given."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np

from mongoose_nb.core.validation import unmasked


def as_labels(values: Any, name: str = "y") -> np.ndarray:
    """Labels as an array. `numpy.asarray` alone would make strings of all where one is a string.

    Parameters
    ----------
    values : array_like
        One label for each row; lists of labels, which are arrays in the end, are not looked into.
    name : str
        What errors call them.

    Returns
    -------
    ndarray

    Raises
    ------
    TypeError, ValueError
        If strings, bytes, numbers or others are mixed, or whole numbers are too large to be told apart.
    """
    array = values if isinstance(values, list | tuple) else unmasked(values, name)
    if isinstance(array, np.ndarray):
        if array.dtype != object or array.ndim != 1:
            return array
        values = array.tolist()
    first: dict[type, int] = {}
    for row, value in enumerate(values):
        kind = _kind(value)
        if kind is None:
            return np.asarray(values)
        first.setdefault(kind, row)
    if len(first) > 1:
        (a, b), types = sorted(first.values())[:2], [type(values[row]).__name__ for row in sorted(first.values())[:2]]
        raise TypeError(f"{name} mixes {values[a]!r} ({types[0]}) in row {a} and {values[b]!r} ({types[1]}) in row {b}; give labels of one "
                        "type, for instance str(label), and leave out rows without one")
    out = np.asarray(values)
    if out.dtype.kind == "f" and all(isinstance(value, numbers.Integral) for value in values) and len(out):
        raise ValueError(f"{name} has whole numbers that no integer type holds together, from {min(values)} to {max(values)}; give them as "
                         "strings")
    return array if isinstance(array, np.ndarray) else out


def _kind(value):
    """What a label has to have in common with others; None for one that is no single value."""
    for kind in (str, bytes, numbers.Number):
        if isinstance(value, kind):
            return kind
    if isinstance(value, np.bool_):
        return numbers.Number
    return None if hasattr(value, "__len__") else type(value)
