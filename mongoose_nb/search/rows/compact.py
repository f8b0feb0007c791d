"""Dense rows in fewer bytes: float16, and int8 with a scale for each row.

What is kept is what is hashed and compared: rows and queries are rounded when they come, so that a row finds itself at distance 0, and
tables that are made again are the same. Rounding twice is rounding once; `tests/search/rows` checks it.
"""

from __future__ import annotations

import abc
from typing import Any

import numpy as np

from mongoose_nb.core.arrays import read_only
from mongoose_nb.core.registry import register
from mongoose_nb.search.metrics import Metric
from mongoose_nb.search.rows.base import Batch, grown, own, put, taken
from mongoose_nb.search.rows.dense import DenseRows


class CompactRows(DenseRows):
    """Base of the stores that keep dense rows in fewer bytes: elements, and scales by which they are multiplied."""

    batches = "dense"
    #: dtype of the elements
    dtype: type

    def __init__(self, metric: Metric, dim: int) -> None:
        super().__init__(metric, dim)
        self.X, self.scales = np.zeros((0, self.width), self.dtype), self.first_scales()

    @abc.abstractmethod
    def first_scales(self) -> np.ndarray:
        """Scales of no rows."""

    @abc.abstractmethod
    def encode(self, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        """Elements (n, width) and scales of float32 rows."""

    @abc.abstractmethod
    def decode(self, X: np.ndarray, scales: np.ndarray) -> np.ndarray:
        """The float32 rows that elements and scales stand for."""

    def check(self, X: Any) -> Batch:
        """A batch: (n, width) float32, rounded to what is kept, read-only."""
        return self.taken_over(super().check(X))

    def taken_over(self, batch: Batch) -> Batch:
        return read_only(self.decode(*self.encode(batch)))

    def put(self, slots: np.ndarray, batch: Batch, need: int) -> None:
        X, scales = self.encode(batch)
        self.X = grown(self.X, need)
        self.put_scales(slots, scales, need)
        put(self.X, slots, X)

    def put_scales(self, slots: np.ndarray, scales: np.ndarray, need: int) -> None:
        """Keep the scales of rows."""

    def take(self, slots: np.ndarray) -> Batch:
        return self.decode(taken(self.X, slots), self.scales_of(slots))

    def scales_of(self, slots: np.ndarray) -> np.ndarray:
        """The scales of these rows."""
        return self.scales

    def arrays(self, slots: int) -> tuple:
        return read_only(self.X[:slots]), read_only(self.scales[:slots])

    def block(self, arrays: tuple, part: slice) -> np.ndarray:
        X, scales = arrays
        return self.decode(X[part], scales[part] if len(scales) == len(X) else scales)


@register("row store", "float16")
class HalfRows(CompactRows):
    """Rows of float16: three digits, in half of the bytes. The length of unit rows is one within 0.0005."""

    dtype = np.uint16

    def first_scales(self) -> np.ndarray:
        return np.ones(1, np.float32)

    def encode(self, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        with np.errstate(over="ignore"):
            X = batch.astype(np.float16)
        if not np.isfinite(X).all():
            raise ValueError(f"rows hold numbers up to {np.abs(batch).max():.3g}, and float16 holds numbers up to 65,504: divide rows and "
                             "queries by a number, or take storage='int8', which has a scale for each row")
        return X.view(np.uint16), self.scales

    def decode(self, X: np.ndarray, scales: np.ndarray) -> np.ndarray:
        return X.view(np.float16).astype(np.float32)


@register("row store", "int8")
class ByteRows(CompactRows):
    """Rows of int8 and a scale for each: a quarter of the bytes. Of a row, the largest number becomes 127 or -127."""

    dtype = np.int8

    def first_scales(self) -> np.ndarray:
        return np.zeros(0, np.float32)

    def encode(self, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        largest = np.maximum(batch.max(axis=1, initial=0), -batch.min(axis=1, initial=0))
        # of so few digits that 127 times the scale is exact: the scale of a row that was rounded is the same again
        fraction, exponent = np.frexp(largest / np.float32(127))
        scales = np.ldexp(np.ceil(np.ldexp(fraction, 16)), exponent - 16).astype(np.float32)
        steps = batch / np.where(scales > 0, scales, np.float32(1))[:, None]
        X = np.rint(np.clip(steps, -127, 127, out=steps), out=steps).astype(np.int8)
        if self.metric.unit:  # kept rows have length one again
            lengths = np.sqrt(np.einsum("ij,ij->i", steps, steps, dtype=np.float64))
            scales = np.divide(1, lengths, out=np.zeros(len(scales)), where=lengths > 0).astype(np.float32)
        return X, scales

    def decode(self, X: np.ndarray, scales: np.ndarray) -> np.ndarray:
        return X * scales[:, None]

    def reserve(self, slots: np.ndarray, batch: Batch, need: int) -> None:
        super().reserve(slots, batch, need)
        self.scales = grown(self.scales, need)

    def put_scales(self, slots: np.ndarray, scales: np.ndarray, need: int) -> None:
        self.scales = grown(self.scales, need)
        put(self.scales, slots, scales)

    def scales_of(self, slots: np.ndarray) -> np.ndarray:
        return taken(self.scales, slots)

    def restrict(self, slots: np.ndarray) -> None:
        super().restrict(slots)
        self.scales = self.scales[slots]

    def row_bytes(self, stored: float | None = None) -> float:
        return super().row_bytes(stored) + self.scales.itemsize

    @property
    def nbytes(self) -> int:
        return super().nbytes + self.scales.nbytes

    def state(self, used: int) -> dict[str, np.ndarray]:
        return {**super().state(used), "scales": self.scales[:used]}

    def restore(self, state: dict[str, np.ndarray], used: int, frozen: bool) -> None:
        scales = state["scales"]
        if scales.shape != (used,) or scales.dtype != np.float32 or not (np.isfinite(scales) & (scales >= 0)).all():
            raise ValueError("the saved scales do not fit the saved rows")
        super().restore(state, used, frozen)
        self.scales = scales if frozen else own(scales)
