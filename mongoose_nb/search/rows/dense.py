"""Dense rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from mongoose_nb.core.arrays import read_only
from mongoose_nb.core.registry import register
from mongoose_nb.hashing.arguments import as_float32
from mongoose_nb.hashing.rows import is_sparse
from mongoose_nb.search.rows.base import UNIT, RowStore, check_numbers, contiguous, grown, kernels, own, put, scan, taken, two_axes

if TYPE_CHECKING:
    from mongoose_nb.search.metrics import Metric
    from mongoose_nb.search.rows.base import Batch


ONE = read_only(np.ones(1, np.float32))  # scale of all rows


class ArrayRows(RowStore):
    """Rows in one array."""

    X: np.ndarray

    def count(self, batch: Batch) -> int:
        return len(batch)

    def part(self, batch: Batch, lo: int, hi: int) -> Batch:
        return batch[lo:hi]

    def reserve(self, slots: np.ndarray, batch: Batch, need: int) -> None:
        self.X = grown(self.X, need)

    def put(self, slots: np.ndarray, batch: Batch, need: int) -> None:
        self.X = grown(self.X, need)
        put(self.X, slots, batch)

    def take(self, slots: np.ndarray) -> Batch:
        return taken(self.X, slots)

    def restrict(self, slots: np.ndarray) -> None:
        self.X = self.X[slots]

    def row_bytes(self, stored: float | None = None) -> float:
        return self.X.shape[1] * self.X.itemsize

    @property
    def nbytes(self) -> int:
        return self.X.nbytes

    def arrays(self, slots: int) -> tuple:
        return (read_only(self.X[:slots]),)

    def state(self, used: int) -> dict[str, np.ndarray]:
        return {"X": self.X[:used]}

    def restore(self, state: dict[str, np.ndarray], used: int, frozen: bool) -> None:
        X = state["X"]
        if X.shape != (used, self.X.shape[1]) or X.dtype != self.X.dtype:
            raise ValueError(f"the saved rows have shape {X.shape} and dtype {X.dtype}; needed is ({used}, {self.X.shape[1]}) "
                             f"{self.X.dtype}")
        self.X = X if frozen else own(X)


@register("row store", "dense")
class DenseRows(ArrayRows):
    """Rows of float32."""

    def __init__(self, metric: Metric, dim: int) -> None:
        super().__init__(metric, dim)
        self.X = np.zeros((0, self.width), np.float32)

    def check(self, X: Any) -> Batch:
        """A batch: (n, width) float32, read-only."""
        if is_sparse(X):
            X = X.toarray()
        X = contiguous(two_axes(as_float32(X, "X"), self.dim))
        check_numbers(X, self.squared)
        if self.transforms:
            X = contiguous(two_axes(as_float32(self.metric.transform(X), "transformed rows"), self.width))
            check_numbers(X, self.squared)
        if self.metric.unit:
            out = np.empty(X.shape, np.float32)
            kernels().unit_rows(X, out)
            X = read_only(out)
        return X

    def arrays(self, slots: int) -> tuple:
        return read_only(self.X[:slots]), ONE

    def matrix(self, batch: Batch) -> Any:
        return np.array(batch)

    def search(self, arrays: tuple, batch: Batch, buckets: tuple, probes: tuple, coordinates: tuple, sketches: tuple, scratch: tuple,
               found: tuple) -> None:
        scan().search_dense(batch, buckets, probes, coordinates, sketches, arrays, self.form, scratch, found)

    def measure(self, arrays: tuple, batch: Batch, indptr: np.ndarray, slots: np.ndarray, scratch: tuple, out: np.ndarray) -> None:
        scan().measure_dense(batch, arrays, self.form, indptr, slots, out)

    def block(self, arrays: tuple, part: slice) -> np.ndarray:
        """Some of the rows as float32."""
        return arrays[0][part]

    def scores(self, arrays: tuple, batch: Batch, step: int) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        euclidean, n = self.metric.euclidean, len(arrays[0])
        some = self.block(arrays, slice(None, None, max(1, n // 1024)))
        mean = some.mean(axis=0) if euclidean else np.zeros(self.width, np.float32)
        batch = batch - mean
        lengths = np.linalg.norm(batch, axis=1).astype(np.float64)
        unit = self.metric.unit  # near rows of length one are compared by differences, as if their length were exactly that
        uneven = 0.5 * np.abs(lengths * lengths - 1) if unit else 0.0
        for lo in range(0, n, step):
            x = self.block(arrays, slice(lo, lo + step)) - mean
            score = batch @ x.T
            np.negative(score, out=score)
            squares = np.einsum("ij,ij->i", x, x)
            if euclidean:
                score += 0.5 * squares
            longest = float(squares.max(initial=0)) ** 0.5
            error = UNIT * (self.width + 2) * longest * (lengths + (0.5 * longest if euclidean else 0.0)) + uneven
            yield lo, score, error + 0.5 * float(np.abs(squares[squares > 0] - 1).max(initial=0)) if unit else error
