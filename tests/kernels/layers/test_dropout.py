"""Dropout masks: shares, scale, keys."""

import numpy as np

from mongoose_nb.kernels.layers.dropout import BLOCK, drop


def dropped(key, rate, n=3 * BLOCK + 5):
    out = np.empty(n, np.float32)
    drop(np.full(n, 3.0, np.float32), np.uint64(key), np.uint32(round(rate * 2**32)), np.float32(1 / (1 - rate)), out)
    return out


def test_share_and_scale():
    """4.5 standard deviations: 99.99 % for each of three."""
    for key, rate in ((1, 0.1), (2, 0.5), (2**63, 0.9)):
        out = dropped(key, rate)
        n = len(out)
        assert abs((out == 0).sum() - n * rate) <= 4.5 * np.sqrt(n * rate * (1 - rate))
        np.testing.assert_allclose(out[out != 0], 3 / (1 - rate), rtol=1e-6)


def test_masks_of_two_keys_are_independent():
    a, b = dropped(1, 0.5) == 0, dropped(3, 0.5) == 0
    n = len(a)
    assert abs((a & b).sum() - n / 4) <= 4.5 * np.sqrt(n * 3 / 16)
    shifted = a[:-1] & a[1:]
    assert abs(shifted.sum() - n / 4) <= 4.5 * np.sqrt(n * 5 / 16)


def test_nan_stays():
    out = np.empty(100, np.float32)
    drop(np.full(100, np.nan, np.float32), np.uint64(1), np.uint32(2**31), np.float32(2), out)
    assert np.isnan(out).all()
