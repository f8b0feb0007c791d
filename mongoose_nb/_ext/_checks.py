"""Checks of the arguments of a bucket store: parameters, ids, codes, saved states."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

UNBOUNDED = 2**31 - 1
MAX_BUCKETS = 2**26
STATE_VERSION = 1
_POLICIES = ("fifo", "reservoir")


def integer(name: str, value: Any, low: int, high: int) -> int:
    """`value` as an int; TypeError for other types, ValueError outside [low, high]."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if not low <= value <= high:
        raise ValueError(f"{name} must be between {low} and {high}, got {value}")
    return int(value)


def integer_array(name: str, value: Any) -> np.ndarray:
    """`value` as an array of integers of any width, or an empty one of any type; TypeError for others."""
    array = np.asarray(value)
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(f"{name} must be an integer array, got dtype {array.dtype}")
    return array


def bad_id(row: int) -> ValueError:
    """The error for an id that is not a row."""
    return ValueError(f"row ids must be between 0 and {2**31 - 1} (int32), got {row}")


def bad_code(code: int, n_buckets: int) -> ValueError:
    """The error for a code that is not a bucket."""
    return ValueError(f"codes must be between 0 and n_buckets - 1 = {n_buckets - 1}, got {code}: "
                      "hash to fewer bits, or make the store with more buckets")


def outside(name: str, value: int, size: int) -> ValueError:
    """The error for a value that is not from 0 to ``size - 1``."""
    return ValueError(f"{name} must be between 0 and {size - 1}, got {value}")


def within(array: np.ndarray, low: int, high: int, error: Callable[[int], Exception]) -> None:
    """Raise `error(value)` for an entry of `array` outside [low, high], low <= 0."""
    if array.size and array.dtype.kind != "u" and array.min() < low:
        raise error(int(array.min()))
    if array.size and array.max() > high:
        raise error(int(array.max()))


def as_ids(ids: Any) -> np.ndarray:
    """`ids` as a C array (m,) int32; without a look at the values where the dtype is int32 already."""
    array = integer_array("ids", ids)
    if array.ndim != 1:
        raise ValueError(f"ids must have one axis (m,), got shape {array.shape}")
    if array.dtype != np.int32:
        within(array, 0, 2**31 - 1, bad_id)
    return np.ascontiguousarray(array, dtype=np.int32)


def as_codes(codes: Any, n_tables: int, m: int | None, n_buckets: int, keep: bool = False) -> np.ndarray:
    """`codes` as a C array (L, m) of uint32, or with `keep` of their own unsigned dtype."""
    array = integer_array("codes", codes)
    if array.ndim != 2 or array.shape[0] != n_tables or (m is not None and array.shape[1] != m):
        rows = "n" if m is None else m
        raise ValueError(f"codes must have shape (tables, rows) = ({n_tables}, {rows}), got {array.shape}")
    if array.dtype.kind != "u" or array.dtype.itemsize > 4:
        within(array, 0, n_buckets - 1, lambda code: bad_code(code, n_buckets))
    elif keep and array.dtype.isnative:
        return np.ascontiguousarray(array)
    return np.ascontiguousarray(array, dtype=np.uint32)


def check_parameters(n_tables: Any, n_buckets: Any, capacity: Any, policy: Any, seed: Any) -> tuple[int, int, int | None, str, int]:
    """The parameters of a store as plain values."""
    n_tables = integer("n_tables", n_tables, 1, 2**20)
    n_buckets = integer("n_buckets", n_buckets, 1, MAX_BUCKETS)
    if capacity is not None:
        capacity = integer("capacity", capacity, 1, UNBOUNDED)
    if not isinstance(policy, str) or policy not in _POLICIES:
        raise ValueError(f"policy must be one of {_POLICIES}, got {policy!r}")
    return n_tables, n_buckets, capacity, policy, integer("seed", seed, 0, 2**64 - 1)


def check_state(state: Any) -> tuple[tuple, list[np.ndarray]]:
    """The plain values and the arrays of a `state` that a store could have given; ValueError for any other."""
    names = ("version", "n_tables", "n_buckets", "capacity", "policy", "seed", "sizes", "ids", "seen", "dropped")
    if not isinstance(state, dict):
        raise ValueError(f"the state of a bucket store must be a dict, got {type(state).__name__}")
    for name in names:
        if name not in state:
            raise ValueError(f"the state of a bucket store lacks {name!r}; it must have {', '.join(names)}")
    version, tables, buckets, capacity, policy, seed = (state[name] for name in names[:6])
    if isinstance(version, (np.ndarray, bool)) or version != STATE_VERSION:
        raise ValueError(f"the state of a bucket store has version {version!r}, "
                         f"this program reads version {STATE_VERSION}")
    try:
        parameters = tables, buckets, capacity, policy, _ = check_parameters(tables, buckets, capacity, policy, seed)
        sampling = policy == "reservoir" and capacity is not None
        limit = UNBOUNDED if capacity is None else capacity
        counted = buckets if sampling else 0
        shapes = {"sizes": (tables, buckets), "ids": None, "seen": (tables, counted), "dropped": (tables,)}
        arrays = []
        for (name, shape), high in zip(shapes.items(), (limit, 2**31 - 1, 2**32 - 1, 2**62)):
            array = integer_array(name, state[name])
            if array.ndim != 1 if shape is None else array.shape != shape:
                raise ValueError(f"{name} has shape {array.shape}, expected {shape or '(entries,)'}")
            within(array, 0, high, functools.partial(outside, name, size=high + 1))
            arrays.append(array)
    except TypeError as error:
        raise ValueError(f"the state of a bucket store is damaged: {error}") from None
    sizes, ids, seen, _ = arrays
    total = int(sizes.sum(dtype=np.int64))
    if total != ids.size:
        raise ValueError(f"the state of a bucket store is damaged: sizes add up to {total} entries, "
                         f"but ids has {ids.size}")
    if sampling and (seen < sizes).any():
        raise ValueError("the state of a bucket store is damaged: a bucket holds more ids than it has seen arrive")
    return parameters, arrays
