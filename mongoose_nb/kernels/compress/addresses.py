"""Where the blocks of rows begin in a hashed array: one hash a block, for all index maps that hash.

A. *One kernel for all of them.* A map says what the key of a row is, how many blocks a row has, and from which range a place is drawn;
   so a map of a user's own needs no kernel.
B. A mixer, not a linear hash: (a x + b) mod p over runs of consecutive ids collides with another probability than 1 / m.
"""

from typing import NamedTuple

import numpy as np
from numba import prange

from mongoose_nb.core.jit import parallel
from mongoose_nb.kernels.common.random import below, mix64

TASKS = 64


class Recipe(NamedTuple):
    """``((hash(key, block) below `span`) mod `modulus` * `stride` + shift) mod `cells```; shifts are below `cells`."""

    seed: np.uint64
    span: np.int64  # < 2^32
    modulus: np.int64
    stride: np.int64
    cells: np.int64


@parallel
def hash_blocks(keys, shifts, recipe, out):  # (n,) uint64, (n,) int64 -> (n, blocks) int64
    """First cell of every block of every row."""
    n = out.shape[0]
    blocks = out.shape[1]
    seed = recipe.seed
    span = recipe.span
    modulus = recipe.modulus
    stride = recipe.stride
    cells = recipe.cells
    tasks = min(n, TASKS)
    for task in prange(tasks):
        for i in range(task * n // tasks, (task + 1) * n // tasks):
            first = keys[i] * np.uint64(blocks)
            for b in range(blocks):
                place = below(mix64(seed ^ (first + np.uint64(b))), span)
                if span != modulus:
                    place = place % modulus
                place = place * stride + shifts[i]
                out[i, b] = place - cells if place >= cells else place
