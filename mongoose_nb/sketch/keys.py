"""Keys of sketches: integers as they are, strings and bytes hashed to words of 64 bits."""

from __future__ import annotations

from typing import Any

import numpy as np

from mongoose_nb.core.arrays import read_only
from mongoose_nb.core.threads import ROWS_FROM

#: seed of the hash of strings; sketches mix their own seed in later
_STRINGS = 0x57121265


def as_keys(keys: Any) -> np.ndarray:
    """Keys as words of 64 bits.

    Parameters
    ----------
    keys : int, str, bytes, or an array or list of one of these
        Integers keep their value modulo 2^64, so -1 and 2^64 - 1 are one key. Strings count as their UTF-8 bytes.

    Returns
    -------
    (n,) uint64 array

    Raises
    ------
    TypeError
        For other keys; floats among them, because two that print alike may differ.
    """
    if isinstance(keys, int | np.integer | str | bytes) and not isinstance(keys, bool):
        keys = [keys]
    if not isinstance(keys, np.ndarray):
        if not isinstance(keys, list | tuple):
            raise TypeError(f"keys is a {type(keys).__name__}; give an integer, str or bytes, or a list or array of them")
        kinds = {bytes if isinstance(key, bytes) else str if isinstance(key, str) else int if isinstance(key, int | np.integer)
                 and not isinstance(key, bool) else type(key) for key in keys}
        if kinds <= {str, bytes}:
            return _hashed([key.encode() if isinstance(key, str) else key for key in keys])
        if kinds != {int}:
            raise TypeError(f"keys holds {sorted(kind.__name__ for kind in kinds)}; give integers, or str and bytes")
        if any(not -(1 << 63) <= key < 1 << 64 for key in map(int, keys)):
            raise ValueError("keys holds an integer of more than 64 bits; give it as bytes or as a string")
        return read_only(np.array([int(key) & 0xFFFFFFFFFFFFFFFF for key in keys], np.uint64))
    if keys.ndim != 1:
        raise ValueError(f"keys has shape {keys.shape}; give one dimension, a key in each place")
    if keys.dtype.kind in "US":
        return as_keys(keys.tolist())
    if keys.dtype.kind not in "iu":
        raise TypeError(f"keys has dtype {keys.dtype}; give integers or strings")
    return read_only(np.ascontiguousarray(keys).astype(np.uint64, copy=False))


def _hashed(keys):
    from mongoose_nb.kernels.sketch.bits import hash_bytes, hash_few_bytes

    starts = np.zeros(len(keys) + 1, np.int64)
    np.cumsum([len(key) for key in keys], out=starts[1:])
    out = np.empty(len(keys), np.uint64)
    hash_them = hash_few_bytes if len(keys) < ROWS_FROM else hash_bytes
    hash_them(read_only(np.frombuffer(b"".join(keys), np.uint8)), read_only(starts), np.uint64(_STRINGS), out)
    return read_only(out)
