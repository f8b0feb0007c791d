"""Radii of a search: numbers of any type, one for all queries or one for each."""

from typing import Any

import numpy as np


def radii(r: Any, n: int, signed: bool) -> np.ndarray:
    """Radii of n queries.

    Parameters
    ----------
    r : number or array_like of shape (n,)
    n : int
    signed : bool
        Whether distances may be negative.

    Returns
    -------
    ndarray of shape (n,), float32
        Rounded as distances are, so that the type of the number does not decide about rows at exactly that distance.

    Raises
    ------
    TypeError
        No real numbers.
    ValueError
        NaN, a negative number where distances are not negative, or another shape.
    """
    given = np.asarray(r)
    if given.dtype.kind not in "fiu":
        raise TypeError(f"r must be a number, or one number for each query; got {r!r}")
    if given.shape not in ((), (n,)):
        raise ValueError(f"r has shape {given.shape}; give one number, or one for each of the {n} queries")
    if np.isnan(given).any():
        raise ValueError("r is NaN; give a number")
    if not signed and (given < 0).any():
        raise ValueError(f"r must be 0 or more, as distances of this metric are; got {given.min()}")
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(np.broadcast_to(given.astype(np.float32), (n,)))
