"""LSH attention against dense matrices, pair by pair, and its gradients against finite differences."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_attention import by_rounds, reached, reached_before, weights_of

from mongoose_nb.attention import LSHAttention, ScatterbrainAttention, full_attention, lsh_attention
from mongoose_nb.attention.rotations import count_buckets

CASES = [("paper", False, False), ("paper", False, True), ("paper", True, False), ("paper", True, True), ("released", False, False),
         ("released", True, False)]


def arrays(seed, B=2, H=2, T=75, d=8, separate=False, dtype=np.float64, padded=True):
    rng = np.random.default_rng(seed)
    qk, v, k, dout = rng.standard_normal((4, B, H, T, d)).astype(dtype)
    return qk, v, k if separate else None, rng.random((B, T)) > (0.2 if padded else -1), dout


def naive(layer, qk, v, k, mask, cache):
    out = np.zeros(qk.shape)
    for b in range(qk.shape[0]):
        for h in range(qk.shape[1]):
            codes, keys = (cache.buckets[b, h], None) if k is None else (c[b, h] for c in cache.buckets)
            counts = (reached_before(codes, mask[b], cache.rules.chunk) if layer.strict else
                      reached(codes, mask[b], cache.rules.chunk, layer.causal, layer.variant, keys)).sum(axis=0)
            if layer.variant == "paper":
                counts = np.minimum(counts, 1)
            other = qk[b, h] if k is None else k[b, h]
            out[b, h] = weights_of(qk[b, h].astype(float), other.astype(float), counts, k is None)[0] @ v[b, h]
    return out


@pytest.mark.parametrize("variant, causal, separate, strict", [(*case, False) for case in CASES] + [("paper", True, False, True)])
@pytest.mark.parametrize("rounds", [1, 3])
def test_forward_and_gradients(variant, causal, separate, strict, rounds):
    qk, v, k, mask, dout = arrays(1, separate=separate)
    layer = LSHAttention(rounds, 8, causal, variant=variant, exact_below=0, strict=strict, n_buckets=4 if strict else None)
    out, cache = layer.forward(qk, v, k, mask)
    np.testing.assert_allclose(out, naive(layer, qk, v, k, mask, cache), rtol=1e-12, atol=1e-13)
    assert (out[~mask[:, None].repeat(2, 1)] == 0).all()
    rng = np.random.default_rng(2)
    for x, gradient in zip((qk, v, k), layer.backward(dout, cache)):
        along = rng.standard_normal(x.shape)
        ends = []
        for step in (1e-6, -1e-6):
            moved = [x + step * along if y is x else y for y in (qk, v, k)]
            ends.append((layer.forward(*moved, mask, buckets=cache.buckets)[0] * dout).sum())
        numeric = (ends[0] - ends[1]) / 2e-6
        assert abs((gradient * along).sum() - numeric) < 1e-6 * np.abs(gradient * along).sum()


@pytest.mark.parametrize("causal", [False, True])
def test_one_softmax_over_all_rounds_is_the_papers_sum_of_rounds(causal):
    qk, v, _, _, _ = arrays(3, 1, 1, padded=False)
    layer = LSHAttention(4, 8, causal, exact_below=0)
    out, cache = layer.forward(qk, v)
    counts = reached(cache.buckets[0, 0], np.ones(75, bool), 16, causal)
    np.testing.assert_allclose(out[0, 0], by_rounds(qk[0, 0], v[0, 0], counts), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("variant", ["paper", "released"])
@pytest.mark.parametrize("causal", [False, True])
def test_one_bucket_is_exact_attention(variant, causal):
    qk, v, _, mask, dout = arrays(4)
    layer = LSHAttention(1, 256, causal, variant=variant, exact_below=0)
    exact = LSHAttention(causal=causal, kind="full")
    (a, one), (b, two) = layer.forward(qk, v, mask=mask), exact.forward(qk, v, mask=mask)
    np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)
    for x, y in zip(layer.backward(dout, one), exact.backward(dout, two)):
        np.testing.assert_allclose(x, y, rtol=1e-11, atol=1e-13)


def test_a_token_alone_attends_to_itself():
    qk, v, _, _, dout = arrays(5, 1, 1, 3)
    buckets = np.array([[[[0, 1, 0]]]], np.int32)
    layer = LSHAttention(1, 1, True, exact_below=0)
    out, cache = layer.forward(qk, v, buckets=buckets)
    np.testing.assert_array_equal(out[0, 0], v[0, 0, [0, 1, 0]])
    dqk, dv = layer.backward(dout, cache)
    np.testing.assert_allclose(dqk, 0, atol=1e-14)
    np.testing.assert_allclose(dv[0, 0], [dout[0, 0, 0] + dout[0, 0, 2], dout[0, 0, 1], np.zeros(8)])


def test_separate_keys_may_leave_a_query_with_nothing():
    qk, v, k, _, dout = arrays(6, 1, 1, 3, separate=True)
    buckets = np.array([[[[0, 1, 1]]]], np.int32), np.array([[[[1, 1, 0]]]], np.int32)
    layer = LSHAttention(1, 1, True, exact_below=0)
    out, cache = layer.forward(qk, v, k, buckets=buckets)
    assert (out[0, 0, 0] == 0).all() and np.isfinite(out).all()
    assert all(np.isfinite(g).all() for g in layer.backward(dout, cache))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 90), st.integers(1, 12), st.integers(1, 4), st.integers(1, 20), st.booleans(),
       st.integers(0, 999))
def test_any_shape(B, H, T, d, rounds, bucket_size, causal, seed):
    qk, v, _, mask, dout = arrays(seed, B, H, T, d)
    layer = LSHAttention(rounds, bucket_size, causal, exact_below=0, seed=seed)
    out, cache = layer.forward(qk, v, mask=mask)
    np.testing.assert_allclose(out, naive(layer, qk, v, None, mask, cache), rtol=1e-10, atol=1e-11)
    assert all(np.isfinite(g).all() and g.shape == qk.shape for g in layer.backward(dout, cache))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(2, 300), st.integers(1, 12), st.integers(1, 4), st.integers(1, 20),
       st.sampled_from([1, 2, 6, 16]), st.integers(0, 999))
def test_a_prefix_alone_has_the_outputs_that_it_has_in_a_longer_text(B, H, T, d, rounds, bucket_size, n_buckets, seed):
    """Strictly causal: hash functions, buckets and who is seen do not depend on later tokens; nor do gradients of what lies before."""
    qk, v, _, mask, dout = arrays(seed, B, H, T, d)
    layer = LSHAttention(rounds, bucket_size, True, strict=True, n_buckets=n_buckets, seed=seed)
    out, cache = layer.forward(qk, v, mask=mask)
    np.testing.assert_allclose(out, naive(layer, qk, v, None, mask, cache), rtol=1e-10, atol=1e-11)
    n = 1 + seed % (T - 1)
    before, part = layer.forward(qk[:, :, :n], v[:, :, :n], mask=mask[:, :n])
    np.testing.assert_array_equal(cache.buckets[..., :n], part.buckets)
    np.testing.assert_allclose(out[:, :, :n], before, rtol=1e-11, atol=1e-12)
    dout[:, :, n:] = 0
    for whole, some in zip(layer.backward(dout, cache), layer.backward(dout[:, :, :n], part)):
        np.testing.assert_allclose(whole[:, :, :n], some, rtol=1e-9, atol=1e-10)
        assert not whole[:, :, n:].any()


def test_without_strict_a_prefix_depends_on_what_follows():
    qk, v, _, _, _ = arrays(20, 1, 1, 256, padded=False)
    layer = LSHAttention(1, 8, True, exact_below=0)
    assert np.abs(layer.forward(qk, v)[0][:, :, :100] - layer.forward(qk[:, :, :100], v[:, :, :100])[0]).max() > 0.1
    fixed = LSHAttention(1, 8, True, exact_below=0, n_buckets=4)  # functions alone do not help
    assert np.abs(fixed.forward(qk, v)[0][:, :, :100] - fixed.forward(qk[:, :, :100], v[:, :, :100])[0]).max() > 0.1


def test_strictly_causal_hashing_gives_the_same_bits_for_any_length():
    qk, v, _, _, _ = arrays(21, 2, 2, 700, 16, dtype=np.float32, padded=False)
    layer = LSHAttention(2, 16, True, strict=True, n_buckets=16)
    whole = layer.buckets(qk)
    for n in (1, 5, 127, 128, 129, 300, 699):
        np.testing.assert_array_equal(layer.buckets(qk[:, :, :n]), whole[..., :n])
    for other in (LSHAttention(2, 16, True, strict=True, n_buckets=16, redraw=True), layer):
        rows, single = np.ascontiguousarray(qk[1].transpose(1, 0, 2)), other.row_buckets(3)
        want = other.buckets(qk, 3)[1].transpose(2, 0, 1)
        for part in (slice(0, 1), slice(1, 2), slice(350, 391), slice(0, 700)):
            np.testing.assert_array_equal(single(rows[part]), want[part])


@pytest.mark.parametrize("arguments, message", [
    ({"causal": False}, "needs causal=True; got False"), ({"variant": "released"}, "needs variant='paper'; got 'released'"),
    ({"exact_below": 64}, "needs exact_below=0; got 64"), ({"n_buckets": None}, "needs n_buckets"),
    ({"n_buckets": 3}, "n_buckets must be even"), ({"n_buckets": 0}, "n_buckets must be an integer from 1")])
def test_strictly_causal_attention_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        LSHAttention(**{"causal": True, "strict": True, "n_buckets": 4} | arguments)
    layer = LSHAttention(causal=True, strict=True, n_buckets=4)
    qk, v, k, _, _ = arrays(22, separate=True)
    with pytest.raises(ValueError, match="no separate keys"):
        layer.forward(qk, v, k)


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_the_future_and_padding_change_nothing(variant):
    qk, v, _, mask, _ = arrays(7, 1, 2, 64, padded=True)
    layer = LSHAttention(2, 8, True, variant=variant, exact_below=0)
    out, cache = layer.forward(qk, v, mask=mask)
    other = v.copy()
    other[:, :, 40:] = np.nan_to_num(np.inf)
    other[~mask[:, None].repeat(2, 1)] = np.nan
    again, _ = layer.forward(qk, other, mask=mask, buckets=cache.buckets)
    np.testing.assert_array_equal(out[:, :, :40], again[:, :, :40])


KINDS = [lambda: LSHAttention(kind="full", causal=True), lambda: LSHAttention(2, 4, True, exact_below=0),
         lambda: LSHAttention(2, 4, True, variant="released", exact_below=0), lambda: LSHAttention(2, 4, "strict", n_buckets=2),
         lambda: ScatterbrainAttention(4, "local", window=3, causal=True)]


@pytest.mark.parametrize("made", KINDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_of_later_and_of_masked_tokens_change_no_bit_whatever_they_are(made, dtype, value):
    qk, v, _, _, dout = arrays(3, T=30, dtype=dtype)
    mask = np.ones((2, 30), bool)
    mask[0, 3] = False
    other, layer = v.copy(), made()
    other[0, :, 3] = other[:, :, 20, 1] = value
    (out, cache), (wanted, finite) = layer.forward(qk, other, mask=mask), layer.forward(qk, v, mask=mask)
    np.testing.assert_array_equal(out[:, :, :20], wanted[:, :, :20])
    np.testing.assert_array_equal(out[:, :, 20:, 2:], wanted[:, :, 20:, 2:])
    assert not np.isfinite(out[:, :, 21:, 1]).all()
    dout[:, :, 20:] = 0  # nothing else reaches gradients of earlier tokens
    cache = cache._replace(out=finite.out) if isinstance(cache.out, tuple) else cache
    if not isinstance(layer, ScatterbrainAttention):
        for x, y in zip(layer.backward(dout, cache), layer.backward(dout, finite)):
            np.testing.assert_array_equal(x[:, :, :20], y[:, :, :20])


ALL_KINDS = [*KINDS, lambda: LSHAttention(kind="full"), lambda: LSHAttention(2, 4, exact_below=0), lambda: ScatterbrainAttention(4, None),
             lambda: ScatterbrainAttention(0, "local", window=3)]


@pytest.mark.parametrize("made", ALL_KINDS)
@pytest.mark.parametrize("place", [0, 20])
def test_nan_in_a_query_is_nan_in_its_output_and_gradient(made, place):
    for dtype in ("float32", "float64"):
        qk, v, _, _, dout = arrays(3, T=30, dtype=dtype)
        layer = made()
        wanted = layer.forward(qk, v)[0]
        qk[:, :, place, 1] = np.nan
        out, cache = layer.forward(qk, v)
        assert np.isnan(out[:, :, place]).all()
        if getattr(layer, "kind", "") == "full" and layer.causal:
            np.testing.assert_array_equal(out[:, :, :place], wanted[:, :, :place])
            assert np.isnan(out[:, :, place:]).all()
        if place:
            assert np.isnan(layer.backward(dout, cache)[0][:, :, place]).all()


@pytest.mark.parametrize("made", [KINDS[0], lambda: ScatterbrainAttention(4, None, causal=True)])
def test_nan_in_a_separate_key_is_nan_for_those_who_see_it(made):
    qk, v, k, _, _ = arrays(3, T=30, separate=True)
    wanted = made().forward(qk, v, k)[0]
    k[:, :, 20, 1] = np.nan
    out, _ = made().forward(qk, v, k)
    np.testing.assert_array_equal(out[:, :, :20], wanted[:, :, :20])
    assert np.isnan(out[:, :, 20:]).all()


def test_float32_agrees_with_float64():
    qk, v, _, mask, dout = arrays(8, 2, 2, 200, 16, dtype=np.float32)
    layer = LSHAttention(2, 16, True, exact_below=0)
    out, cache = layer.forward(qk, v, mask=mask)
    exact, twin = layer.forward(qk.astype(np.float64), v.astype(np.float64), mask=mask, buckets=cache.buckets)
    np.testing.assert_allclose(out, exact, rtol=2e-5, atol=2e-6)
    for a, b in zip(layer.backward(dout, cache), layer.backward(dout.astype(np.float64), twin)):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_threads_and_layout_change_no_bit():
    import numba

    qk, v, _, mask, dout = arrays(9, 2, 3, 700, 16, dtype=np.float32)
    turned = [np.ascontiguousarray(a.transpose(0, 2, 1, 3)).transpose(0, 2, 1, 3) for a in (qk, v, dout)]
    before = numba.get_num_threads()
    results = []
    for threads, (q, w, g) in ((1, (qk, v, dout)), (before, (qk, v, dout)), (before, turned)):
        numba.set_num_threads(threads)
        for variant in ("paper", "released"):
            layer = LSHAttention(2, 16, True, variant=variant, exact_below=0)
            out, cache = layer.forward(q, w, mask=mask, step=5)
            results.append([out, *layer.backward(g, cache)])
    numba.set_num_threads(before)
    assert results[-1][0].strides == turned[0].strides
    for some in results[2:]:
        expected = results[0 if some is results[2] or some is results[4] else 1]
        for a, b in zip(some, expected):
            np.testing.assert_array_equal(a, b)


def test_hashing_is_reproducible():
    qk, v, _, _, _ = arrays(10, dtype=np.float32, padded=False)
    for variant, redraws in (("paper", False), ("released", True)):
        layer = LSHAttention(2, 8, True, variant=variant, exact_below=0, seed=3)
        first, cache = layer.forward(qk, v, step=1)
        np.testing.assert_array_equal(first, layer.forward(qk, v, step=1)[0])
        np.testing.assert_array_equal(first, layer.forward(qk, v, step=2, buckets=cache.buckets)[0])
        assert (layer.buckets(qk, 1) != layer.buckets(qk, 2)).any() == redraws
        assert (layer.buckets(qk, 1) != LSHAttention(2, 8, True, variant=variant, seed=4).buckets(qk, 1)).any()


def test_buckets_are_the_largest_side_of_a_projection():
    qk = arrays(11, T=100)[0]
    rng = np.random.default_rng(0)
    rotations = rng.standard_normal((2, 3, 8, 9))
    layer = LSHAttention(3, 8, rotations=rotations)
    z = np.einsum("bhtd,hrdc->bhrtc", qk, rotations[..., :count_buckets(100, 8) // 2])
    np.testing.assert_array_equal(layer.buckets(qk), np.concatenate([z, -z], -1).argmax(-1))
    np.testing.assert_array_equal(layer.buckets(qk)[:, 0], LSHAttention(3, 8, rotations=rotations[0]).buckets(qk)[:, 0])
    np.testing.assert_array_equal(layer.buckets(qk), layer.buckets(3 * qk))


def test_near_tokens_share_buckets_more_often_than_far_ones():
    """Collision frequencies fall with the angle, over 20,000 tokens: far beyond chance."""
    rng = np.random.default_rng(12)
    x = rng.standard_normal((1, 1, 20_000, 16))
    rates = []
    for noise in (0.1, 0.5, 2.0):
        y = x + noise * rng.standard_normal(x.shape)
        layer = LSHAttention(1, 1250, rotations="orthogonal")
        rates.append((layer.buckets(x) == layer.buckets(y)).mean())
    assert rates[0] > rates[1] + 0.05 > rates[2] + 0.1 and rates[2] > 1.2 / 16


def test_number_of_buckets():
    assert [count_buckets(n, 64) for n in (1, 64, 65, 128, 129, 256, 257, 1024)] == [1, 1, 2, 2, 4, 4, 6, 16]


def test_exact_below():
    qk, v, _, mask, dout = arrays(13)
    layer = LSHAttention(2, 8, True, exact_below=76)
    assert [LSHAttention(2, 8).is_exact(n) for n in (31, 32)] == [True, False]
    assert layer.is_exact(75) and not layer.is_exact(76)
    out, cache = layer.forward(qk, v, mask=mask)
    np.testing.assert_array_equal(out, full_attention(qk, v, causal=True, mask=mask)[0])
    assert len(layer.backward(dout, cache)) == 2


def test_the_function_is_the_object():
    qk, v, _, mask, dout = arrays(14)
    layer = LSHAttention(2, 8, True, seed=5, exact_below=0)
    out, cache = layer.forward(qk, v, mask=mask)
    same, backward = lsh_attention(qk, v, n_hashes=2, bucket_size=8, causal=True, mask=mask, seed=5, exact_below=0)
    np.testing.assert_array_equal(out, same)
    for a, b in zip(layer.backward(dout, cache), backward(dout)):
        np.testing.assert_array_equal(a, b)


def test_read_only_input():
    qk, v, _, mask, _ = arrays(15)
    expected = LSHAttention(1, 8, exact_below=0).forward(qk, v, mask=mask)[0]
    for a in (qk, v, mask):
        a.flags.writeable = False
    np.testing.assert_array_equal(LSHAttention(1, 8, exact_below=0).forward(qk, v, mask=mask)[0], expected)


def test_errors():
    qk, v, k, mask, dout = arrays(16, separate=True)
    layer = LSHAttention(2, 8, exact_below=0)
    with pytest.raises(ValueError, match="qk must be a float32 or float64 array"):
        layer.forward(qk[0], v)
    with pytest.raises(ValueError, match="v must have shape"):
        layer.forward(qk, v[:, :, 1:])
    with pytest.raises(ValueError, match="mask must be a bool array"):
        layer.forward(qk, v, mask=mask.astype(int))
    with pytest.raises(ValueError, match="no separate keys"):
        LSHAttention(2, 8, variant="released", exact_below=0).forward(qk, v, k)
    with pytest.raises(ValueError, match="buckets must be an int32 array"):
        layer.forward(qk, v, buckets=np.full((2, 2, 2, 75), 10, np.int32))
    with pytest.raises(ValueError, match="rotations must be"):
        LSHAttention(2, 8, rotations=np.zeros((2, 2, 8, 4)), exact_below=0).forward(qk, v)
    with pytest.raises(ValueError, match="rotations must be one of"):
        LSHAttention(2, 8, rotations="none", exact_below=0).forward(qk, v)
    with pytest.raises(ValueError, match="variant must be one of 'paper', 'released'"):
        LSHAttention(variant="other")


@pytest.mark.parametrize("settings", [{}, {"causal": "strict", "n_buckets": 2}, {"variant": "released"}])
def test_a_bucket_for_more_than_all_tokens_is_one_for_all(settings):
    qk, v, _, _, _ = arrays(0, T=6)
    out = LSHAttention(2, 2**70, **{"exact_below": 0, **settings}).forward(qk, v)[0]
    np.testing.assert_array_equal(out, LSHAttention(2, 6, **{"exact_below": 0, **settings}).forward(qk, v)[0])


@pytest.mark.parametrize("rotations, words", [("nope", "rotations.*'orthogonal'"), (np.full((4, 8, 2), np.nan), "finite"),
                                              (np.ones((3, 8, 2)), "4 rounds.*float64"), ([["a"]], "array of numbers")])
def test_wrong_rotations_are_refused_at_once(rotations, words):
    with pytest.raises(ValueError, match=words):
        LSHAttention(rotations=rotations)
