"""Importance weights of retrieved outputs: unbiased over draws of functions where the formula holds, biased where the docs say so."""

import numpy as np
import pytest
from estimates import assert_below, assert_mean, rows_of
from nn_problem import lsh

from mongoose_nb.core.arrays import Parameter
from mongoose_nb.core.saving import restore, state_of
from mongoose_nb.hashing.inner_product import CenteredInnerProduct, center_queries
from mongoose_nb.nn.sampling.corrections import retrieval_probability
from mongoose_nb.nn.training.timing import PhaseTimer

N, D, B = 150, 5, 3
LABELS = [[0, 7], [1], []]


def layer(seed=0):
    rng = np.random.default_rng(seed)
    W, b = (0.7 * rng.standard_normal(shape).astype(np.float32) for shape in ((N, D), N))
    return W, b, rng.standard_normal((B, D)).astype(np.float32)


def hashed_cosines(W, b, h, center=True):
    """(B, N) in float64, by the transform itself."""
    rows, queries = W, h
    if center:
        rows = CenteredInnerProduct(W, b, h.mean(0), np.linalg.norm(h - h.mean(0), axis=1).mean())
        queries, rows = center_queries(h, rows.query_mean, rows.extra), rows[:N]
    rows, queries = (x / np.linalg.norm(x.astype(float), axis=1, keepdims=True) for x in (rows, queries))
    return queries @ rows.T


def bound(seed=1, W=None, b=None, **settings):
    w, bias, _ = layer()
    settings = {"candidates": N, "head": 1.0, "K": 2, "L": 12, "capacity": None, "fill": False, "rehash": 10**6,
                "correction": "importance", **settings}
    return lsh(**settings).bind(Parameter(w.copy() if W is None else W), Parameter(bias.copy() if b is None else b), seed)


def weights(sets):
    """(B, N), zero where an output is not in the list."""
    out = np.zeros((B, N))
    for i in range(B):
        part = slice(sets.start[i], sets.start[i] + sets.count[i])
        out[i, sets.ids[part]] = np.exp(sets.shifts[part].astype(float))
    return out


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("fill, min_votes, head", [(False, 1, 1.0), (False, 2, 1.0), (True, 1, 0.2)])
def test_formula(center, fill, min_votes, head):
    W, b, h = layer()
    sampler = bound(center=center, fill=fill, strategy="threshold", min_votes=min_votes, head=head, candidates=100)
    sets = sampler.per_sample(h, rows_of(LABELS), 0, PhaseTimer())
    got = weights(sets)
    p = retrieval_probability(hashed_cosines(W, b, h, center), sampler.hash_tables.family, min_votes)
    for i in range(B):
        filler, left = sets.count[i] - sets.n_exact[i], N - sets.n_exact[i]
        assert (filler > 0) == fill
        q = p[i] + (1 - p[i]) * filler / left if fill else np.maximum(p[i], N**-0.5)
        want = np.where(got[i] > 0, 1 / q, 0)
        want[LABELS[i]] = 1
        np.testing.assert_allclose(got[i], want, rtol=1e-4)


def test_default_path_has_no_shifts():
    _, _, h = layer()
    for correction in ("tail", "none"):
        assert len(bound(correction=correction).per_sample(h, rows_of(LABELS), 0, PhaseTimer()).shifts) == 0


def test_means_are_those_of_the_last_rehash():
    W, b, h = layer()
    sampler = bound(W=W, b=b, rehash=2)
    rows, timer = rows_of(LABELS), PhaseTimer()
    for step in range(5):
        sampler.per_sample(h, rows, step, timer)
        if step in (0, 2, 4):  # first seen, and after the rehashes at the ends of steps 1 and 3
            want = np.append(W.mean(0), b.mean())
        np.testing.assert_allclose(sampler._corrector._means, want, atol=1e-6)
        W += 1.0
        b -= 1.0
        sampler.after_update(step, timer)
    again = bound(W=W, b=b, rehash=2)
    restore(again, state_of(sampler))
    np.testing.assert_array_equal(weights(again.per_sample(h, rows, 9, timer)), weights(sampler.per_sample(h, rows, 9, timer)))


@pytest.fixture(scope="module")
def exact():
    """(B, N, 1 + D) terms of the partition function and of its gradient, and the cosines (B, N)."""
    W, b, h = layer()
    e = np.exp(h @ W.T + b).astype(float)
    return np.concatenate([e[:, :, None], e[:, :, None] * W], axis=2), hashed_cosines(W, b, h)


class TestEstimates:
    """Over draws of the functions; the activations, the rows and the labels stay. At 99.9 % confidence."""

    DRAWS = 700

    def estimates(self, terms, moved=0.0, **settings):
        out = []
        _, _, h = layer()
        for seed in range(self.DRAWS):
            W, b, _ = layer()
            sampler = bound(seed, W, b, **settings)
            if moved:
                sampler.per_sample(h, rows_of(LABELS), 0, PhaseTimer())  # builds the tables of rows as they were
                W += np.float32(moved) * np.random.default_rng(9).standard_normal(W.shape).astype(np.float32)
            sets = sampler.per_sample(h, rows_of(LABELS), 0, PhaseTimer())
            out.append(np.einsum("ij,ijk->ik", weights(sets), terms))
        return np.array(out)

    def test_unbiased(self, exact):
        terms, cosine = exact
        assert (retrieval_probability(cosine, bound().hash_tables.family) > N**-0.5).all()
        assert_mean(self.estimates(terms), terms.sum(1))

    @pytest.mark.parametrize("settings", [{"strategy": "threshold", "min_votes": 2, "L": 20}, {"K": 4, "L": 3}],
                             ids=["threshold of votes", "clipped"])
    def test_what_lies_below_the_clip_is_underestimated(self, exact, settings):
        """By the ratio of its probability to the clip, and nothing else is."""
        terms, cosine = exact
        terms = np.concatenate([np.ones((B, N, 1)), terms], axis=2)  # first the number of outputs
        p = retrieval_probability(cosine, bound(**settings).hash_tables.family, settings.get("min_votes", 1))
        kept = np.minimum(1, p * N**0.5)
        for i, own in enumerate(LABELS):
            kept[i, own] = 1
        expected = np.einsum("ij,ijk->ik", kept, terms)
        assert (expected[:, 0] < (0.95 if "K" in settings else 1) * N).any()
        assert_mean(self.estimates(terms, **settings), expected)

    @pytest.mark.parametrize("settings", [{"head": 0.2}, {"head": 0.2, "strategy": "vanilla"}, {"capacity": 8}],
                             ids=["vote cut-off", "vanilla", "capacity"])
    def test_too_low_where_retrieved_outputs_are_left_out(self, exact, settings):
        terms = exact[0][:, :, :1]
        assert_below(self.estimates(terms, **settings), terms.sum(1))

    @pytest.mark.slow
    def test_biased_when_stale(self, exact):
        W, b, h = layer()
        W += np.random.default_rng(9).standard_normal(W.shape).astype(np.float32)
        terms = np.exp(h @ W.T + b).astype(float)[:, :, None]
        with pytest.raises(AssertionError):
            assert_mean(self.estimates(terms, moved=1.0), terms.sum(1))

    def test_unbiased_with_filler_to_the_order_of_its_spread(self, exact):
        """Room for all that is retrieved, the rest filler: u / R varies with the draw, the mean is off by a few percent at most."""
        terms = exact[0][:, :, :1]
        estimates = self.estimates(terms, K=3, L=4, candidates=120, fill=True)
        ratio = estimates.mean(0) / terms.sum(1)
        assert (np.abs(ratio - 1) < 0.03).all()
