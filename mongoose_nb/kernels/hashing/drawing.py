"""Drawing random hash functions: normal numbers, and choices without repetition. Both depend on a key alone."""

import math

import numpy as np

from mongoose_nb.core.jit import serial
from mongoose_nb.kernels.common.random import below, key2, mix64


@serial
def draw_gaussian(key, out):  # (n, m) float32
    """Standard normal numbers, two per counter (Box-Muller)."""
    flat = out.ravel()
    for i in range(0, flat.size, 2):
        a = key2(key, i)
        radius = math.sqrt(-2.0 * math.log(((a >> np.uint64(11)) + np.uint64(1)) * 2.0**-53))
        angle = 2.0 * math.pi * ((mix64(a) >> np.uint64(11)) * 2.0**-53)
        flat[i] = radius * math.cos(angle)
        if i + 1 < flat.size:
            flat[i + 1] = radius * math.sin(angle)


@serial
def draw_choices(key, n, out):  # (rows, take) int32
    """Each row: `take` different integers below n in random order (the first steps of a Fisher-Yates shuffle)."""
    rows, take = out.shape
    pool = np.empty(n, np.int32)
    for row in range(rows):
        row_key = key2(key, row)
        for i in range(n):
            pool[i] = i
        for i in range(take):
            j = i + below(key2(row_key, i), n - i)
            pool[i], pool[j] = pool[j], pool[i]
            out[row, i] = pool[i]
