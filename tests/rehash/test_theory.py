"""Closed forms against known values, against each other, and against simulation at a stated confidence."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mongoose_nb.hashing import DWTA, SimHash
from mongoose_nb.rehash import Drift, Stored, theory

CONFIDENCE = 0.999


def directions(rng, n, d):
    x = rng.standard_normal((n, d))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def turned(rng, x, angle, *fixed):
    """Unit rows at `angle` to the unit rows x, in a random direction at right angles to x and to the unit rows in `fixed`."""
    away = rng.standard_normal(x.shape)
    basis = []
    for row in (x, *fixed):
        for other in basis:
            row = row - (row * other).sum(1, keepdims=True) * other
        basis.append(row / np.linalg.norm(row, axis=1, keepdims=True))
        away -= (away * basis[-1]).sum(1, keepdims=True) * basis[-1]
    return math.cos(angle) * x + math.sin(angle) * away / np.linalg.norm(away, axis=1, keepdims=True)


def test_known_values():
    for degrees, found in ((30, 0.99998), (60, 0.732), (90, 0.093)):
        assert theory.retrieval(math.cos(math.radians(degrees)), 9, 50) == pytest.approx(found, abs=6e-4)
    assert theory.survival(theory.share_of(math.radians(18)), 9) == pytest.approx(0.39, abs=3e-3)
    assert theory.survival(theory.share_of(math.radians(54)), 9) == pytest.approx(0.04, abs=1e-3)
    assert theory.angle_of(0.3) == pytest.approx(math.radians(54)) and theory.share_of(theory.angle_of(0.123)) == pytest.approx(0.123)


def test_it_is_the_family_s_own_law():
    family = SimHash(8, 7, 30)
    for c in (-0.5, 0.0, 0.3, 0.9, 1.0):
        assert theory.retrieval(c, 7, 30) == pytest.approx(family.retrieval_probability(c))
        assert theory.retrieval(c, 7, 30, 0.1) == pytest.approx(family.retrieval_probability(c * math.cos(0.1 * math.pi)))


@settings(deadline=None, max_examples=60)
@given(K=st.integers(1, 20), L=st.integers(1, 200), keep=st.floats(0.5, 0.99), similarity=st.floats(0.05, 1.0))
def test_a_threshold_keeps_what_it_promises_and_no_less_would_do(K, L, keep, similarity):
    share = theory.threshold(K, L, keep, similarity)
    wanted = keep * theory.retrieval(similarity, K, L)
    assert 0 <= share <= theory.MOST
    assert theory.retrieval(similarity, K, L, share) >= wanted
    if share < theory.MOST:
        assert theory.retrieval(similarity, K, L, share + 1e-5) < wanted


def test_longer_codes_and_higher_wishes_ask_for_fresher_tables():
    by_K = [theory.threshold(K, 50) for K in (6, 8, 10, 13, 16)]
    assert by_K == sorted(by_K, reverse=True) and by_K[0] > 2 * by_K[-1]
    by_keep = [theory.threshold(10, 50, keep) for keep in (0.5, 0.8, 0.9, 0.99)]
    assert by_keep == sorted(by_keep, reverse=True)
    c = theory.similarity_at(0.9, 10, 50)
    assert theory.retrieval(c, 10, 50) == pytest.approx(0.9, abs=1e-4)
    assert theory.threshold(10, 50) == theory.threshold(10, 50, 0.98, c)


def test_of_another_family():
    family = DWTA(16, 4, 50)
    share = theory.threshold(4, 50, 0.9, 0.8, family.collision_probability)
    assert 0 < share < theory.MOST
    kept = theory.retrieval(0.8, 4, 50, share, family.collision_probability)
    assert kept == pytest.approx(0.9 * family.retrieval_probability(0.8), rel=1e-4)


@pytest.mark.parametrize("options", [{"K": 0, "L": 5}, {"K": 5, "L": 0}, {"K": 5, "L": 5, "keep": 1.0}, {"K": 5, "L": 5, "keep": 0.0},
                                     {"K": 5, "L": 5, "similarity": 0.0}, {"K": 5, "L": 5, "similarity": 1.1}], ids=repr)
def test_refusals(options):
    with pytest.raises(ValueError):
        theory.threshold(**options)


class TestAgainstSimulation:
    """At 99.9 % confidence; the seeds are the first ones tried."""

    @pytest.mark.parametrize("degrees", [2, 18, 54, 90, 150])
    def test_changed_share_is_angle_over_pi(self, degrees):
        """Of all pairs of bits no two depend on each other: they share the row, or the projection, but not both."""
        rng = np.random.default_rng(degrees)
        n, angle = 600, math.radians(degrees)
        x = directions(rng, n, 20)
        drift = Drift(1.0, check_every=1, rows=n)
        drift.bind(n, 20, seed=degrees)
        drift.rebuilt(Stored((x * rng.uniform(0.1, 9, (n, 1))).astype(np.float32)))
        drift.after_step(0, None, Stored((turned(rng, x, angle) * rng.uniform(0.1, 9, (n, 1))).astype(np.float32)))
        p = theory.share_of(angle)
        bound = stats.norm.ppf((1 + CONFIDENCE) / 2) * math.sqrt(p * (1 - p) / (64 * n))
        assert abs(drift.changed_share - p) < bound

    @staticmethod
    def within(shares, wanted):
        """Whether the mean of independent draws agrees: Student's t."""
        t = (np.mean(shares) - wanted) / (np.std(shares, ddof=1) / math.sqrt(len(shares)))
        return abs(t) < stats.t.ppf((1 + CONFIDENCE) / 2, len(shares) - 1)

    @pytest.mark.parametrize("K, share", [(2, 0.3), (5, 0.1), (9, 0.05)])
    def test_survival(self, K, share):
        """Families are independent draws."""
        rng = np.random.default_rng(K)
        shares = []
        for seed in range(60):
            x = directions(rng, 40, 24)
            family = SimHash(24, K, 10, seed=seed)
            shares.append((family.hash(x) == family.hash(turned(rng, x, theory.angle_of(share)))).mean())
        assert self.within(shares, theory.survival(share, K))

    @pytest.mark.parametrize("K, L, similarity, share", [(4, 6, 0.6, 0.15), (6, 20, 0.5, 0.2)])
    def test_retrieval_of_rows_that_have_turned(self, K, L, similarity, share):
        """The stored row turns at right angles to the query's part across it, as a random direction does in the mean."""
        rng = np.random.default_rng(K)
        shares = []
        for seed in range(60):
            now = directions(rng, 40, 24)
            query = turned(rng, now, math.acos(similarity))
            before = turned(rng, now, theory.angle_of(share), query)
            family = SimHash(24, K, L, seed=seed)
            shares.append((family.hash(query) == family.hash(before)).any(axis=1).mean())
        assert self.within(shares, theory.retrieval(similarity, K, L, share))
