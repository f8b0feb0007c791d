"""Fast Walsh-Hadamard transforms of 16 vectors at a time.

A. *Sixteen vectors lie side by side*, element i of vector l at ``16 * i + l``, so that every butterfly is one vector
   operation and none needs a shuffle, not even those between neighbours. One vector at a time, the first four levels
   would be shuffles inside a register.
B. *Two levels at a time* (radix 4): a block of 128 x 16 floats fills the first-level cache, and a pass costs what its
   loads and stores cost. The first two levels also take the sign flips that come before them, from one block to another.
C. *Nothing is re-ordered* (no fastmath), so that a vector's transform is the same to the last bit wherever it stands.
"""

import numpy as np

from mongoose_nb.core.jit import strict, strict_inline

LANES = 16


@strict_inline
def _first_levels(x, flips, out):
    """Sign flips and the levels of distance 1 and 2: out = (H4 x ...) (flips * x) for x (d * 16,) or one x (d,) for all."""
    one = x.shape[0] < out.shape[0]
    for base in range(0, out.shape[0], 4 * LANES):
        s = flips[base : base + 4 * LANES]
        o = out[base : base + 4 * LANES]
        if one:
            i = base // LANES
            x0, x1, x2, x3 = x[i], x[i + 1], x[i + 2], x[i + 3]
            for j in range(LANES):
                a = x0 * np.float32(s[j])
                b = x1 * np.float32(s[j + LANES])
                c = x2 * np.float32(s[j + 2 * LANES])
                d = x3 * np.float32(s[j + 3 * LANES])
                o[j] = (a + b) + (c + d)
                o[j + LANES] = (a - b) + (c - d)
                o[j + 2 * LANES] = (a + b) - (c + d)
                o[j + 3 * LANES] = (a - b) - (c - d)
        else:
            v = x[base : base + 4 * LANES]
            for j in range(LANES):
                a = v[j] * np.float32(s[j])
                b = v[j + LANES] * np.float32(s[j + LANES])
                c = v[j + 2 * LANES] * np.float32(s[j + 2 * LANES])
                d = v[j + 3 * LANES] * np.float32(s[j + 3 * LANES])
                o[j] = (a + b) + (c + d)
                o[j + LANES] = (a - b) + (c - d)
                o[j + 2 * LANES] = (a + b) - (c + d)
                o[j + 3 * LANES] = (a - b) - (c - d)


@strict_inline
def _other_levels(x):
    """The levels of distance 4 and more, in place, x (d * 16,)."""
    size = x.shape[0]
    h = 4 * LANES
    while 4 * h <= size:
        for base in range(0, size, 4 * h):
            x0 = x[base : base + h]
            x1 = x[base + h : base + 2 * h]
            x2 = x[base + 2 * h : base + 3 * h]
            x3 = x[base + 3 * h : base + 4 * h]
            for j in range(h):
                a, b, c, d = x0[j], x1[j], x2[j], x3[j]
                x0[j] = (a + b) + (c + d)
                x1[j] = (a - b) + (c - d)
                x2[j] = (a + b) - (c + d)
                x3[j] = (a - b) - (c - d)
        h *= 4
    if h < size:
        x0 = x[:h]
        x1 = x[h:]
        for j in range(h):
            a, b = x0[j], x1[j]
            x0[j] = a + b
            x1[j] = a - b


@strict_inline
def rotate(x, flips, out, scratch):  # (d,), (rounds, d * 16) int8, (d * 16,), (d * 16,)
    """out = H D_r ... H D_1 x for 16 sets of sign flips D: a pseudo-random rotation times d^(rounds / 2).

    d is a power of two, at least 4. `out` and `scratch` are blocks.
    """
    rounds = flips.shape[0]
    a, b = (out, scratch) if rounds % 2 else (scratch, out)
    _first_levels(x, flips[0], a)
    _other_levels(a)
    for r in range(1, rounds):
        _first_levels(a, flips[r], b)
        _other_levels(b)
        a, b = b, a


@strict
def rotate_one(x, flips, out, scratch):
    """`rotate`, to be called from Python."""
    rotate(x, flips, out, scratch)
