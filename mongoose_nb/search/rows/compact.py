"""Dense rows in fewer bytes: float16, and int8 with a scale for each row.

What is kept is what is hashed and compared: rows and queries are rounded when they come, so that a row finds itself at distance 0, and
tables that are made again are the same. Rounding twice is rounding once; `tests/search/rows` checks it.

A. *Rows far from zero* are kept as differences from an `Origin`, which the first rows decide. Under l2, a search takes it from the queries;
   under the inner product it adds ``q . origin`` afterwards, which changes no order. So kernels know nothing of it.
B. Steps are multiples of the origin's last bit, so that ``origin + step * number`` is exact in float32.
C. Rejected: an origin under cosine, where rows have to have length one and differences do not.
"""

from __future__ import annotations

import abc
from typing import Any

import numpy as np

from mongoose_nb.core.arrays import read_only
from mongoose_nb.core.registry import register
from mongoose_nb.search.metrics import Metric
from mongoose_nb.search.rows.base import Batch, grown, own, put, taken
from mongoose_nb.search.rows.dense import ONE, DenseRows
from mongoose_nb.search.rows.origin import Origin, RoundingWatch, column_origin, on_grid, saved_origin

# A scale that is larger by float32's rounding alone is the same scale.
_NEARLY_ONE = 1 - 2.0**-18


class CompactRows(DenseRows):
    """Base of the stores that keep dense rows in fewer bytes: elements, and scales by which they are multiplied."""

    batches = "dense"
    #: dtype of the elements
    dtype: type
    #: whether rows have scales also where their length is not one
    always_scaled = False

    def __init__(self, metric: Metric, dim: int) -> None:
        super().__init__(metric, dim)
        #: whether each row has a scale of its own
        self.scaled = metric.unit or self.always_scaled
        self.X, self.scales = np.zeros((0, self.width), self.dtype), np.zeros(0, np.float32) if self.scaled else ONE
        #: what is taken from rows before they are rounded; None before the first rows
        self.origin: Origin | None = None
        self._watch = RoundingWatch()

    @property
    def _moved(self):
        """The origin, None where it is zero or not known yet."""
        return None if self.origin is None or self.origin.grid == 0 else self.origin

    @abc.abstractmethod
    def error_size(self, X: np.ndarray) -> float:
        """Size of the rounding errors of float32 rows, up to a factor."""

    @abc.abstractmethod
    def rounded(self, differences: np.ndarray, given: np.ndarray, grid: float) -> tuple[np.ndarray, np.ndarray]:
        """Elements (n, width) and scales of differences between the rows that are `given` and the origin, all multiples of `grid`."""

    @abc.abstractmethod
    def numbers(self, X: np.ndarray) -> np.ndarray:
        """Elements as float32, in an array of their own."""

    def unit_scales(self, X: np.ndarray) -> np.ndarray:
        """Scales with which elements have length one; 0 for rows of zeros."""
        steps = self.numbers(X)
        lengths = np.sqrt(np.einsum("ij,ij->i", steps, steps, dtype=np.float64))
        return np.divide(1, lengths, out=np.zeros(len(X)), where=lengths > 0).astype(np.float32)

    def encode(self, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        """Elements (n, width) and scales of float32 rows."""
        if (origin := self._moved) is None:
            return self.rounded(batch, batch, 0.0)
        return self.rounded(batch - origin.row, batch, origin.grid)

    def decode(self, X: np.ndarray, scales: np.ndarray) -> np.ndarray:
        """The float32 rows that elements and scales stand for."""
        rows = self.numbers(X)
        if self.scaled:
            rows *= scales[:, None]
        return rows if (origin := self._moved) is None else np.add(rows, origin.row, out=rows)

    def check(self, X: Any) -> Batch:
        """A batch: (n, width) float32, rounded to what is kept, read-only. Under a product, queries are no rows: with an origin they stay
        as they are."""
        batch = super().check(X)
        return batch if self._moved is not None and not self.metric.euclidean else self._round(batch)

    def arrive(self, X: Any) -> Batch:
        return self.taken_over(super().check(X))

    def taken_over(self, batch: Batch) -> Batch:
        if self.origin is None and len(batch):
            self.origin = Origin.zero(self.width) if self.metric.unit else column_origin(batch, self.error_size)
        rows = self._round(batch)
        self._watch.look(batch, rows, self.name)
        return rows

    def _round(self, batch):
        return read_only(self.decode(*self.encode(batch)))

    def search(self, arrays: tuple, batch: Batch, buckets: tuple, probes: tuple, coordinates: tuple, sketches: tuple, scratch: tuple,
               found: tuple) -> None:
        batch, more = self._from_origin(batch)
        super().search(arrays, batch, buckets, probes, coordinates, sketches, scratch, found)
        if more is not None:
            found[1][...] -= more[:, None]

    def measure(self, arrays: tuple, batch: Batch, indptr: np.ndarray, slots: np.ndarray, scratch: tuple, out: np.ndarray) -> None:
        batch, more = self._from_origin(batch)
        super().measure(arrays, batch, indptr, slots, scratch, out)
        if more is not None:
            out -= np.repeat(more, np.diff(indptr))

    def _from_origin(self, batch):
        """(queries as kernels compare them with differences, what is to be taken from distances or None)."""
        if (origin := self._moved) is None:
            return batch, None
        if self.metric.euclidean:
            return read_only(batch - origin.row), None
        return batch, np.einsum("ij,j->i", batch, origin.row, dtype=np.float64).astype(np.float32)

    def put(self, slots: np.ndarray, batch: Batch, need: int) -> None:
        X, scales = self.encode(batch)
        self.X = grown(self.X, need)
        if self.scaled:
            self.scales = grown(self.scales, need)
            put(self.scales, slots, scales)
        put(self.X, slots, X)

    def reserve(self, slots: np.ndarray, batch: Batch, need: int) -> None:
        super().reserve(slots, batch, need)
        if self.scaled:
            self.scales = grown(self.scales, need)

    def take(self, slots: np.ndarray) -> Batch:
        return self.decode(taken(self.X, slots), taken(self.scales, slots) if self.scaled else self.scales)

    def restrict(self, slots: np.ndarray) -> None:
        super().restrict(slots)
        if self.scaled:
            self.scales = self.scales[slots]

    def row_bytes(self, stored: float | None = None) -> float:
        return super().row_bytes(stored) + (self.scales.itemsize if self.scaled else 0)

    def arrays(self, slots: int) -> tuple:
        return read_only(self.X[:slots]), read_only(self.scales[:slots])

    def block(self, arrays: tuple, part: slice) -> np.ndarray:
        X, scales = arrays
        return self.decode(X[part], scales[part] if self.scaled else scales)

    @property
    def nbytes(self) -> int:
        return super().nbytes + self.scaled * self.scales.nbytes + (0 if (origin := self._moved) is None else origin.row.nbytes)

    def state(self, used: int) -> dict[str, np.ndarray]:
        scales = {"scales": self.scales[:used]} if self.scaled else {}
        return super().state(used) | scales | ({} if (origin := self._moved) is None else {"origin": origin.row})

    def restore(self, state: dict[str, np.ndarray], used: int, frozen: bool) -> None:
        super().restore(state, used, frozen)
        if self.scaled:
            scales = state["scales"] if "scales" in state or self.always_scaled else self._missing_scales()
            if scales.shape != (used,) or scales.dtype != np.float32 or not (np.isfinite(scales) & (scales >= 0)).all():
                raise ValueError("the saved scales do not fit the saved rows")
            self.scales = scales if frozen else own(scales)
        self.origin = saved_origin(state["origin"], self.width) if "origin" in state else Origin.zero(self.width) if used else None

    def _missing_scales(self):
        """Scales of rows from a file that has none: elements were rounded at length one, and their length was taken for that."""
        step = 8192
        return np.concatenate([self.unit_scales(self.X[lo:lo + step]) for lo in range(0, max(len(self.X), 1), step)])


@register("row store", "float16")
class HalfRows(CompactRows):
    """Rows of float16: three digits, in half of the bytes. Rows of length one have a scale, which makes their length one again; of their
    elements, the largest becomes 1 or -1, so that a row that was rounded is rounded to itself."""

    dtype = np.uint16

    def error_size(self, X: np.ndarray) -> float:
        return float(np.abs(X).mean(dtype=np.float64))

    def rounded(self, differences: np.ndarray, given: np.ndarray, grid: float) -> tuple[np.ndarray, np.ndarray]:
        if self.metric.unit:
            largest = np.abs(differences).max(axis=1, initial=0)
            X = (differences / np.where(largest > 0, largest, np.float32(1))[:, None]).astype(np.float16).view(np.uint16)
            return X, self.unit_scales(X)
        if grid:
            differences = on_grid(differences, grid)
        with np.errstate(over="ignore"):
            X = differences.astype(np.float16)
        if not np.isfinite(X).all():
            first = ", which differ too much from the first rows" if grid else ""
            raise ValueError(f"rows hold numbers up to {np.abs(given).max():.3g}{first}, and float16 holds numbers up to 65,504: divide "
                             "rows and queries by a number, or take storage='int8', which has a scale for each row")
        return X.view(np.uint16), self.scales

    def numbers(self, X: np.ndarray) -> np.ndarray:
        return X.view(np.float16).astype(np.float32)


@register("row store", "int8")
class ByteRows(CompactRows):
    """Rows of int8 and a scale for each: a quarter of the bytes. Of a row, the largest number becomes 127 or -127."""

    dtype = np.int8
    always_scaled = True

    def error_size(self, X: np.ndarray) -> float:
        return float(np.abs(X).max(axis=1, initial=0).mean(dtype=np.float64))

    def rounded(self, differences: np.ndarray, given: np.ndarray, grid: float) -> tuple[np.ndarray, np.ndarray]:
        largest = np.maximum(differences.max(axis=1, initial=0), -differences.min(axis=1, initial=0))
        # of so few digits that 127 times the scale is exact: the scale of a row that was rounded is the same again
        fraction, exponent = np.frexp(largest / np.float32(127))
        if grid:
            scales = _scales_on_grid(largest, np.maximum(np.ldexp(1.0, exponent - 16), grid))
        else:
            scales = np.ldexp(np.ceil(np.ldexp(fraction, 16)), exponent - 16).astype(np.float32)
        steps = differences / np.where(scales > 0, scales, np.float32(1))[:, None]
        X = np.rint(np.clip(steps, -127, 127, out=steps), out=steps).astype(np.int8)
        return X, self.unit_scales(X) if self.metric.unit else scales  # kept rows have length one again

    def numbers(self, X: np.ndarray) -> np.ndarray:
        return X.astype(np.float32)


def _scales_on_grid(largest, unit):
    """Scales that are multiples of `unit` and stay the same when rows are rounded again."""
    def count(values):
        return np.ceil(values.astype(np.float64) / 127 / unit * _NEARLY_ONE)

    def scaled(n):
        return (n * unit).astype(np.float32)

    n = count(largest)
    scales = scaled(n)
    number = np.rint(np.divide(largest, scales, out=np.zeros_like(largest), where=n > 0))
    again = count(np.minimum(number, np.float32(127)) * scales)
    return np.where(again < n, scaled(n - 1), scales)  # then the largest number is 127, which stays
