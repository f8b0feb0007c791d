"""Sparse rows, and sets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from mongoose_nb.core.arrays import read_only
from mongoose_nb.core.registry import register
from mongoose_nb.core.validation import unmasked
from mongoose_nb.hashing.arguments import as_float32
from mongoose_nb.hashing.rows import check_csr, is_sparse
from mongoose_nb.search.columns import NARROW, ColumnTable
from mongoose_nb.search.rows.base import LONGEST, UNIT, RowStore, check_numbers, grown, own, scan_csr, too_long, two_axes

if TYPE_CHECKING:
    from mongoose_nb.search.metrics import Metric
    from mongoose_nb.search.rows.base import Batch

_NAMES = ("starts", "sizes", "indices", "values")
# Members that float32 counts one by one; more may be common to sets that are larger alone.
MOST_COUNTED = 2**24


@register("row store", "sparse")
class SparseRows(RowStore):
    """Rows of (column, value) pairs in one pool; of sets, columns alone.

    A row that is changed goes to the end of the pool. When half of the pool is left behind, it is packed.
    """

    sparse = True

    def __init__(self, metric: Metric, dim: int) -> None:
        super().__init__(metric, dim)
        self.sets = metric.sets  # columns alone are kept
        self.starts = np.zeros(0, np.int64)
        self.sizes = np.zeros(0, np.int32)
        self.indices = np.zeros(0, np.int32)
        self.values = np.zeros(0, np.float32)
        self.tail = 0
        self.held = 0

    def check(self, X: Any) -> Batch:
        """A batch: (indptr, indices, values) of CSR rows with ascending columns, without repeats (of sets: without zeros)."""
        from scipy import sparse

        if is_sparse(X):
            check_csr(X, self.dim)
        else:
            X = unmasked(X, "X")
            X = sparse.csr_matrix(two_axes(X if X.dtype == bool else as_float32(X, "X"), self.dim))
        if not X.has_canonical_format:
            data = X.data.astype(np.float64) if X.data.dtype.kind in "iu" else X.data  # sums of small integers would overflow
            X = sparse.csr_matrix((data, X.indices, X.indptr), X.shape, copy=True)
            X.sum_duplicates()
        if self.sets and X.data.dtype.kind == "f" and np.isnan(X.data[:X.indptr[-1]]).any():
            raise ValueError("rows hold NaN; a member of a set is a column that is not zero: replace NaN first")
        if self.sets and X.nnz and not (X.data != 0).all():
            X = X.copy()
            X.eliminate_zeros()
        indptr = np.ascontiguousarray(X.indptr, np.int64)
        values = np.zeros(0, np.float32)
        if not self.sets:
            values = np.ascontiguousarray(as_float32(X.data, "X")[:indptr[-1]])
            check_numbers(read_only(values)[None, :], False)
            if self.squared and _longest(indptr, values) > LONGEST:
                raise too_long()
            if self.metric.unit:
                values = _unit(indptr, values)
        indices = np.ascontiguousarray(X.indices[:indptr[-1]], np.int32)
        return tuple(read_only(part) for part in (indptr, indices, np.ascontiguousarray(values)))

    def count(self, batch: Batch) -> int:
        return len(batch[0]) - 1

    def part(self, batch: Batch, lo: int, hi: int) -> Batch:
        indptr, indices, values = batch
        a, b = indptr[lo], indptr[hi]
        return read_only(indptr[lo:hi + 1] - a), indices[a:b], values if self.sets else values[a:b]

    def reserve(self, slots: np.ndarray, batch: Batch, need: int) -> None:
        self.starts, self.sizes = grown(self.starts, need), grown(self.sizes, need)
        end = self.tail + len(batch[1])
        if end > len(self.indices):
            held = self.held + len(batch[1]) - int(self.sizes[slots].sum(dtype=np.int64))
            if self.tail > 2 * held + 1024:
                self._pack()
                end = self.tail + len(batch[1])
            self.indices = grown(self.indices, end)
        if not self.sets:
            self.values = grown(self.values, end)

    def put(self, slots: np.ndarray, batch: Batch, need: int) -> None:
        self.reserve(slots, batch, need)
        indptr, indices, values = batch
        end = self.tail + len(indices)
        self.indices[self.tail:end] = indices
        if not self.sets:
            self.values[self.tail:end] = values
        self.held += len(indices) - int(self.sizes[slots].sum(dtype=np.int64))
        self.starts[slots] = self.tail + indptr[:-1]
        self.sizes[slots] = np.diff(indptr)
        self.tail = end

    def _places(self, slots):
        sizes = self.sizes[slots].astype(np.int64)
        ends = np.cumsum(sizes)
        return sizes, np.repeat(self.starts[slots] - (ends - sizes), sizes) + np.arange(ends[-1] if len(ends) else 0)

    def _pack(self):
        sizes, places = self._places(np.arange(len(self.sizes)))
        self.indices, self.values = self.indices[places], self.values if self.sets else self.values[places]
        self.starts = np.cumsum(sizes) - sizes
        self.tail = self.held = int(sizes.sum())

    def take(self, slots: np.ndarray) -> Batch:
        sizes, places = self._places(slots)
        values = self.values if self.sets else self.values[places]
        return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64), self.indices[places], values

    def restrict(self, slots: np.ndarray) -> None:
        self.starts, self.sizes = self.starts[slots], self.sizes[slots]
        self._pack()

    def matrix(self, batch: Batch) -> Any:
        from scipy import sparse

        indptr, indices, values = batch
        values = np.ones(len(indices), np.float32) if self.sets else np.array(values)
        return sparse.csr_matrix((values, np.array(indices), np.array(indptr)), shape=(len(indptr) - 1, self.dim))

    def row_bytes(self, stored: float | None = None) -> float:
        return (4 if self.sets else 8) * (self.dim if stored is None else stored) + 12

    @property
    def nbytes(self) -> int:
        return sum(getattr(self, name).nbytes for name in _NAMES)

    def state(self, used: int) -> dict[str, np.ndarray]:
        return {"starts": self.starts[:used], "sizes": self.sizes[:used], "indices": self.indices[:self.tail],
                "values": self.values[:0 if self.sets else self.tail]}

    def restore(self, state: dict[str, np.ndarray], used: int, frozen: bool) -> None:
        starts, sizes, indices, values = (state[name] for name in _NAMES)
        tail = len(indices)
        if (starts.shape != (used,) or sizes.shape != (used,) or (sizes < 0).any() or (starts < 0).any() or starts.dtype != np.int64
                or sizes.dtype != np.int32 or indices.dtype != np.int32 or values.dtype != np.float32 or (starts + sizes > tail).any()
                or len(values) != (0 if self.sets else tail) or (tail and (indices.min() < 0 or indices.max() >= self.dim))):
            raise ValueError("the saved sparse rows do not fit each other")
        self.tail, self.held = tail, int(sizes.sum(dtype=np.int64))
        self.starts, self.sizes, self.indices, self.values = (
            array if frozen else own(array) for array in (starts, sizes, indices, values))

    def arrays(self, slots: int) -> tuple:
        return tuple(scan_csr().Pool(read_only(self.starts[:slots]), read_only(self.sizes[:slots]), read_only(self.indices[None, :]),
                                 read_only(self.values[None, :])))

    def search(self, arrays: tuple, batch: Batch, buckets: tuple, probes: tuple, coordinates: tuple, sketches: tuple, scratch: tuple,
               found: tuple) -> None:
        scan_csr().search_csr(batch, buckets, probes, coordinates, sketches, arrays, self.form, scratch, found)

    def measure(self, arrays: tuple, batch: Batch, indptr: np.ndarray, slots: np.ndarray, scratch: tuple, out: np.ndarray) -> None:
        scan_csr().measure_csr(batch, arrays, self.form, scratch[2], indptr, slots, out)

    def scores(self, arrays: tuple, batch: Batch, step: int) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        indptr, indices, values = batch
        errors = self._errors(arrays, batch)
        sizes, lengths, sets = np.diff(indptr), arrays[1], self.sets
        places, width, table = indices, self.dim, ColumnTable(None)
        if self.dim > NARROW:  # columns of the queries alone
            columns, places = np.unique(indices, return_inverse=True)
            width, table = len(columns), ColumnTable(columns)
        wide = np.zeros((width, len(sizes)), np.float32)
        wide[places, np.repeat(np.arange(len(sizes)), sizes)] = 1 if sets else values
        for lo in range(0, len(lengths), step):
            hi = min(lo + step, len(lengths))
            product = np.empty((hi - lo, len(sizes)), np.float32)
            scan_csr().multiply_csr(arrays, lo, sets, wide, table.parts, product)
            score = np.ascontiguousarray(product.T)
            if sets:
                union = (sizes[:, None] + lengths[None, lo:hi]).astype(np.float32) - score
                score /= np.maximum(union, 1)
                score[union == 0] = 1  # two empty sets are equal
            yield lo, np.negative(score, out=score), errors

    def _errors(self, arrays, batch):
        """Largest rounding errors of scores of each query."""
        indptr, _, values = batch
        if self.sets:
            return np.where(np.diff(indptr) > MOST_COUNTED, np.inf, 4 * UNIT)
        sizes, of_query = np.diff(indptr), np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
        lengths = np.sqrt(np.bincount(of_query, np.square(values, dtype=np.float64), len(sizes)))
        longest = 1.0 if self.metric.unit else float(np.abs(arrays[3]).max(initial=0)) * float(arrays[1].max(initial=0)) ** 0.5
        return UNIT * (sizes + 2) * lengths * longest


def _longest(indptr, values):
    """Length of the longest of CSR rows; where no row can be too long, a bound."""
    bound = float(np.abs(values).max(initial=0)) * float(np.diff(indptr).max(initial=0)) ** 0.5
    if bound <= LONGEST:
        return bound
    rows = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    return float(np.sqrt(np.bincount(rows, values.astype(np.float64) ** 2).max(initial=0)))


def _unit(indptr, values):
    """Values of CSR rows scaled to length one."""
    wide = values.astype(np.float64)
    sums = np.concatenate([[0.0], np.cumsum(wide * wide)])
    length = np.sqrt(np.maximum(sums[indptr[1:]] - sums[indptr[:-1]], 0))
    if len(length) > 1:  # differences of running sums lose small rows beside large ones
        length = np.sqrt(np.bincount(np.repeat(np.arange(len(length)), np.diff(indptr)), wide * wide, len(length)))
    length[length == 0] = 1
    return (wide / np.repeat(length, np.diff(indptr))).astype(np.float32)
