"""Additions to fixed-point streams against Python's integers."""

import numpy as np
import pytest

from mongoose_nb.kernels.layers.fixed_point import BLOCK, add_fixed, count_blocks


@pytest.mark.parametrize("dtype, kind, digits", [("float32", "int32", 20), ("float64", "int64", 48)])
@pytest.mark.parametrize("n", [0, 1, BLOCK + 3])
def test_sums_and_counts(n, dtype, kind, digits):
    rng, number = np.random.default_rng(0), np.dtype(dtype).type
    stream = rng.integers(-2**(digits + 6), 2**(digits + 6), n, kind)
    values = (40 * rng.standard_normal(n)).astype(dtype)
    for sign in (1, -1):
        out, bad = np.empty_like(stream), np.full(count_blocks(n), -1)
        add_fixed(stream, values, number(sign), number(2.0**digits), number(2.0**-digits), number(100), out, bad)
        some = np.arange(n)[:: max(1, n // 200)]
        for i in some:
            assert int(out[i]) == int(stream[i]) + sign * round(float(values[i]) * 2**digits)
        assert bad.sum() == (np.abs(stream * 2.0**-digits + sign * values.astype(float)) >= 100).sum()
