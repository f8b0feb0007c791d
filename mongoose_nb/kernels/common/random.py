"""Counter-based random numbers: a hash of (seed, step, row, draw), so that a result does not depend on threads or order.

The mixer is the finaliser of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014). All
operands stay ``uint64``: mixing signed and unsigned 64-bit integers makes Numba compute in float64.
"""

import numpy as np

from mongoose_nb.core.jit import inline

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_M1 = np.uint64(0xBF58476D1CE4E5B9)
_M2 = np.uint64(0x94D049BB133111EB)


@inline
def mix64(x):
    """Scramble one uint64 into another; a bijection."""
    x = np.uint64(x) + _GOLDEN
    x = (x ^ (x >> np.uint64(30))) * _M1
    x = (x ^ (x >> np.uint64(27))) * _M2
    return x ^ (x >> np.uint64(31))


@inline
def key2(a, b):
    """One key from two."""
    return mix64(mix64(np.uint64(a)) ^ np.uint64(b))


@inline
def below(bits, n):
    """Map the 64 random `bits` to an integer in [0, n), n < 2^32 (multiply and shift; bias below n / 2^32)."""
    return np.int64(((bits >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32))
