"""Sets of records as one array of all records and the places where sets begin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mongoose_nb.core.validation import unmasked


def as_sets(X: Any, width: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Ragged sets as arrays. Records with a NaN are missing, and left out.

    Parameters
    ----------
    X : sequence of arrays, (n, records, columns) array, or tuple (records, start)
        One array (records, columns) for each set, whatever its number of records; or all records (m, columns) and where sets begin,
        (n + 1,) integers from 0 to m.
    width : int, optional
        Columns that records must have.

    Returns
    -------
    records : (m, columns) float32
    start : (n + 1,) int64
    """
    if isinstance(X, tuple) and len(X) == 2 and np.ndim(X[0]) == 2 and np.ndim(X[1]) == 1:
        records, start = unmasked(X[0], "records"), np.asarray(X[1])
        if (not np.issubdtype(start.dtype, np.integer) or len(start) < 1 or start[0] != 0 or start[-1] != len(records)
                or (np.diff(start) < 0).any()):
            raise ValueError(f"start must be integers (sets + 1,) that grow from 0 to the number of records, {len(records)}; got "
                             f"{start.dtype} {start.shape}")
    elif isinstance(X, Sequence | np.ndarray) and not isinstance(X, str):
        sets = [unmasked(one, f"set {i}") for i, one in enumerate(X)]
        wrong = next((i for i, one in enumerate(sets) if one.ndim != 2), None)
        if wrong is not None:
            raise ValueError(f"every set must be an array (records, columns), also one with a single record or none; set {wrong} has shape "
                             f"{sets[wrong].shape}")
        widths = {one.shape[1] for one in sets}
        if len(widths) > 1:
            raise ValueError(f"the records of all sets must have the same columns; got sets with {sorted(widths)} columns")
        records = np.concatenate(sets) if sets else np.zeros((0, width or 1), np.float32)
        start = np.concatenate([[0], np.cumsum([len(one) for one in sets])])
    else:
        raise TypeError(f"X must be a sequence of arrays (records, columns), one for each set, or (records, start); got {type(X).__name__}")
    if records.dtype.kind not in "biuf":
        raise TypeError(f"records must be numbers; got dtype {records.dtype}")
    with np.errstate(over="ignore"):
        records = np.ascontiguousarray(records, np.float32)
    if width is not None and records.shape[1] != width:
        raise ValueError(f"records must have {width} columns, as those of `fit`; got {records.shape[1]}")
    if np.isinf(records).any():
        raise ValueError("records hold infinity, or numbers beyond float32; a record that is missing has NaN, or is left out")
    there = ~np.isnan(records).any(axis=1)
    if there.all():
        return records, start.astype(np.int64)
    return records[there], np.concatenate([[0], np.cumsum(there)])[start]


def take(records: np.ndarray, start: np.ndarray, sets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Some of the sets, in the order of their numbers in `sets`."""
    counts = np.diff(start)[sets]
    ends = np.cumsum(counts)
    rows = np.arange(ends[-1] if len(ends) else 0) + np.repeat(start[:-1][sets] - ends + counts, counts)
    return records[rows], np.concatenate([[0], ends])
