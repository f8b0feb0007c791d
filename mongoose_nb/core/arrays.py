"""Arrays of the network: parameters with their optimiser state, batches as views of CSR rows, buffers that grow and stay."""

import dataclasses
import math

import numpy as np

from mongoose_nb.core.views import read_only

# Free bytes on either side of an array. The last bit of a gradient was seen to depend on where small arrays lie (3 of 24 runs of
# the tests of resuming; with this distance 0 of 40; once more when it was gone). The likely cause, not proved, is that compiled loops test
# at run time whether the array they write begins just behind one they read, and then take a scalar path.
GUARD = 1024


def aligned_zeros(shape, dtype=np.float32):
    """Zeros that start on a cache line, away from all other arrays: a row of 128 floats is then 8 lines, not 9. Untouched pages cost no
    memory."""
    dtype = np.dtype(dtype)
    size = math.prod(shape if isinstance(shape, tuple) else (shape,)) * dtype.itemsize
    raw = np.zeros(size + 2 * GUARD + 64, np.uint8)
    offset = GUARD + -(raw.ctypes.data + GUARD) % 64
    return raw[offset:offset + size].view(dtype).reshape(shape)


@dataclasses.dataclass(frozen=True)
class Rows:
    """Sparse rows: row i holds ``ids[start[i] : start[i] + count[i]]`` with `values` (or None); views, not copies, that are read-only."""

    start: np.ndarray  # (n,) int64
    count: np.ndarray  # (n,) int64
    ids: np.ndarray  # int32
    values: np.ndarray  # float32

    def __post_init__(self):
        for name in ("ids", "values"):
            array = getattr(self, name)
            if array is not None:
                object.__setattr__(self, name, read_only(array))

    @classmethod
    def of(cls, matrix, rows=None):
        """The rows of a canonical CSR matrix that a list or a slice names; all without one."""
        rows = slice(None) if rows is None else rows
        start, end = (pointers[rows].astype(np.int64) for pointers in (matrix.indptr[:-1], matrix.indptr[1:]))
        return cls(start, end - start, matrix.indices, matrix.data)

    @classmethod
    def empty(cls, n):
        """n rows without entries."""
        none = np.zeros(n, np.int64)
        return cls(none, none, np.zeros(0, np.int32), np.zeros(0, np.float32))

    def __len__(self):
        return len(self.start)

    def flat(self):
        """(sample, id) of every entry, in order."""
        sample = np.repeat(np.arange(len(self)), self.count)
        place = np.arange(len(sample)) - np.repeat(np.cumsum(self.count) - self.count, self.count)
        return sample, self.ids[np.repeat(self.start, self.count) + place]


class Parameter:
    """An array that is trained, with the optimiser's moments beside it (aliases of the array where a moment is not kept)."""

    def __init__(self, value):
        self.value = value
        self.m = value
        self.v = value

    def attach(self, optimizer):
        """Allocate the moments that `optimizer` keeps; moments that are there stay."""
        if optimizer.keeps_m and self.m is self.value:
            self.m = aligned_zeros(self.value.shape)
        if optimizer.keeps_v and self.v is self.value:
            self.v = aligned_zeros(optimizer.v_shape(self.value.shape))

    def arrays(self, name):
        """Everything to be saved, by name."""
        out = {name: self.value}
        if self.m is not self.value:
            out[f"{name}.m"] = self.m
        if self.v is not self.value:
            out[f"{name}.v"] = self.v
        return out

    def restore(self, name, arrays):
        """Take back what `arrays` gave, in place."""
        self.value[...] = arrays[name]
        for moment in "mv":
            if f"{name}.{moment}" in arrays:
                if getattr(self, moment) is self.value:
                    setattr(self, moment, aligned_zeros(arrays[f"{name}.{moment}"].shape))
                getattr(self, moment)[...] = arrays[f"{name}.{moment}"]


class Buffers:
    """Scratch arrays by name, grown when a larger one is asked for and never given back: no allocation in a steady step."""

    def __init__(self):
        self._arrays = {}

    def get(self, name, shape, dtype=np.float32):
        """An array of this shape, whose contents are whatever was last there (zeros at first)."""
        shape = shape if isinstance(shape, tuple) else (shape,)
        size = math.prod(shape)
        have = self._arrays.get(name)
        if have is None or have.size < size:
            have = self._arrays[name] = aligned_zeros(max(size, 1 if have is None else size + size // 4), dtype)
        return have[:size].reshape(shape)
