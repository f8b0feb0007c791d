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
        kinds = {_kind(kind) for kind in set(map(type, keys))}
        if kinds == {str}:
            text = "".join(keys)
            if text.isascii():  # one byte a letter
                return _hashed(text.encode(), map(len, keys), len(keys))
        if kinds <= {str, bytes}:
            keys = [key.encode() if isinstance(key, str) else key for key in keys]
            return _hashed(b"".join(keys), map(len, keys), len(keys))
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


def _kind(kind):
    """What a type counts as; bool is no integer here."""
    if kind is bool:
        return bool
    return next((base for base in (bytes, str, int) if issubclass(kind, base)), int if issubclass(kind, np.integer) else kind)


def _hashed(text, lengths, n):
    """Hashes of n strings that `text` holds one after the other."""
    from mongoose_nb.kernels.sketch.bits import hash_bytes, hash_few_bytes

    starts = np.zeros(n + 1, np.int64)
    np.cumsum(np.fromiter(lengths, np.int64, n), out=starts[1:])
    out = np.empty(n, np.uint64)
    (hash_few_bytes if n < ROWS_FROM else hash_bytes)(read_only(np.frombuffer(text, np.uint8)), read_only(starts), np.uint64(_STRINGS), out)
    return read_only(out)
