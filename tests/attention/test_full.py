"""Exact attention by blocks against dense matrices and finite differences."""

import numpy as np
import pytest
from naive_attention import all_pairs, weights_of

from mongoose_nb.attention import (
    LearnedRotations,
    LSHAttention,
    ScatterbrainAttention,
    attention_mass,
    full_attention,
    full_attention_backward,
    lsh_attention,
)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("separate", [False, True])
@pytest.mark.parametrize("heads", [1, 9])  # with one head its work is shared
def test_forward_and_gradients(causal, separate, heads):
    rng = np.random.default_rng(1)
    B, T, d = 1, 150, 8
    qk, v, k, dout = rng.standard_normal((4, B, heads, T, d))
    k = k if separate else None
    mask = rng.random((B, T)) > 0.2
    out, cache = full_attention(qk, v, k, causal=causal, mask=mask)
    for h in range(heads):
        w, z = weights_of(qk[0, h], qk[0, h] if k is None else k[0, h], all_pairs(mask[0], causal), k is None)
        np.testing.assert_allclose(out[0, h], w @ v[0, h], rtol=1e-11, atol=1e-13)
        np.testing.assert_allclose(cache.log_z[0, h][mask[0]], z[mask[0]], rtol=1e-11)
    for x, gradient in zip((qk, v, k), full_attention_backward(dout, cache)):
        along = rng.standard_normal(x.shape)
        ends = [(full_attention(*(x + e * along if y is x else y for y in (qk, v, k)), causal=causal, mask=mask)[0] * dout).sum()
                for e in (1e-6, -1e-6)]
        assert abs((gradient * along).sum() - (ends[0] - ends[1]) / 2e-6) < 1e-6 * np.abs(gradient * along).sum()


@pytest.mark.parametrize("length", [1, 2, 31, 32, 33, 127, 128, 129, 300])
def test_any_length(length):
    rng = np.random.default_rng(2)
    qk, v = rng.standard_normal((2, 1, 1, length, 4))
    out, _ = full_attention(qk, v, causal=True)
    expected = weights_of(qk[0, 0], qk[0, 0], all_pairs(np.ones(length, bool), True), True)[0] @ v[0, 0]
    np.testing.assert_allclose(out[0, 0], expected, rtol=1e-11, atol=1e-13)


def test_only_padding_gives_zeros():
    qk = np.ones((2, 1, 5, 4))
    out, cache = full_attention(qk, qk, mask=np.array([[False] * 5, [True] * 5]))
    assert (out[0] == 0).all() and (out[1] == 1).all()
    dqk, dv = full_attention_backward(np.ones_like(qk), cache)
    assert (dqk[0] == 0).all() and (dv[0] == 0).all() and np.isfinite(dqk).all()


def test_threads_change_no_bit():
    import numba

    rng = np.random.default_rng(3)
    qk, v, dout = rng.standard_normal((3, 1, 2, 400, 16)).astype(np.float32)
    before = numba.get_num_threads()
    results = []
    for threads in (1, before):
        numba.set_num_threads(threads)
        out, cache = full_attention(qk, v, causal=True)
        results.append([out, *full_attention_backward(dout, cache)])
    numba.set_num_threads(before)
    for a, b in zip(*results):
        np.testing.assert_array_equal(a, b)


EMPTY = [(1, 0, 5, 4), (1, 2, 5, 0), (0, 0, 0, 0)]


@pytest.mark.parametrize("shape", EMPTY)
def test_no_heads_and_no_width_are_refused_by_every_attention(shape):
    """They are mistakes of a shape; a reshape said so in its own words."""
    x, layer = np.zeros(shape), LSHAttention(1, 4, exact_below=0)
    for call in (lambda: full_attention(x, x), lambda: lsh_attention(x, x), lambda: layer.forward(x, x), lambda: layer.buckets(x),
                 lambda: layer.reach(x), lambda: ScatterbrainAttention(8).forward(x, x), lambda: attention_mass(layer, x),
                 lambda: LearnedRotations(1, 1, 4, 2).mine(layer, x)):
        with pytest.raises(ValueError, match=r"must be .* with a head at least, of width 1 or more; got float64 \("):
            call()


@pytest.mark.parametrize("shape", [(0, 2, 5, 4), (2, 1, 0, 4)])
def test_no_sequences_and_no_tokens_give_nothing(shape):
    x = np.zeros(shape)
    for layer in (LSHAttention(kind="full"), LSHAttention(2, 4, exact_below=0), LSHAttention(2, 4, exact_below=0, variant="released"),
                  ScatterbrainAttention(8)):
        out, cache = layer.forward(x, x)
        assert out.shape == shape and all(part.shape == shape for part in layer.backward(x, cache))
