"""Filtered search: which rows may be answers, given by ids, by a mask, or by a function of ids."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mongoose_nb.search.ids import IdMap
from mongoose_nb.search.names import Names

#: one filter: ids or keys, a mask over `LSHIndex.ids`, or a function from ids or keys to a mask
Filter = np.ndarray | Sequence[int | str] | Callable[[np.ndarray], np.ndarray]


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


def allowed_mask(allowed: Filter, there: np.ndarray, names: Names) -> np.ndarray:
    """Which of the ids `there` (m,), which are all of the index, a filter allows, (m,) bool. Other ids or keys allow nothing.

    Raises
    ------
    TypeError, ValueError
        The filter is none of the three kinds, or a mask of another length.
    """
    if callable(allowed):
        mask = np.asarray(allowed(np.array(names.outward(there))))
        if mask.dtype != bool or mask.shape != there.shape:
            raise ValueError(f"allowed returned {mask.dtype} of shape {mask.shape} for {len(there)} ids; it must return a boolean for each")
        return mask
    given = np.asarray(allowed)
    if given.dtype == bool:
        if given.shape != there.shape:
            raise ValueError(f"allowed is a mask of shape {given.shape}; give one for each of the {len(there)} ids, in the order of "
                             "index.ids")
        out = np.empty(len(there), bool)
        out[np.argsort(there, kind="stable")] = given
        return out
    return np.isin(there, names.present(given))


def allowed_slots(allowed: Filter, ids: IdMap, names: Names) -> np.ndarray:
    """Which slots a filter allows, (slots,) uint8; see `allowed_mask`."""
    live = np.flatnonzero(ids.live[:ids.used])
    out = np.zeros(ids.used, np.uint8)
    out[live] = allowed_mask(allowed, ids.ids[live], names)
    return out
