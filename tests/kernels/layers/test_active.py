"""Layers on per-sample lists, against loops over samples in float64."""

import naive_nn
import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mongoose_nb.core.arrays import read_only
from mongoose_nb.kernels.layers import active

N, D = 50, 7
NONE = np.zeros(0, np.float32)


def lists(counts, seed=0, n_rows=N, spare=3):
    """(start, count, ids) of lists of distinct ids, with unused places between them; values for every place."""
    rng = np.random.default_rng(seed)
    count = np.array(counts, np.int64)
    start = np.cumsum(count + spare) - count
    ids = np.full(int(start[-1] + count[-1] + spare) if len(count) else 0, 10**9, np.int32)
    for s, n in zip(start, count):
        ids[s:s + n] = rng.choice(n_rows, n, replace=False)
    return start, count, ids, rng.standard_normal(len(ids)).astype(np.float32)


def layer(n_samples, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(np.float32) for shape in ((n_samples, D), (N, D), N)]


counts = st.lists(st.integers(0, 40), min_size=1, max_size=9)


@settings(deadline=None, max_examples=40)
@given(counts=counts, seed=st.integers(0, 99))
def test_sum_rows(counts, seed):
    start, count, ids, coef = lists(counts, seed)
    _, W, _ = layer(1, seed)
    bias = np.arange(D, dtype=np.float32)
    out = np.full((len(count), D), np.nan, np.float32)
    active.sum_rows(start, count, read_only(ids), read_only(coef), W, bias, out)
    want = [bias + coef[s:s + n].astype(float) @ W[ids[s:s + n]] for s, n in zip(start, count)]
    np.testing.assert_allclose(out, want, atol=1e-5)


@settings(deadline=None, max_examples=40)
@given(counts=counts, seed=st.integers(0, 99))
def test_logits_and_dots(counts, seed):
    start, count, ids, _ = lists(counts, seed)
    H, W, bias = layer(len(count), seed)
    out, dots = np.full((2, len(ids)), 7, np.float32)
    active.logits_active(H, W, bias, start, count, ids, out)
    active.dot_rows(H, W, start, count, read_only(ids), dots)
    used = np.zeros(len(ids), bool)
    for i, (s, n) in enumerate(zip(start, count)):
        part = slice(s, s + n)
        used[part] = True
        want = W[ids[part]].astype(float) @ H[i]
        np.testing.assert_allclose(dots[part], want, atol=1e-5)
        np.testing.assert_allclose(out[part], want + bias[ids[part]], atol=1e-5)
    assert (out[~used] == 7).all() and (dots[~used] == 7).all()


@settings(deadline=None, max_examples=60)
@given(counts=counts, seed=st.integers(0, 99), logistic=st.booleans(), size=st.sampled_from([1.0, 30.0]), by_output=st.booleans())
def test_loss(counts, seed, logistic, size, by_output):
    """Sets of 0 to 40 outputs (blocks are of 16), 0 to 3 labels, with filler and without."""
    rng = np.random.default_rng(seed)
    start, count, ids, _ = lists(counts, seed)
    H, W, bias = layer(len(count), seed)
    H *= np.float32(size)
    n_label = np.minimum(rng.integers(0, 4, len(count)), count)
    n_exact = np.minimum(n_label + rng.integers(0, 20, len(count)), count)
    shift = np.where(n_exact < count, 3 * rng.random(len(count)), 0).astype(np.float32)
    shifts = (3 * rng.random(len(ids) * by_output)).astype(np.float32)
    for s, n in zip(start, n_label):
        shifts[s:s + n] = 0
    delta = np.full(len(ids), 7, np.float32)
    scale = (0.5 + rng.random(len(count))).astype(np.float32)
    grad, loss = np.full((len(count), D), np.nan, np.float32), np.full(len(count), np.nan, np.float32)
    sets = active.Lists(start, count, read_only(ids), n_label, n_exact, shift, shifts, n_label)
    active.loss_active(H, W, bias, sets, logistic, scale, delta, grad, loss, np.empty(len(count), np.float32))
    for i, (s, n) in enumerate(zip(start, count)):
        row = ids[s:s + n]
        z = (W[row].astype(float) @ H[i] + bias[row])[None]
        y = (np.arange(n) < n_label[i])[None] * 1.0
        weight = np.where(np.arange(n) < n_exact[i], 1, np.exp(float(shift[i])))[None]
        if by_output:
            weight = weight * np.exp(shifts[s:s + n].astype(float))
        if n == 0:
            want, d = np.zeros(1), np.zeros((1, 0))
        else:
            want, d = naive_nn.loss_and_delta(z, y, weight, "logistic" if logistic else "softmax")
        np.testing.assert_allclose(loss[i], want[0], rtol=2e-5, atol=2e-5 * size)
        np.testing.assert_allclose(delta[s:s + n], scale[i] * d[0], rtol=1e-4, atol=1e-5 * size * weight.max(initial=1))
        np.testing.assert_allclose(grad[i], scale[i] * d[0] @ W[row], atol=1e-4 * size * weight.max(initial=1))
    unused = np.ones(len(ids), bool)
    for s, n in zip(start, count):
        unused[s:s + n] = False
    assert (delta[unused] == 7).all()


@pytest.mark.parametrize("logistic", [False, True])
@pytest.mark.parametrize("place", ["first", "last", "everywhere"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_reaches_the_loss(logistic, place, bad):
    start, count, ids, _ = lists([30])
    H, W, bias = layer(1)
    bias[ids[start[0]:start[0] + 30][{"first": slice(0, 1), "last": slice(29, 30), "everywhere": slice(None)}[place]]] = bad
    delta, grad, loss = np.empty(len(ids), np.float32), np.empty((1, D), np.float32), np.empty(1, np.float32)
    one = np.ones(1, np.int64)
    sets = active.Lists(start, count, read_only(ids), one, one, np.zeros(1, np.float32), NONE, one)
    active.loss_active(H, W, bias, sets, logistic, np.ones(1, np.float32), delta, grad, loss, np.empty(1, np.float32))
    if bad == -np.inf and place == "last":  # an output that cannot be
        assert np.isfinite(loss[0]) and np.isfinite(grad).all()
    elif bad == np.inf and place == "first" and logistic:  # a label that is certain
        assert np.isfinite(loss[0])
    else:
        assert not np.isfinite(loss[0])


@settings(deadline=None, max_examples=60)
@given(counts=counts, k=st.integers(1, 45), seed=st.integers(0, 99))
def test_topk(counts, k, seed):
    start, count, ids, _ = lists(counts, seed)
    rng = np.random.default_rng(seed)
    H, W = (rng.integers(-1, 2, shape).astype(np.float32) for shape in ((len(count), D), (N, D)))  # many ties, exact arithmetic
    bias = np.zeros(N, np.float32)
    scores, best = np.empty((len(count), k), np.float32), np.empty((len(count), k), np.int32)
    active.topk_active(H, W, bias, start, count, ids, scores, best)
    for i, (s, n) in enumerate(zip(start, count)):
        row = np.sort(ids[s:s + n])
        order = np.argsort(-(W[row] @ H[i]), kind="stable")[:k]
        missing = k - len(order)
        assert best[i].tolist() == row[order].tolist() + [-1] * missing
        assert scores[i].tolist() == (W[row] @ H[i])[order].tolist() + [-np.inf] * missing


def test_same_bits_for_any_number_of_threads():
    start, count, ids, coef = lists(np.arange(40) % 37, 1)
    H, W, bias = layer(40, 1)
    threads, results = numba.get_num_threads(), []
    for t in {1, threads}:
        numba.set_num_threads(t)
        delta, grad, loss = np.zeros(len(ids), np.float32), np.zeros((40, D), np.float32), np.zeros(40, np.float32)
        n_label = np.minimum(count, 2)
        sets = active.Lists(start, count, read_only(ids), n_label, count // 2 + n_label // 2, np.ones(40, np.float32), NONE, n_label)
        active.loss_active(H, W, bias, sets, False, np.ones(40, np.float32), delta, grad, loss, np.empty(40, np.float32))
        out = np.zeros((40, D), np.float32)
        active.sum_rows(start, count, read_only(ids), read_only(coef), W, np.zeros(D, np.float32), out)
        results.append((delta.tobytes(), grad.tobytes(), loss.tobytes(), out.tobytes()))
    numba.set_num_threads(threads)
    assert len(set(results)) == 1
