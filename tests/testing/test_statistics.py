"""The bounds are exact: they miss no more often than promised, for every size and probability."""

import numpy as np
import pytest

from mongoose_nb.testing.statistics import clopper_pearson


@pytest.mark.parametrize("n", [1, 7, 60, 400])
def test_the_interval_misses_no_more_often_than_promised(n):
    """Exactly, by summing the binomial distribution."""
    from scipy.stats import binom

    for alpha in (0.2, 0.01, 1e-4):
        low, high = clopper_pearson(np.arange(n + 1), n, alpha)
        assert low[0] == 0 and high[-1] == 1 and (low <= np.arange(n + 1) / n).all() and (high >= np.arange(n + 1) / n).all()
        for p in np.linspace(0, 1, 41):
            weight = binom.pmf(np.arange(n + 1), n, p)
            assert weight[p < low].sum() <= alpha / 2 + 1e-12 and weight[p > high].sum() <= alpha / 2 + 1e-12


def test_the_interval_is_that_of_scipy():
    from scipy.stats import binomtest

    for count, n in ((0, 9), (9, 9), (3, 9), (500, 20_000)):
        assert clopper_pearson(count, n, 0.01) == pytest.approx(tuple(binomtest(count, n).proportion_ci(0.99, "exact")), abs=1e-9)


@pytest.mark.slow
def test_false_alarm_rate_of_many_statements_together():
    """Bernoulli columns, vectorised: the share of calls in which any of 12 statements fails stays below alpha."""
    rng, alpha, p = np.random.default_rng(0), 0.05, np.linspace(0.02, 0.98, 12)
    low, high = clopper_pearson(rng.binomial(2000, p, (20_000, 12)), 2000, alpha / 12)
    failures = int(((p < low) | (p > high)).any(axis=1).sum())
    assert clopper_pearson(failures, 20_000, 2e-3)[0] <= alpha
    assert failures > 0.3 * alpha * 20_000  # and the bound is not idle
