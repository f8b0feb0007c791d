"""How rows are kept: dense float32, sparse, or bits. One class each, with the same methods.

A *batch* is rows that have been checked and brought to the form in which they are kept; a *slot* is the place of a row. Arrays have room
for a quarter more than is needed when they are made, so that adding costs O(1) copies a row, and none soon after a bulk load. Room that
was never written to is not in memory: the system hands out pages at the first write.
"""

import functools
import math

import numpy as np

from mongoose_nb.core.arrays import read_only
from mongoose_nb.hashing.arguments import as_float32

_LINE = 64
GROWTH = 4  # room is made for one part in so many


@functools.cache
def kernels():
    """Those of single rows, imported when they are needed, and once: the statement alone takes as long as a check of a row."""
    from mongoose_nb.kernels.search import project

    return project


def check_finite(values):
    """Refuse NaN and infinity in a read-only array."""
    if not kernels().all_finite(values.reshape(-1)):
        raise ValueError("rows hold NaN or infinity (in float32); replace them first, for instance with numpy.nan_to_num")


def _contiguous(X):
    """X as the kernels want it, read-only. `numpy.require` alone takes as long as a tenth of a query."""
    flags = X.flags
    return read_only(X if flags.c_contiguous and flags.aligned else np.require(X, None, ["C", "A"]))


def is_sparse(X):
    """Whether X is a SciPy sparse matrix or array."""
    return hasattr(X, "tocsr") and hasattr(X, "format")


def _two_axes(X, dim):
    if X.ndim == 1:
        X = X[None, :]
    if X.ndim != 2 or X.shape[1] != dim:
        raise ValueError(f"rows have shape {X.shape}; this index holds rows of dim={dim}: give (n, {dim}) or ({dim},)")
    return X


def zeros(shape, dtype):
    """Zeros that begin at a cache line: where rows are whole lines, none lies across one more."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    raw = np.zeros(size + _LINE, np.uint8)
    start = -raw.ctypes.data % _LINE
    return raw[start:start + size].view(dtype).reshape(shape)


def grown(array, need):
    """An array with at least `need` rows, and the same ones at its beginning."""
    if need <= len(array):
        return array
    out = zeros((need + need // GROWTH + 16, *array.shape[1:]), array.dtype)
    out[:len(array)] = array
    return out


class DenseRows:
    """Rows of float32. For cosine they are kept at length one."""

    kind = "dense"

    def __init__(self, dim, metric):
        self.dim, self.metric = dim, metric
        self.X = np.zeros((0, dim), np.float32)

    def check(self, X):
        """A batch: (n, dim) float32."""
        if is_sparse(X):
            X = X.toarray()
        X = _contiguous(_two_axes(as_float32(X, "X"), self.dim))
        check_finite(X)
        if self.metric == "cosine":
            out = np.empty(X.shape, np.float32)
            kernels().unit_rows(X, out)
            X = read_only(out)
        return X

    def count(self, batch):
        """Rows of a batch."""
        return len(batch)

    def part(self, batch, lo, hi):
        """Rows lo to hi of a batch."""
        return batch[lo:hi]

    def put(self, slots, batch, need):
        """Keep a batch in these slots, which are below `need`."""
        self.X = grown(self.X, need)
        if len(slots) == 1:  # a fifth of the time of the other
            self.X[int(slots[0])] = batch[0]
        else:
            self.X[slots] = batch

    def take(self, slots):
        """The batch in these slots."""
        return self.X[slots]

    def restrict(self, slots):
        """Keep these slots only, as 0, 1, ..."""
        self.X = self.X[slots]

    def matrix(self, batch):
        """A batch as a user sees it."""
        return np.array(batch)

    def row_bytes(self, stored=None):
        """Bytes of a row."""
        return 4 * self.dim

    @property
    def nbytes(self):
        """Bytes of all arrays."""
        return self.X.nbytes

    def arrays(self, used):
        """What is saved."""
        return {"X": self.X[:used]}

    def restore(self, arrays, used):
        """Take back what `arrays` gave."""
        self.X = arrays["X"]
        if self.X.shape != (used, self.dim) or self.X.dtype != np.float32:
            raise ValueError(f"the saved rows have shape {self.X.shape} and dtype {self.X.dtype}; ({used}, {self.dim}) float32 belongs "
                             "there")


class SparseRows:
    """Rows of (column, value) pairs in one pool; of sets, columns alone. For cosine they are kept at length one.

    A row that is changed goes to the end of the pool; when half of the pool is left behind, it is packed.
    """

    kind = "sparse"

    def __init__(self, dim, metric):
        self.dim, self.metric = dim, metric
        self.sets = metric == "jaccard"
        self.starts = np.zeros(0, np.int64)
        self.sizes = np.zeros(0, np.int32)
        self.indices = np.zeros(0, np.int32)
        self.values = np.zeros(0, np.float32)
        self.tail = 0
        self.held = 0

    def check(self, X):
        """A batch: (indptr, indices, values) of CSR rows with ascending columns, without repeats (of sets: without zeros)."""
        from scipy import sparse

        if is_sparse(X):
            if X.format != "csr":
                raise TypeError(f"X is sparse in format {X.format!r}; rows are read from CSR: pass X.tocsr()")
            if len(X.shape) != 2 or X.shape[1] != self.dim:
                raise ValueError(f"rows have shape {X.shape}; this index holds rows of dim={self.dim}")
            inside = not X.indices.size or (X.indices.min() >= 0 and X.indices.max() < self.dim)
            if not inside or X.indptr[0] != 0 or (np.diff(X.indptr) < 0).any():  # the kernels index without checks
                raise ValueError(f"X is a broken CSR matrix: indices must lie in [0, {self.dim}) and indptr start at 0 and not decrease")
        else:
            X = np.asarray(X)
            X = sparse.csr_matrix(_two_axes(X if X.dtype == bool else as_float32(X, "X"), self.dim))
        if not X.has_canonical_format:
            X = X.copy()
            X.sum_duplicates()
        if self.sets and X.nnz and not (X.data != 0).all():
            X = X.copy()
            X.eliminate_zeros()
        indptr = np.ascontiguousarray(X.indptr, np.int64)
        values = np.zeros(0, np.float32)
        if not self.sets:
            values = np.ascontiguousarray(as_float32(X.data, "X")[:indptr[-1]])
            check_finite(read_only(values))
            if self.metric == "cosine":
                wide = values.astype(np.float64)
                sums = np.concatenate([[0.0], np.cumsum(wide * wide)])
                length = np.sqrt(np.maximum(sums[indptr[1:]] - sums[indptr[:-1]], 0))
                if len(length) > 1:  # differences of running sums lose small rows beside large ones
                    length = np.sqrt(np.bincount(np.repeat(np.arange(len(length)), np.diff(indptr)), wide * wide, len(length)))
                length[length == 0] = 1
                values = (wide / np.repeat(length, np.diff(indptr))).astype(np.float32)
        indices = np.ascontiguousarray(X.indices[:indptr[-1]], np.int32)
        return tuple(read_only(part) for part in (indptr, indices, np.ascontiguousarray(values)))

    def count(self, batch):
        """Rows of a batch."""
        return len(batch[0]) - 1

    def part(self, batch, lo, hi):
        """Rows lo to hi of a batch."""
        indptr, indices, values = batch
        a, b = indptr[lo], indptr[hi]
        return read_only(indptr[lo:hi + 1] - a), indices[a:b], values if self.sets else values[a:b]

    def put(self, slots, batch, need):
        """Keep a batch in these slots, which are below `need`."""
        indptr, indices, values = batch
        self.starts, self.sizes = grown(self.starts, need), grown(self.sizes, need)
        sizes = np.diff(indptr)
        self.held += int(indptr[-1]) - int(self.sizes[slots].sum(dtype=np.int64))
        self.sizes[slots] = 0
        end = self.tail + len(indices)
        if end > len(self.indices) and self.tail > 2 * self.held + 1024:
            self._pack()
            end = self.tail + len(indices)
        self.indices = grown(self.indices, end)
        self.indices[self.tail:end] = indices
        if not self.sets:
            self.values = grown(self.values, end)
            self.values[self.tail:end] = values
        self.starts[slots] = self.tail + indptr[:-1]
        self.sizes[slots] = sizes
        self.tail = end

    def _places(self, slots):
        sizes = self.sizes[slots].astype(np.int64)
        ends = np.cumsum(sizes)
        return sizes, np.repeat(self.starts[slots] - (ends - sizes), sizes) + np.arange(ends[-1] if len(ends) else 0)

    def _pack(self):
        sizes, places = self._places(np.arange(len(self.sizes)))
        self.indices = self.indices[places]
        if not self.sets:
            self.values = self.values[places]
        self.starts = np.cumsum(sizes) - sizes
        self.tail = self.held = int(sizes.sum())

    def take(self, slots):
        """The batch in these slots."""
        sizes, places = self._places(slots)
        values = self.values if self.sets else self.values[places]
        return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64), self.indices[places], values

    def restrict(self, slots):
        """Keep these slots only, as 0, 1, ..."""
        self.starts, self.sizes = self.starts[slots], self.sizes[slots]
        self._pack()

    def matrix(self, batch):
        """A batch as a user sees it."""
        from scipy import sparse

        indptr, indices, values = batch
        values = np.ones(len(indices), np.float32) if self.sets else np.array(values)
        return sparse.csr_matrix((values, np.array(indices), np.array(indptr)), shape=(len(indptr) - 1, self.dim))

    def row_bytes(self, stored):
        """Bytes of a row with so many columns."""
        return (4 if self.sets else 8) * stored + 12

    @property
    def nbytes(self):
        """Bytes of all arrays."""
        return self.starts.nbytes + self.sizes.nbytes + self.indices.nbytes + self.values.nbytes

    def arrays(self, used):
        """What is saved."""
        return {"starts": self.starts[:used], "sizes": self.sizes[:used], "indices": self.indices[:self.tail],
                "values": self.values[:0 if self.sets else self.tail]}

    def restore(self, arrays, used):
        """Take back what `arrays` gave."""
        self.starts, self.sizes, self.indices, self.values = (arrays[name] for name in ("starts", "sizes", "indices", "values"))
        self.tail, self.held = len(self.indices), int(self.sizes.sum(dtype=np.int64))
        if (self.starts.shape != (used,) or self.sizes.shape != (used,) or (self.sizes < 0).any() or (self.starts < 0).any()
                or self.starts.dtype != np.int64 or self.sizes.dtype != np.int32 or self.indices.dtype != np.int32
                or self.values.dtype != np.float32 or (self.starts + self.sizes > self.tail).any()
                or len(self.values) != (0 if self.sets else self.tail)
                or (self.tail and (self.indices.min() < 0 or self.indices.max() >= self.dim))):
            raise ValueError("the saved sparse rows do not fit each other")


class BitRows:
    """Rows of bits in uint64 words."""

    kind = "bits"

    def __init__(self, dim, metric):
        self.dim, self.metric = dim, metric
        self.X = np.zeros((0, -(-dim // 64)), np.uint64)

    def check(self, X):
        """A batch: (n, words) uint64, from rows of zeros and ones (or booleans)."""
        X = _two_axes(X.toarray() if is_sparse(X) else np.asarray(X), self.dim)
        if X.dtype != bool:
            ones = X == 1
            if not (ones | (X == 0)).all():
                raise ValueError("rows must hold zeros and ones (or booleans) for metric 'hamming'; compare numbers with metric 'l2'")
            X = ones
        out = np.zeros((len(X), self.X.shape[1] * 8), np.uint8)
        packed = np.packbits(X, axis=1, bitorder="little")
        out[:, :packed.shape[1]] = packed
        return read_only(out.view("<u8").astype(np.uint64, copy=False))

    def bits(self, batch):
        """A batch as booleans (n, dim)."""
        return np.unpackbits(np.ascontiguousarray(batch).astype("<u8", copy=False).view(np.uint8), axis=1, count=self.dim,
                             bitorder="little").view(bool)

    count, part, put, take, restrict = DenseRows.count, DenseRows.part, DenseRows.put, DenseRows.take, DenseRows.restrict
    nbytes, arrays = DenseRows.nbytes, DenseRows.arrays

    def matrix(self, batch):
        """A batch as a user sees it."""
        return self.bits(batch)

    def row_bytes(self, stored=None):
        """Bytes of a row."""
        return 8 * self.X.shape[1]

    def restore(self, arrays, used):
        """Take back what `arrays` gave."""
        X = arrays["X"]
        if X.shape != (used, self.X.shape[1]) or X.dtype != np.uint64:
            raise ValueError(f"the saved rows have shape {X.shape} and dtype {X.dtype}; ({used}, {self.X.shape[1]}) uint64 belongs there")
        self.X = X
