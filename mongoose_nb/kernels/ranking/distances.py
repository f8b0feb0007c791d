"""Nearest dense rows by Euclidean distance, all of them compared.

A. Rows are kept by column: the inner loop runs over rows, so that it is a vector operation without a reduction, whose order fixes the
   last bit.
B. One query has one writer: any number of threads, same bits.
"""

import numpy as np
from numba import prange

from mongoose_nb.core.jit import parallel
from mongoose_nb.kernels.common.k_least import finish, offer

# Rows whose distances are computed at once; they stay in the first-level cache.
BLOCK = 1024


@parallel
def nearest(queries, columns, leave_out, sums, ids, squares):
    """The rows with the least distances.

    Parameters
    ----------
    queries : (m, d) float32
    columns : (d, n) float32
        The rows, column by column.
    leave_out : (m,) int64
        A row that is not given, or -1.
    sums : (threads, BLOCK) float32
        Scratch.
    ids : (m, k) int64
        Out: the nearest first, of equal ones the lower first, -1 where there are fewer.
    squares : (m, k) float32
        Out: squared distances, infinite where there is none.
    """
    m, (d, n), slots = queries.shape[0], columns.shape, sums.shape[0]
    for s in prange(slots):
        of_block = sums[s]
        for i in range(m * s // slots, m * (s + 1) // slots):
            held = 0
            for lo in range(0, n, of_block.shape[0]):
                size = min(of_block.shape[0], n - lo)
                for j in range(size):
                    of_block[j] = np.float32(0.0)
                for f in range(d):
                    x, column = queries[i, f], columns[f, lo:lo + size]
                    for j in range(size):
                        of_block[j] += (column[j] - x) * (column[j] - x)
                for j in range(size):
                    if lo + j != leave_out[i]:
                        held = offer(squares[i], ids[i], held, of_block[j], lo + j)
            finish(squares[i], ids[i], held)
