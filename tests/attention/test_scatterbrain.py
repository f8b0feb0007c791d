"""Scatterbrain against dense float64 matrices, and its parents as settings of the same call."""

import numpy as np
import pytest

from mongoose_nb.attention import LSHAttention, ScatterbrainAttention, full_attention, scatterbrain_attention
from mongoose_nb.attention.features import draw_features, positive_features

B, H, T, D = 2, 2, 13, 6
MASK = np.ones((B, T), bool)
MASK[1, 9:] = False
MASK[0, 3] = False


def arrays(n=3, scale=1.0):
    return scale * np.random.default_rng(0).standard_normal((n, B, H, T, D))


def naive(layer, q, v, k, mask):
    """Dense: exact weights on the support, estimates off it, normalised."""
    shared = k is None
    start, keys = layer.support_of(q, k, mask)
    omega = draw_features(H, layer.n_features, D, layer.seed)
    out = np.zeros_like(q)
    for b in range(B):
        for h in range(H):
            key = q[b, h] / np.linalg.norm(q[b, h], axis=1, keepdims=True) if shared else k[b, h]
            x, y = q[b, h] * D**-0.25, key * D**-0.25
            exact = np.exp(x @ y.T)
            w = positive_features(x, omega[h]) @ positive_features(y, omega[h]).T if layer.n_features else np.zeros((T, T))
            for t in range(T):
                mine = keys[start[b * H + h, t]:start[b * H + h, t + 1]]
                assert len(set(mine)) == len(mine)
                w[t, mine] = exact[t, mine]
            w *= mask[b][None, :] & mask[b][:, None] & (np.tri(T, dtype=bool) | (not layer.causal))
            if shared:
                np.fill_diagonal(w, 0)
                w[np.arange(T), np.arange(T)] = (w.sum(axis=1) == 0) & mask[b]
            out[b, h] = w @ v[b, h] / np.maximum(w.sum(axis=1, keepdims=True), 1e-300)
    return out


SETTINGS = [{"support": "lsh", "n_hashes": 2, "bucket_size": 3}, {"support": "local", "window": 3}, {"support": None},
            {"support": "lsh", "n_features": 0, "bucket_size": 3}, {"support": np.arange(T)[:, None] % 3 == np.arange(T)[None, :] % 3}]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("separate", [False, True])
@pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: str(s.get("support"))[:5] + str(s.get("n_features", "")))
def test_output_and_gradients_match_dense_float64(settings, separate, causal):
    q, v, k = arrays()
    k = k if separate else None
    layer = ScatterbrainAttention(**{"n_features": 5, "causal": causal, **settings})
    out, cache = layer.forward(q, v, k, MASK)
    np.testing.assert_allclose(out, naive(layer, q, v, k, MASK), atol=1e-12)
    rng = np.random.default_rng(1)
    g = rng.standard_normal(q.shape)
    gradients = layer.backward(g, cache)
    for i, x in enumerate((q, v, k) if separate else (q, v)):
        direction = rng.standard_normal(x.shape)
        moved = []
        for side in (1e-6, -1e-6):
            given = [q, v, k]
            given[i] = x + side * direction
            # the hashed pairs are held: they do not change for so small a step but on a bound
            moved.append(np.vdot(g, naive(layer, *given, MASK)))
        want = (moved[0] - moved[1]) / 2e-6
        assert abs(want - np.vdot(direction, gradients[i])) < 1e-6 * max(1, abs(want))


@pytest.mark.parametrize("causal", [False, True])
def test_parents_are_settings(causal):
    q, v, k = arrays()
    everything = np.ones((T, T), bool)
    for keys in (None, k):
        out, _ = scatterbrain_attention(q, v, k=keys, mask=MASK, support=everything, n_features=4, causal=causal)
        np.testing.assert_allclose(out, full_attention(q, v, keys, causal=causal, mask=MASK)[0], atol=1e-10)
        sparse = LSHAttention(2, 3, causal, exact_below=0).forward(q, v, keys, MASK)[0]
        out, _ = scatterbrain_attention(q, v, k=keys, mask=MASK, n_features=0, n_hashes=2, bucket_size=3, causal=causal)
        reached = np.abs(out).sum(axis=-1) > 0
        np.testing.assert_allclose(out[reached], sparse[reached], atol=1e-10)


def test_many_features_come_near_exact_attention():
    q, v, k = arrays(scale=0.5)
    exact = full_attention(q, v, k)[0]
    few, many = (np.abs(scatterbrain_attention(q, v, k=k, support=None, n_features=m)[0] - exact).mean() for m in (6, 6000))
    assert many < few / 5


def test_features_are_unbiased():
    """Mean of 300 draws within 6 % of exp(q . k); the standard error is below 2 % here."""
    x, y = 0.3 * np.random.default_rng(2).standard_normal((2, 20, 16))
    exact = np.exp(x @ y.T)
    mean = sum(positive_features(x, w) @ positive_features(y, w).T for w in draw_features(300, 32, 16, 5)) / 300
    assert np.linalg.norm(mean - exact) < 0.06 * np.linalg.norm(exact)


@pytest.mark.parametrize("settings", [{"support": "lsh", "strict": True, "n_buckets": 4, "bucket_size": 3}, {"support": "local"},
                                      {"support": None}], ids=str)
def test_later_tokens_change_nothing_to_the_bit(settings):
    q, v, _ = arrays()
    layer = ScatterbrainAttention(8, causal=True, **settings)
    out = layer.forward(q, v)[0]
    for t in (1, 6, 11):
        other_q, other_v = q.copy(), v.copy()
        other_q[:, :, t:] *= -30
        other_v[:, :, t:] += 5
        assert layer.forward(other_q, other_v)[0][:, :, :t].tobytes() == out[:, :, :t].tobytes()
        assert layer.forward(q[:, :, :t], v[:, :, :t])[0].tobytes() == out[:, :, :t].tobytes()


def test_large_scores_stay_finite():
    q, v, k = arrays(scale=100.0)
    for causal in (False, True):
        layer = ScatterbrainAttention(8, support="local", window=2, causal=causal)
        out, cache = layer.forward(q.astype(np.float32), v.astype(np.float32), k.astype(np.float32))
        assert out.dtype == np.float32 and np.isfinite(out).all()
        assert all(np.isfinite(g).all() for g in layer.backward(out, cache))


@pytest.mark.parametrize("settings, words", [({"support": "dense"}, "support"), ({"n_features": 0, "support": None}, "nothing to compute"),
                                             ({"support": np.ones((3, 3))}, "bool"), ({"n_features": -1}, "n_features")])
def test_errors_name_the_argument(settings, words):
    with pytest.raises((ValueError, TypeError), match=words):
        ScatterbrainAttention(**settings)


def test_support_of_another_length_is_an_error():
    with pytest.raises(ValueError, match="support is for"):
        ScatterbrainAttention(4, np.ones((3, 3), bool)).forward(*arrays(2))


@pytest.mark.parametrize("causal", [False, True])
def test_a_window_wider_than_the_sequence_is_all_of_it(causal):
    q, _, v = arrays()
    wide, all_of_it = (ScatterbrainAttention(4, "local", window=w, causal=causal).forward(q, v)[0] for w in (10**30, q.shape[2]))
    np.testing.assert_array_equal(wide, all_of_it)
