"""What the files of all sketches have in common."""

from __future__ import annotations

from typing import Any

import numpy as np

from mongoose_nb.core import files
from mongoose_nb.core.arrays import aligned_zeros
from mongoose_nb.core.types import PathLike


def check_version(path: PathLike, settings: dict[str, Any], version: int) -> None:
    """Refuse a file of another version of its kind.

    Parameters
    ----------
    path : path-like
    settings : dict
        Of the file.
    version : int
        That this program reads.
    """
    if settings.get("version") != version:
        raise files.FormatError(f"{str(path)!r} has version {settings.get('version')!r}; this program reads {version}: upgrade it")


def take(path: PathLike, arrays: dict[str, np.ndarray], name: str, dtype: Any, shape: tuple[int, ...], mmap: bool = False) -> np.ndarray:
    """An array of a file that is checked, as one that may be changed, or as it is mapped.

    Parameters
    ----------
    path : path-like
    arrays : dict
        Of the file.
    name : str
    dtype : dtype
    shape : tuple of int
        That it must have; -1 for any number.
    mmap : bool
        Whether the arrays are mapped.

    Returns
    -------
    ndarray
    """
    array = arrays.get(name)
    if array is None or array.dtype != dtype or array.ndim != len(shape) or any(w not in (-1, n) for n, w in zip(array.shape, shape)):
        found = "is missing" if array is None else f"is {array.dtype} {array.shape}"
        raise files.FormatError(f"{str(path)!r} is damaged: array {name!r} {found}; its settings need {np.dtype(dtype)} {shape}")
    if mmap:
        array.flags.writeable = False
        return array
    out = aligned_zeros(array.shape, array.dtype)
    out[...] = array
    return out
