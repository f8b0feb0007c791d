"""Rows of bits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mongoose_nb.core.arrays import read_only
from mongoose_nb.core.registry import register
from mongoose_nb.core.validation import unmasked
from mongoose_nb.hashing.rows import is_sparse
from mongoose_nb.search.rows.base import scan, two_axes
from mongoose_nb.search.rows.dense import ArrayRows

if TYPE_CHECKING:
    from mongoose_nb.search.metrics import Metric
    from mongoose_nb.search.rows.base import Batch


@register("row store", "bits")
class BitRows(ArrayRows):
    """Rows of bits in uint64 words."""

    proposes = False

    def __init__(self, metric: Metric, dim: int) -> None:
        super().__init__(metric, dim)
        self.X = np.zeros((0, -(-dim // 64)), np.uint64)

    def check(self, X: Any) -> Batch:
        """A batch: (n, words) uint64, from rows of zeros and ones (or booleans)."""
        X = two_axes(X.toarray() if is_sparse(X) else unmasked(X, "X"), self.dim)
        if X.dtype != bool:
            ones = X == 1
            if not (ones | (X == 0)).all():
                raise ValueError(f"rows must hold zeros and ones (or booleans) for metric {self.metric.name!r}; compare numbers with "
                                 "metric 'l2'")
            X = ones
        out = np.zeros((len(X), self.X.shape[1] * 8), np.uint8)
        packed = np.packbits(X, axis=1, bitorder="little")
        out[:, :packed.shape[1]] = packed
        return read_only(out.view("<u8").astype(np.uint64, copy=False))

    def matrix(self, batch: Batch) -> Any:
        return np.unpackbits(np.ascontiguousarray(batch).astype("<u8", copy=False).view(np.uint8), axis=1, count=self.dim,
                             bitorder="little").view(bool)

    def search(self, arrays: tuple, batch: Batch, buckets: tuple, probes: tuple, coordinates: tuple, sketches: tuple, scratch: tuple,
               found: tuple) -> None:
        scan().search_bits(batch, buckets, probes, *arrays, scratch, found)

    def measure(self, arrays: tuple, batch: Batch, indptr: np.ndarray, slots: np.ndarray, scratch: tuple, out: np.ndarray) -> None:
        scan().measure_bits(batch, *arrays, indptr, slots, out)
