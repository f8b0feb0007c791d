"""The Hadamard transforms against the matrix."""

import numpy as np
import pytest
import scipy.linalg

from mongoose_nb.kernels.hashing.hadamard import LANES, rotate_one


@pytest.mark.parametrize("d", [4, 8, 16, 32, 256])
@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_rotations(d, rounds):
    rng = np.random.default_rng(d)
    x = rng.integers(-9, 10, d).astype(np.float32)  # whole numbers, whose sums are exact
    flips = rng.choice(np.array([-1, 1], np.int8), (rounds, d * LANES))
    out, scratch = np.empty((2, d * LANES), np.float32)
    rotate_one(x, flips, out, scratch)
    H = scipy.linalg.hadamard(d)
    for lane in range(LANES):
        y = x.astype(np.float64)
        for r in range(rounds):
            y = H @ (flips[r].reshape(d, LANES)[:, lane] * y)
        np.testing.assert_array_equal(out.reshape(d, LANES)[:, lane], y)
