"""Checks of single arguments. The error says what was given and what is allowed."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np


def unmasked(values: Any, name: str) -> np.ndarray:
    """Values as an array; NumPy's masked arrays are refused where something is masked, for what is behind a mask would be taken.

    Parameters
    ----------
    values : array_like
    name : str
        What the error calls them.

    Returns
    -------
    ndarray

    Raises
    ------
    ValueError
        If values are masked.
    """
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise ValueError(f"{name} is a masked array in which {np.ma.count_masked(values)} of {values.size} values are masked; fill them, "
                         f"for instance with {name}.filled(0), or leave out such rows")
    return np.asarray(values)


def check_number(name: str, value: Any, *, low: float | None = None, high: float | None = None, open_low: bool = False,
                 open_high: bool = False) -> float:
    """Check that an argument is a finite real number within bounds.

    Parameters
    ----------
    name : str
        Name of the argument, for the error.
    value : object
    low, high : float, optional
        Bounds; None for none.
    open_low, open_high : bool
        Whether the bound itself is excluded.

    Returns
    -------
    float

    Raises
    ------
    TypeError, ValueError
        If it is no number, or out of bounds.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number; got {value!r}")
    value = float(value)
    too_low = low is not None and (value <= low if open_low else value < low)
    too_high = high is not None and (value >= high if open_high else value > high)
    if not math.isfinite(value) or too_low or too_high:
        left = "" if low is None else f" {'above' if open_low else 'of at least'} {low:g}"
        right = "" if high is None else f" {'below' if open_high else 'of at most'} {high:g}"
        raise ValueError(f"{name} must be a finite number{left}{' and' if left and right else ''}{right}; got {value!r}")
    return value


def check_int(name: str, value: Any, *, low: int | None = None, high: int | None = None) -> int:
    """Check that an argument is an integer within bounds.

    Parameters
    ----------
    name : str
        Name of the argument, for the error.
    value : object
    low, high : int, optional
        Bounds, included; None for none.

    Returns
    -------
    int

    Raises
    ------
    TypeError, ValueError
        If it is no integer, or out of bounds.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be an integer; got {value!r}")
    value = int(value)
    if (low is not None and value < low) or (high is not None and value > high):
        allowed = f"from {low} upwards" if high is None else f"of at most {high}" if low is None else f"from {low} to {high}"
        raise ValueError(f"{name} must be an integer {allowed}; got {value}")
    return value


def check_choice(name: str, value: Any, choices: Sequence[Any]) -> Any:
    """Check that an argument is one of a few values, and return it.

    Parameters
    ----------
    name : str
        Name of the argument, for the error.
    value : object
    choices : sequence
        The values that are allowed.

    Raises
    ------
    ValueError
        If it is none of them.
    """
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}; got {value!r}")
    return value


def check_rows(name: str, value: Any, n: int) -> np.ndarray:
    """Indices of some of n rows, ascending, int64.

    Parameters
    ----------
    name : str
        What the error calls it.
    value : (m,) array of whole numbers
        At least one and fewer than n, without repetition.
    n : int

    Returns
    -------
    (m,) int64

    Raises
    ------
    TypeError, ValueError
        For anything else.
    """
    rows = np.asarray(value)
    if rows.ndim != 1 or rows.dtype.kind not in "iu":
        raise TypeError(f"{name} must be a number or a list of row indices; got an array of shape {rows.shape} and dtype {rows.dtype}")
    rows = np.sort(rows.astype(np.int64))
    if not 0 < len(rows) < n or rows[0] < 0 or rows[-1] >= n or (np.diff(rows) == 0).any():
        raise ValueError(f"{name} must name some, not all, of the rows 0 to {n - 1}, each once; got {len(rows)} of them"
                         + (f", from {rows[0]} to {rows[-1]}" if len(rows) else ""))
    return rows


def check_pair(name: str, value: Any) -> tuple[Any, Any]:
    """Check that an argument is rows and what belongs to them, (X, Y).

    Parameters
    ----------
    name : str
        Name of the argument, for the error.
    value : object

    Returns
    -------
    tuple

    Raises
    ------
    TypeError
        If it is no list or tuple of two.
    """
    if not isinstance(value, list | tuple) or len(value) != 2:
        given = f"{type(value).__name__} of {len(value)}" if isinstance(value, list | tuple) else type(value).__name__
        raise TypeError(f"{name} must be a pair (X, Y); got {given}")
    return value[0], value[1]


def check_list(name: str, value: Any, of: str) -> list:
    """Check that an argument is several values, and no text or single value.

    Parameters
    ----------
    name : str
        Name of the argument, for the error.
    value : object
    of : str
        What the values are, for the error.

    Returns
    -------
    list

    Raises
    ------
    TypeError
        If it cannot be read value by value, or is a text.
    """
    if not hasattr(value, "__iter__") or isinstance(value, str | bytes):
        raise TypeError(f"{name} must be a list of {of}; got {value!r}")
    return list(value)


def check_squares(name: str, values: np.ndarray) -> np.ndarray:
    """Check that sums of squares of numbers stay within float64, and return the numbers.

    Parameters
    ----------
    name : str
        What the error calls them.
    values : float64 array

    Returns
    -------
    ndarray

    Raises
    ------
    ValueError
        If they do not.
    """
    most = np.abs(values).max(initial=0.0)
    if most > 1e150:
        raise ValueError(f"{name} holds values of up to {most:.3g}, whose squares are beyond float64; scale {name}, for instance by "
                         "dividing it by the largest")
    return values
