"""The gradient of a matrix whose rows are touched sparsely, as pairs (row, sample), and the optimiser step on those rows."""

import numpy as np

from mongoose_nb.core.arrays import Buffers, aligned_zeros
from mongoose_nb.core.views import read_only

# Ranges of rows that one thread owns: enough to balance, few enough for the counting sort to stay in cache.
MAX_RANGES = 256


class RowUpdate:
    """Gradient ``dW[row] = sum of coef * V[sample]`` over the active (sample, row) pairs of one batch.

    Parameters
    ----------
    weights : Parameter
        (n_rows, width) matrix.
    bias : Parameter or None
        (n_rows,) whose gradient is the sum of `coef`, or None.
    """

    def __init__(self, weights, bias=None):
        self.weights = weights
        self.bias = bias
        n_rows, width = weights.value.shape
        self._shift = max(0, int(n_rows - 1).bit_length() - MAX_RANGES.bit_length() + 1)
        self._ranges = ((n_rows - 1) >> self._shift) + 1
        self._cursor = np.zeros(n_rows, np.int32)
        self._gradient = aligned_zeros((self._ranges, width))
        self._buffers = Buffers()
        self._sorted = None

    def load(self, start, count, ids, coef, V):
        """Group the pairs of a batch by row: ``ids`` and ``coef`` of sample i are at ``start[i]``, ``count[i]`` long."""
        from mongoose_nb.kernels.layers import rows as kernel

        get = self._buffers.get
        n = int(count.sum())
        key, sample = get("key", (2, n), np.int32), get("sample", (2, n), np.int32)
        value = get("value", (2, n))
        rows, ends = get("rows", n, np.int32), get("ends", n, np.int64)
        part_ptr, part_rows = get("part_ptr", self._ranges + 1, np.int64), get("part_rows", self._ranges, np.int64)
        hist = get("hist", (kernel.CHUNKS, self._ranges), np.int64)
        kernel.sort_pairs(start, count, read_only(ids), read_only(coef), self._shift, self._ranges, self._cursor, hist, key, sample, value,
                          rows, ends, part_ptr, part_rows)
        self._sorted = (V, sample[1], value[1], rows, ends, part_ptr, part_rows)

    def forget(self):
        """Drop the loaded batch."""
        self._sorted = None

    def square_norm(self):
        """Squared Euclidean norm of the loaded gradient."""
        from mongoose_nb.kernels.layers import rows as kernel

        out = np.zeros(self._ranges)
        kernel.square_rows(*self._sorted, self.bias is not None, self._gradient, out)
        return float(out.sum())

    def apply(self, kind, constants, bias_constants=None):
        """Optimiser step on the touched rows."""
        from mongoose_nb.kernels.layers import rows as kernel

        w = self.weights
        b = self.bias
        if b is None:
            none = np.zeros(0, np.float32)
            kernel.apply_rows(*self._sorted, kind, constants, constants, w.value, w.m, w.v, False, none, none, none, self._gradient)
        else:
            kernel.apply_rows(*self._sorted, kind, constants, bias_constants, w.value, w.m, w.v, True, b.value, b.m, b.v,
                              self._gradient)

    def touched(self):
        """Ids of the rows that the loaded batch touches (int32, unsorted)."""
        from mongoose_nb.kernels.layers.rows import list_rows

        _, _, _, rows, _, part_ptr, part_rows = self._sorted
        out = np.empty(int(part_rows.sum()), np.int32)
        list_rows(rows, part_ptr, part_rows, out)
        return out
