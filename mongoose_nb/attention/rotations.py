"""Directions for angular hashing: random, orthogonal, or given by the user."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from mongoose_nb.core.streams import stream
from mongoose_nb.core.validation import check_choice, check_int


def count_buckets(length: int, bucket_size: int) -> int:
    """Number of buckets for so many tokens: even, of about `bucket_size` tokens each, or one where that holds them all."""
    length, bucket_size = check_int("length", length, low=0), check_int("bucket_size", bucket_size, low=1)
    return 1 if length <= bucket_size else 2 * -(-length // (2 * bucket_size))


@functools.lru_cache(maxsize=8)
def draw_rotations(kind: str, heads: int, rounds: int, width: int, columns: int, seed: int, step: int = 0) -> np.ndarray:
    """Random directions, the same for equal arguments; the first columns do not depend on how many there are.

    Parameters
    ----------
    kind : {"random", "orthogonal"}
        Gaussian, or Gaussian made orthogonal in groups of `width` with lengths as before: nearer to evenly filled buckets.
    heads, rounds, width, columns : int
    seed, step : int
        Keys.

    Returns
    -------
    (heads, rounds, columns, width) float64, read-only
    """
    check_choice("rotations", kind, ("random", "orthogonal"))
    for name, n in (("heads", heads), ("rounds", rounds), ("width", width)):
        check_int(name, n, low=1)
    check_int("columns", columns, low=0)
    out = np.empty((heads, rounds, columns, width))
    for r in range(rounds):
        for h in range(heads):
            rng = stream(seed, "rotations", step, r, h)
            whole = rng.standard_normal((-(-columns // width) * width if kind == "orthogonal" else columns, width))
            if kind == "orthogonal":
                for lo in range(0, columns, width):
                    block = whole[lo:lo + width]
                    basis = np.linalg.qr(block.T)[0].T
                    block[:] = basis * np.linalg.norm(block, axis=1, keepdims=True)
            out[h, r] = whole[:columns]
    out.flags.writeable = False
    return out


def check_rotations(rotations: Any, rounds: int) -> Any:
    """Refuse what cannot be `rotations` for any heads and width; else they are returned."""
    if isinstance(rotations, str):
        return check_choice("rotations", rotations, ("random", "orthogonal"))
    array = np.asarray(getattr(rotations, "value", rotations))
    if array.ndim not in (3, 4) or array.shape[-3] != rounds or array.dtype.kind not in "fiu" or 0 in array.shape:
        raise ValueError(f"rotations must be 'random', 'orthogonal', or an array of numbers (heads, rounds, width, columns) with {rounds} "
                         f"rounds, heads optional, and at least one column; got {array.dtype} {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError("rotations must be finite; there is a NaN or an infinity among them")
    return rotations


def as_directions(rotations: str | np.ndarray, heads: int, rounds: int, width: int, columns: int, dtype: np.typing.DTypeLike, seed: int,
                  step: int) -> np.ndarray:
    """`rotations` for a kernel, (heads, rounds * columns, width): drawn where a name is given, else the first columns of an array.

    Arrays are (rounds, width, columns) for all heads, or (heads, rounds, width, columns).
    """
    if isinstance(rotations, str):
        array = draw_rotations(rotations, heads, rounds, width, columns, seed, step)
    else:
        array = np.asarray(rotations)
        if array.ndim == 3:
            array = np.broadcast_to(array, (heads, *array.shape))
        if array.ndim != 4 or array.shape[:3] != (heads, rounds, width) or array.shape[3] < columns:
            raise ValueError(f"rotations must be 'random', 'orthogonal', or an array (heads, rounds, width, columns) = "
                             f"({heads}, {rounds}, {width}, at least {columns}), heads optional; got shape {np.shape(rotations)}")
        array = array[..., :columns].transpose(0, 1, 3, 2)
    out = np.ascontiguousarray(array, dtype).reshape(heads, rounds * columns, width)
    out.flags.writeable = False  # arrays that may be written are another type to a kernel, to be compiled for again
    return out
