"""Residual streams in fixed point: integers, of which sums can be undone exactly.

A. Reversible layers recover x from y = x + f by subtraction. Floating point loses the low bits of the smaller number, so that what is
   recovered, and with it a hash or a gradient, differs from what was. Integers lose nothing, whatever their signs, sizes and order.
   Rejected: storing the lost bits beside y (as much memory as was to be saved), and floats kept to a grid (exact to 2^24 grid steps only,
   an int32 to 2^31).
B. The grid is 2^-20 in 32 bits: streams may grow to 2,048, and steps of 1e-6 are below float32's own from 8 on. What leaves that range
   would wrap around in silence, so every addition counts it, and NaN with it.
"""

import numpy as np
from numba import prange

from mongoose_nb.core.jit import strict_parallel

BLOCK = 1 << 14


def count_blocks(n):
    """Blocks that `add_fixed` cuts n elements into."""
    return -(-n // BLOCK)


@strict_parallel
def add_fixed(stream, values, sign, scale, unit, limit, out, bad):
    """out = stream + sign * round(values * scale), all (n,); bad (blocks,) counts sums of `limit` and more in size, and NaN.

    scale and unit = 1 / scale are powers of two, sign is 1 or -1.
    """
    n = stream.shape[0]
    for b in prange(bad.shape[0]):
        lost = 0
        for i in range(b * BLOCK, min(n, (b + 1) * BLOCK)):
            step = np.rint(values[i] * scale)
            lost += not (abs(values.dtype.type(stream[i]) * unit + sign * values[i]) < limit)
            out[i] = stream[i] + np.int64(sign) * np.int64(step)
        bad[b] = lost
