"""Arrays of models: parameters with their optimiser state, batches as views of CSR rows, scratch memory."""

from __future__ import annotations

import dataclasses
import math
import sys
from typing import Any

import numpy as np

# Free bytes on either side of an array. Without them the last bit of a gradient sometimes depended on where small arrays lie: compiled
# loops probably take a scalar path where the array that they write starts just behind one that they read.
GUARD = 1024


def read_only(array: np.ndarray) -> np.ndarray:
    """A read-only view.

    To Numba, an array that may be written is another type. A kernel that only reads is always given a read-only view, and is compiled once.

    Parameters
    ----------
    array : np.ndarray

    Returns
    -------
    np.ndarray
    """
    view = array.view(np.ndarray)
    view.flags.writeable = False
    return view


def aligned_zeros(shape: int | tuple[int, ...], dtype: Any = np.float32) -> np.ndarray:
    """An array of zeros that starts on a cache line, with free bytes around it. Untouched pages cost no memory."""
    dtype = np.dtype(dtype)
    size = math.prod(shape if isinstance(shape, tuple) else (shape,)) * dtype.itemsize
    raw = np.zeros(size + 2 * GUARD + 64, np.uint8)
    offset = GUARD + -(raw.ctypes.data + GUARD) % 64
    return raw[offset:offset + size].view(dtype).reshape(shape)


@dataclasses.dataclass(frozen=True)
class Rows:
    """Sparse rows: row i holds ``ids[start[i] : start[i] + count[i]]`` with `values` (or None), as read-only views.

    Parameters
    ----------
    start, count : (n,) int64 array
    ids : int32 array
    values : float32 array or None
    """

    start: np.ndarray
    count: np.ndarray
    ids: np.ndarray
    values: np.ndarray

    def __post_init__(self) -> None:
        for name in ("ids", "values"):
            array = getattr(self, name)
            if array is not None:
                object.__setattr__(self, name, read_only(array))

    @classmethod
    def of(cls, matrix: Any, rows: Any = None) -> Rows:
        """The rows of a canonical CSR matrix that a list or a slice names; all without one."""
        rows = slice(None) if rows is None else rows
        start, end = (pointers[rows].astype(np.int64) for pointers in (matrix.indptr[:-1], matrix.indptr[1:]))
        return cls(start, end - start, matrix.indices, matrix.data)

    @classmethod
    def empty(cls, n: int) -> Rows:
        """n rows without entries."""
        none = np.zeros(n, np.int64)
        return cls(none, none, np.zeros(0, np.int32), np.zeros(0, np.float32))

    def __len__(self) -> int:
        return len(self.start)

    def places(self) -> tuple[np.ndarray, np.ndarray]:
        """(sample, place in `ids`) of every entry, in order."""
        sample = np.repeat(np.arange(len(self)), self.count)
        return sample, np.arange(len(sample)) + np.repeat(self.start - np.cumsum(self.count) + self.count, self.count)

    def flat(self) -> tuple[np.ndarray, np.ndarray]:
        """(sample, id) of every entry, in order."""
        sample, place = self.places()
        return sample, self.ids[place]


class Parameter:
    """An array that is trained, with the moments of the optimiser beside it.

    Parameters
    ----------
    value : np.ndarray
        Weights are matrices, biases and gains are vectors.
    lr_factor : float
        Factor on the optimiser's learning rate for this array. Weight decay does not see it.

    Attributes
    ----------
    value : np.ndarray
        Always the same array: training writes into it.
    lr_factor : float
    m, v : np.ndarray
        First and second moment; where the optimiser does not keep one, it is `value` itself.
    """

    def __init__(self, value: np.ndarray, lr_factor: float = 1.0) -> None:
        self.value, self.lr_factor = value, lr_factor
        self.m = value
        self.v = value

    @property
    def decays(self) -> bool:
        """Whether weight decay applies: to matrices, not to vectors."""
        return self.value.ndim > 1

    def attach(self, optimizer: Any) -> None:
        """Allocate the moments that `optimizer` keeps; moments that are there stay."""
        if optimizer.keeps_m and self.m is self.value:
            self.m = aligned_zeros(self.value.shape)
        if optimizer.keeps_v and self.v is self.value:
            self.v = aligned_zeros(optimizer.v_shape(self.value.shape))

    def forget_moments(self) -> None:
        """Start the moments anew. Zeros that nobody has written take no memory."""
        for part in ("m", "v"):
            moment = getattr(self, part)
            if moment is not self.value:
                setattr(self, part, aligned_zeros(moment.shape))

    def arrays(self, name: str) -> dict:
        """The value and the moments that are kept, under `name`, ``name.m`` and ``name.v``."""
        moments = {f"{name}.m": self.m, f"{name}.v": self.v}
        return {name: self.value} | {key: moment for key, moment in moments.items() if moment is not self.value}


def parameter_arrays(parameters: dict, moments: bool = True) -> dict:
    """The arrays of parameters, for saving.

    Parameters
    ----------
    parameters : dict of str to Parameter
    moments : bool
        Whether to add the optimiser's moments.

    Returns
    -------
    dict of str to np.ndarray
    """
    out: dict[str, np.ndarray] = {}
    for name, parameter in parameters.items():
        out.update(parameter.arrays(name) if moments else {name: parameter.value})
    return out


def at_half_precision(arrays: dict) -> dict:
    """Arrays rounded to float16, of which a parameter is restored as well as of float32.

    Parameters
    ----------
    arrays : dict of str to np.ndarray

    Raises
    ------
    ValueError
        If a number is too large.
    """
    largest = np.finfo(np.float16).max
    for name, array in arrays.items():
        if array.size and not np.abs(array).max() <= largest:
            raise ValueError(f"{name!r} holds numbers beyond {largest:g}, the largest of half precision; save it without half=True")
    return {name: array.astype(np.float16) for name, array in arrays.items()}


def restore_parameters(parameters: dict, arrays: dict) -> None:
    """Put back what `parameter_arrays` gave, in place.

    Parameters
    ----------
    parameters : dict of str to Parameter
    arrays : dict of str to np.ndarray
        Moments that are missing start anew, from zero. Other arrays are ignored.

    Raises
    ------
    ValueError
        If a value is missing, or if an array has another shape than the parameter needs.
    """
    for name, parameter in parameters.items():
        for part in ("", ".m", ".v"):
            saved = arrays.get(name + part)
            own = getattr(parameter, part[1:] or "value")
            if saved is None:
                if not part:
                    raise ValueError(f"{name!r} is missing")
                if own is not parameter.value and own.any():
                    own[...] = 0
                continue
            if saved.shape == (1, *parameter.value.shape):  # files of format version 1 hold biases as matrices of one row
                saved = saved[0]
            if part and own is parameter.value:  # the file was written by a model with another optimiser
                own = aligned_zeros(saved.shape)
                setattr(parameter, part[1:], own)
            if saved.shape != own.shape:
                raise ValueError(f"{name + part!r} has shape {saved.shape}, the model needs {own.shape}")
            own[...] = saved


class Buffers:
    """Scratch arrays by name, kept from step to step: a training in its course allocates nothing large.

    A copy or a pickle of it is empty.
    """

    def __init__(self) -> None:
        self._arrays: dict[str, np.ndarray] = {}
        self._free: dict[str, int] = {}  # references to the memory of an array that nobody uses, by name

    def __reduce__(self):
        return Buffers, ()

    def get(self, name: str, shape: int | tuple[int, ...], dtype: Any = np.float32) -> np.ndarray:
        """An array of this shape with undefined contents."""
        shape = shape if isinstance(shape, tuple) else (shape,)
        size = math.prod(shape)
        have = self._arrays.get(name)
        if have is None or have.size < size:
            have = self._arrays[name] = aligned_zeros(max(size, 1 if have is None else size + size // 4), dtype)
        return have[:size].reshape(shape)

    def lend(self, name: str, shape: int | tuple[int, ...], dtype: Any = np.float32) -> np.ndarray:
        """As `get`, but never an array that is still in use: where anything refers to the array that was lent last under this name, or to
        a view of it, the result is another array."""
        have = self._arrays.get(name)
        if have is not None and sys.getrefcount(have.base) != self._free[name]:
            del self._arrays[name]
        out = self.get(name, shape, dtype)
        kept = self._arrays[name]
        if kept is not have:
            self._free[name] = sys.getrefcount(kept.base) - 1  # `out` refers to it, too
        return out
