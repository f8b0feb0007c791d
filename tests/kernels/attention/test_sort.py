"""Orders and intervals against sorting and comparing pair by pair."""

import numpy as np
import pytest
from naive_attention import reached

from mongoose_nb.kernels.attention.chunks import Rules
from mongoose_nb.kernels.attention.sort import sort_tokens


def plan(codes, keys, valid, n_buckets, chunk, causal, across, shared, strict=False):
    shape = codes.shape
    order_q, order_k, slot_k = np.full((3, *shape), -7, np.int32)
    if shared:
        order_q = order_k
    reach = np.empty((*shape, 2), np.int32)
    sort_tokens(codes, keys, valid, n_buckets, Rules(chunk, shared, causal, across, True, False, strict), order_q, order_k, slot_k, reach)
    return order_q, order_k, slot_k, reach


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("shared", [False, True])
def test_intervals_hold_the_keys_of_the_book(causal, shared):
    rng = np.random.default_rng(1)
    for T, n_buckets, chunk in ((1, 1, 4), (40, 6, 4), (67, 8, 16), (33, 2, 5)):
        codes = rng.integers(0, n_buckets, (2, 1, 2, T)).astype(np.int32)
        keys = codes if shared else rng.integers(0, n_buckets, codes.shape).astype(np.int32)
        valid = rng.random((2, T)) > 0.2
        order_q, order_k, slot_k, reach = plan(codes, keys, valid, n_buckets, chunk, causal, False, shared)
        for b in range(2):
            n = valid[b].sum()
            counts = reached(codes[b, 0], valid[b], chunk, causal, keys=None if shared else keys[b, 0])
            for r in range(2):
                for order, some in ((order_q, codes), (order_k, keys)):
                    expected = sorted(np.flatnonzero(valid[b]), key=lambda t: (some[b, 0, r, t], t))
                    np.testing.assert_array_equal(order[b, 0, r, :n], expected)
                np.testing.assert_array_equal(slot_k[b, 0, r, order_k[b, 0, r, :n]], np.arange(n))
                assert (slot_k[b, 0, r, ~valid[b]] == -1).all()
                for t in range(T):
                    lo, count = reach[b, 0, r, t]
                    seen = np.sort(order_k[b, 0, r, lo:lo + count])
                    np.testing.assert_array_equal(seen, np.flatnonzero(counts[r, t]))


def test_across_buckets_the_interval_is_the_window():
    codes = np.random.default_rng(2).integers(0, 4, (1, 1, 1, 50)).astype(np.int32)
    order, _, _, reach = plan(codes, codes, np.ones((1, 50), bool), 4, 8, True, True, True)
    for place, t in enumerate(order[0, 0, 0]):
        chunk = place // 8
        assert reach[0, 0, 0, t].tolist() == [max(0, 8 * (chunk - 1)), min(50, 8 * (chunk + 1)) - max(0, 8 * (chunk - 1))]


@pytest.mark.parametrize("chunk", [1, 4, 100])
def test_strictly_causal_intervals_are_the_last_keys_of_the_bucket(chunk):
    rng = np.random.default_rng(3)
    codes = rng.integers(0, 5, (2, 2, 3, 67)).astype(np.int32)
    valid = rng.random((2, 67)) > 0.2
    order, _, _, reach = plan(codes, codes, valid, 6, chunk, True, False, True, True)
    for b, h, r, t in np.ndindex(codes.shape):
        if valid[b, t]:
            lo, count = reach[b, h, r, t]
            before = [j for j in range(t + 1) if valid[b, j] and codes[b, h, r, j] == codes[b, h, r, t]]
            assert order[b, h, r, lo:lo + count].tolist() == before[-chunk:]
