"""Masks and weights of a tile of scores, lane by lane."""

import numpy as np
import pytest

from mongoose_nb.core.jit import serial
from mongoose_nb.kernels.attention import tile

KEYS = 11


@serial
def forward(S, own, lo, count, tokens, slots, first, seen, later, lanes):
    lanes.own[:] = own
    lanes.lo[:] = lo
    lanes.count[:] = count
    tile.mask_interval(S, lanes, tokens)
    if later:
        tile.mask_later(S, lanes, tokens)
    tile.mask_seen(S, slots, first, seen)
    tile.raise_tops(S, lanes)
    tile.weigh(S, lanes)


def problem(dtype):
    rng = np.random.default_rng(1)
    n = tile.LANES
    S = (3 * rng.standard_normal((KEYS, n))).astype(dtype)
    lo = rng.integers(0, KEYS, n).astype(np.int32)
    count = np.minimum(rng.integers(0, KEYS, n), KEYS - lo).astype(np.uint32)
    tokens = rng.permutation(40)[:KEYS].astype(np.int32)
    own = np.where(rng.random(n) < 0.5, tokens[rng.integers(0, KEYS, n)], rng.integers(0, 40, n)).astype(np.int32)
    slots = rng.permutation(KEYS).astype(np.int32)
    first, seen = rng.integers(0, KEYS, n).astype(np.int32), rng.integers(0, 4, n).astype(np.uint32)
    figures = rng.standard_normal((3, n)).astype(dtype)
    figures[0, ::2] = tile.MASKED
    figures[1, ::2] = 0
    figures[1] = np.abs(figures[1])
    return S, own, lo, count, tokens, slots, first, seen, tile.Lanes(np.empty(n, np.int32), np.empty(n, np.int32), np.empty(n, np.uint32),
                                                                     *figures)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("later", [False, True])
def test_masks_and_weights(dtype, later):
    S, own, lo, count, tokens, slots, first, seen, lanes = problem(dtype)
    scores, top, total = S.astype(float), lanes.top.astype(float), lanes.total.astype(float)
    forward(S, own, lo, count, tokens, slots, first, seen, later, lanes)
    for i in range(tile.LANES):
        s = scores[:, i].copy()
        s[tokens == own[i]] = tile.OWN
        places = np.arange(KEYS)
        masked = (places < lo[i]) | (places >= lo[i] + count[i]) | ((slots >= first[i]) & (slots < first[i] + seen[i]))
        if later:
            masked |= tokens > own[i]
        peak = max([top[i], *s[~masked]])
        p = np.exp(np.where(masked, -np.inf, s - peak))
        assert (S[masked, i] == 0).all()
        np.testing.assert_allclose(S[:, i], p, rtol=1e-5, atol=1e-30)
        np.testing.assert_allclose(lanes.top[i], peak, rtol=1e-6)
        np.testing.assert_allclose(lanes.total[i], total[i] * np.exp(top[i] - peak) + p.sum(), rtol=1e-5, atol=1e-30)
