"""Rows drawn from hash tables: probabilities, bias, and what they are good for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mongoose_nb.core.registry import registered
from mongoose_nb.linear import MIPS, RowSampler

rng = np.random.default_rng(0)
X = rng.standard_normal((300, 6)) * np.exp(rng.standard_normal((300, 1)))
Y = X @ np.ones(6) + rng.standard_t(2, 300)
ROWS = np.column_stack([X, Y])
QUERY = np.r_[np.ones(6), -1.0]
LIFTS = [*registered("lift", "mongoose_nb."), MIPS(0.9, both=False)]


def naive(sampler, query):
    """Probabilities by their definition, from codes that are computed here."""
    rows, q = sampler.lift.rows(ROWS), sampler.vector(query)
    functions = sampler.buckets.functions.reshape(sampler.L, sampler.K, -1)
    tables = []
    for t in range(sampler.L):
        own, asked = rows @ functions[t].T > 0, functions[t] @ q > 0
        there = (own == asked).all(axis=1)
        if sampler.lift.both:
            there |= (own != asked).all(axis=1)
        if there.any():
            tables.append(there / there.sum())
    if not tables:
        return np.full(len(rows), 1 / len(rows))
    return sampler.uniform / len(rows) + (1 - sampler.uniform) * np.mean(tables, axis=0)


@pytest.mark.parametrize("lift", LIFTS)
@pytest.mark.parametrize("K, L", [(1, 3), (4, 20), (16, 2)])
def test_probabilities(lift, K, L):
    sampler = RowSampler(ROWS, K, L, lift=lift, uniform=0.3, seed=2)
    got = sampler.probabilities(QUERY)
    np.testing.assert_allclose(got, naive(sampler, QUERY), rtol=1e-12)
    assert got.sum() == pytest.approx(1) and got.min() >= 0.3 / 300 - 1e-15


@pytest.mark.parametrize("lift", LIFTS)
def test_draws_have_the_probabilities_that_they_say(lift):
    """Chi-square over 30 groups of rows: below its mean by 5 standard deviations, a chance of about 1 in a million."""
    sampler = RowSampler(ROWS, 4, 20, lift=lift, seed=1)
    ids, said = sampler.draw(QUERY, 60_000)
    p = sampler.probabilities(QUERY)
    np.testing.assert_array_equal(said, p[ids])
    group = np.argsort(np.argsort(p, kind="stable")) // 10
    expected, seen = np.bincount(group, p) * len(ids), np.bincount(group[ids], minlength=30)
    assert (np.square(seen - expected) / expected).sum() < 29 + 5 * np.sqrt(58)


def test_the_weighted_gradient_has_no_bias():
    """Mean of 40,000 draws within 4.5 standard errors, for each of 6 coordinates."""
    theta = 0.5 * np.ones(6)
    gradients = (X @ theta - Y)[:, None] * X
    sampler = RowSampler(ROWS, seed=3)
    ids, p = sampler.draw(np.append(theta, -1), 40_000)
    weighted = gradients[ids] / (300 * p)[:, None]
    error = weighted.std(axis=0) / np.sqrt(len(ids))
    assert (np.abs(weighted.mean(axis=0) - gradients.mean(axis=0)) < 4.5 * error).all()


def test_it_lowers_the_variance_where_tails_are_heavy():
    theta = np.ones(6)
    norms = np.abs(X @ theta - Y) * np.linalg.norm(X, axis=1)
    mean = float(np.linalg.norm((X @ theta - Y) @ X) / 300)
    assert RowSampler(ROWS, seed=4).variance_ratio(QUERY, norms, mean) < 0.9
    assert RowSampler(ROWS, uniform=1.0).variance_ratio(QUERY, norms, mean) == pytest.approx(1)


def test_variance_ratio_by_hand():
    theta = np.ones(6)
    gradients = (X @ theta - Y)[:, None] * X
    sampler = RowSampler(ROWS, seed=4)
    p, mean = sampler.probabilities(QUERY), gradients.mean(axis=0)
    drawn = (p * np.square(gradients / (300 * p)[:, None] - mean).sum(axis=1)).sum()
    even = np.square(gradients - mean).sum(axis=1).mean()
    assert sampler.variance_ratio(QUERY, np.linalg.norm(gradients, axis=1), np.linalg.norm(mean)) == pytest.approx(drawn / even)


@given(st.integers(0, 2**32), st.integers(1, 6), st.integers(1, 8))
@settings(max_examples=15, deadline=None)
def test_same_seed_same_draws(seed, K, L):
    a, b = (RowSampler(ROWS[:40], K, L, seed=seed) for _ in range(2))
    for _ in range(2):
        (i, p), (j, q) = a.draw(QUERY, 20), b.draw(QUERY, 20)
        np.testing.assert_array_equal(i, j)
        np.testing.assert_array_equal(p, q)
    assert (i != a.draw(QUERY, 20)[0]).any()


def test_one_row_and_equal_rows():
    assert RowSampler(ROWS[:1]).draw(QUERY, 3)[0].tolist() == [0, 0, 0]
    np.testing.assert_allclose(RowSampler(np.zeros((5, 7))).probabilities(QUERY), 0.2)


@pytest.mark.parametrize("args, message", [((ROWS[:0],), "at least one"), ((np.full((3, 2), np.nan),), "NaN"), ((ROWS, 17), "K"),
                                           ((ROWS, 3, 0), "L")])
def test_bad_rows(args, message):
    with pytest.raises(ValueError, match=message):
        RowSampler(*args)


def test_bad_queries():
    for query in (np.ones(6), np.full(7, np.inf)):
        with pytest.raises(ValueError, match="7 finite"):
            RowSampler(ROWS).draw(query, 1)
    with pytest.raises(ValueError, match="uniform"):
        RowSampler(ROWS, uniform=0.0)


def test_the_variance_ratio_of_a_sample():
    rng = np.random.default_rng(5)
    X = rng.standard_normal((20_000, 4)) * np.exp(rng.standard_normal((20_000, 1)))
    y = X @ np.ones(4) + rng.standard_t(3, 20_000)
    sampler = RowSampler(np.column_stack([X, y]))
    query, slopes = np.array([0.9, 1.1, 1.0, 1.0, -1.0]), X @ [0.9, 1.1, 1.0, 1.0] - y
    norms = np.abs(slopes) * np.linalg.norm(X, axis=1)
    whole = float(np.linalg.norm(slopes @ X) / len(X))
    rows = rng.permutation(20_000)[:6000]
    exact, some = sampler.variance_ratio(query, norms, whole), sampler.variance_ratio(query, norms[rows], whole, rows)
    assert exact < 0.9 and abs(some / exact - 1) < 0.3  # heavy tails: two parts in ten are the error of the sample
    np.testing.assert_array_equal(sampler.probabilities(query, rows), sampler.probabilities(query)[rows])
    with pytest.raises(ValueError, match="0 to 19999"):
        sampler.probabilities(query, [20_000])
