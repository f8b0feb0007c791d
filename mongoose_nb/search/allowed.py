"""Filtered search: which rows may be answers, given by ids, by a mask, or by a function of ids."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mongoose_nb.search.ids import IdMap

#: one filter: ids, a mask over `LSHIndex.ids`, or a function from ids to a mask
Filter = np.ndarray | Sequence[int] | Callable[[np.ndarray], np.ndarray]


def filters(allowed: Any, n: int) -> list[Any] | None:
    """The filters of n queries where there is one for each, None where one filter serves all.

    A list or tuple is one for each query if its parts are arrays, lists or functions; a two-dimensional array of booleans is one too.

    Raises
    ------
    ValueError
        There are not n of them.
    """
    each = isinstance(allowed, list | tuple) and any(callable(part) or np.ndim(part) or part is None for part in allowed)
    each = each or (isinstance(allowed, np.ndarray) and allowed.ndim == 2)
    if not each:
        return None
    if len(allowed) != n:
        raise ValueError(f"allowed has {len(allowed)} filters for {n} queries; give one filter for all, or one for each query")
    return list(allowed)


def allowed_slots(allowed: Filter, ids: IdMap) -> np.ndarray:
    """Which slots a filter allows, (slots,) uint8. Ids that are not in the index allow nothing.

    Raises
    ------
    TypeError, ValueError
        The filter is none of the three kinds, or a mask of another length.
    """
    live = np.flatnonzero(ids.live[:ids.used])
    names = ids.ids[live]
    out = np.zeros(ids.used, np.uint8)
    if callable(allowed):
        mask = np.asarray(allowed(names.copy()))
        if mask.dtype != bool or mask.shape != names.shape:
            raise ValueError(f"allowed returned {mask.dtype} of shape {mask.shape} for {len(names)} ids; it must return a boolean for each")
        out[live] = mask
        return out
    given = np.asarray(allowed)
    if given.dtype == bool:
        if given.shape != names.shape:
            raise ValueError(f"allowed is a mask of shape {given.shape}; give one for each of the {len(names)} ids, in the order of "
                             "index.ids")
        order = np.argsort(names, kind="stable")
        out[live[order]] = given
        return out
    if given.size and (given.dtype.kind not in "iu" or given.ndim != 1):
        raise TypeError(f"allowed must be ids, a mask of booleans, or a function of ids that returns one; got dtype {given.dtype}, "
                        f"shape {given.shape}")
    out[live[np.isin(names, given)]] = 1
    return out
