"""The transform that makes an inner product with a bias look like a cosine."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mongoose_nb.hashing.inner_product import CenteredInnerProduct, center_queries


def problem(n=200, d=6, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((n, d)) + 2).astype(np.float32), rng.standard_normal(n).astype(np.float32), rng


@settings(deadline=None, max_examples=40)
@given(n=st.integers(1, 300), d=st.integers(1, 20), seed=st.integers(0, 1000), length=st.sampled_from([0.0, 0.3, 5.0]))
def test_inner_products_keep_their_order(n, d, seed, length):
    """They differ from w . h + b by a term that is the same for all rows."""
    W, b, rng = problem(n, d, seed)
    H = (rng.random((7, d)) * 3).astype(np.float32)
    rows = CenteredInnerProduct(W, b, H.mean(0), length)
    queries = center_queries(H, rows.query_mean, rows.extra)
    assert rows.shape == (n, d + 1) and queries.shape == (7, d + 1) and queries.dtype == np.float32
    got = rows[:n].astype(float) @ queries.T.astype(float)
    want = W.astype(float) @ H.T.astype(float) + b[:, None]
    difference = got - want
    np.testing.assert_allclose(difference - difference.mean(0), 0, atol=1e-5 * (1 + np.abs(want).max()))


def test_rows_are_centred_and_made_on_the_fly():
    W, b, rng = problem(1000)
    rows = CenteredInnerProduct(W, b, np.full(6, 0.5), 2.0)
    everything = rows[:1000]
    assert everything.dtype == np.float32 and everything.flags.c_contiguous
    np.testing.assert_allclose(everything.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(everything[:, :-1], W - W.mean(0, dtype=float), atol=1e-5)
    last = (everything[:, :-1].astype(float) @ np.full(6, 0.5) + b - b.mean(dtype=float)) / rows.extra
    np.testing.assert_allclose(everything[:, -1], last, atol=1e-5)
    np.testing.assert_array_equal(rows[10:30], everything[10:30])
    np.testing.assert_array_equal(rows[990:2000], everything[990:])
    np.testing.assert_array_equal(rows[np.array([5, 3, 5])], everything[[5, 3, 5]])
    assert rows[3:3].shape == (0, 7)


def test_queries():
    H = np.arange(12, dtype=np.float32).reshape(4, 3)
    mean = np.float32([1, 2, 3])
    out = center_queries(H, mean, np.float32(0.25))
    np.testing.assert_array_equal(out[:, :3], H - mean)
    assert (out[:, 3] == 0.25).all()
    assert center_queries(H[:0], mean, 1.0).shape == (0, 4)


def test_the_extra_coordinate_is_never_zero():
    W, b, _ = problem()
    assert CenteredInnerProduct(W, b, np.zeros(6), 0.0).extra == 1
    assert CenteredInnerProduct(W, b, np.zeros(6), 3.0).extra == pytest.approx(0.7 * 3)


def test_inputs_stay_as_they_are():
    W, b, _ = problem()
    mean = np.zeros(6)
    kept = W.copy(), b.copy()
    rows = CenteredInnerProduct(W, b, mean, 1.0)
    rows[:5][...] = 7
    rows.query_mean[...] = 7
    np.testing.assert_array_equal(W, kept[0])
    np.testing.assert_array_equal(b, kept[1])
    assert not mean.any()


def test_not_finite_stays_visible():
    W, b, _ = problem()
    W[7, 2] = np.nan
    assert np.isnan(CenteredInnerProduct(W, b, np.zeros(6), 1.0)[:5]).any()
