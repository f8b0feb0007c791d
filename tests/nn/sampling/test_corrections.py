"""Corrections of a sampled softmax: probabilities against enumeration and simulation, estimates against the exact sums."""

import itertools
import re

import numpy as np
import pytest
from estimates import CONFIDENCE, assert_below, assert_mean, correction, rows_of
from scipy import stats

from mongoose_nb.core.registry import name_of, registered
from mongoose_nb.hashing import DWTA, SimHash
from mongoose_nb.nn.sampling.candidate_sets import ActiveSetBuilder
from mongoose_nb.nn.sampling.corrections import Correction, LabelFrequency, Tail, log_weights, make_correction, retrieval_probability


class TestTheAssertions:
    estimates = np.random.default_rng(0).normal(5.0, 1.0, (1000, 2))

    def test_mean(self):
        assert_mean(self.estimates, [5.0, 5.0])
        with pytest.raises(AssertionError):
            assert_mean(self.estimates, [5.0, 5.2])

    def test_below(self):
        assert_below(self.estimates, 5.2)
        for wrong in (5.0, 4.8, [5.2, 4.8]):
            with pytest.raises(AssertionError):
                assert_below(self.estimates, wrong)

    def test_no_spread(self):
        with pytest.raises(AssertionError, match="do not vary"):
            assert_mean(np.ones(10), 1.0)


class TestChoice:
    @pytest.mark.parametrize("family, shape, default, able", [
        (None, "sample", "tail", ["none", "tail"]), (None, "batch", "none", ["logq", "none", "tail"]),
        (SimHash, "sample", "tail", ["importance", "none", "tail"]), (SimHash, "batch", "none", ["none", "tail"])])
    def test_default_and_what_is_allowed(self, family, shape, default, able):
        assert name_of(type(make_correction(None, shape, family))) == default
        for name in registered("correction", "mongoose_nb."):
            if name in able:
                assert name_of(type(make_correction(name, shape, family))) == name
            else:
                with pytest.raises(ValueError, match=re.escape(f"use one of {able}")):
                    make_correction(name, shape, family)

    def test_refusals(self):
        with pytest.raises(ValueError, match="'logq' does not go with shape='sample' without hash tables"):
            make_correction("logq", "sample")
        with pytest.raises(ValueError, match="correction 'all' is unknown"):
            make_correction("all", "batch")
        with pytest.raises(ValueError, match="needs a hash family with similarity 'cosine'"):
            make_correction("importance", "sample", DWTA)

    def test_one_of_the_users_own(self):
        class Half(Correction):
            tables = (False,)

        assert isinstance(make_correction(Half(), "batch"), Half) and isinstance(make_correction({"name": "tail"}, "batch"), Tail)
        with pytest.raises(ValueError, match="Half' does not go with shape='batch' with hash tables"):
            make_correction(Half(), "batch", SimHash)


class TestLogWeights:
    @pytest.mark.parametrize("filler, left", [(1, 4), (2, 4), (4, 4), (0, 4)])
    def test_enumeration(self, filler, left):
        """Output 0 comes in with probability p, else as one of `filler` of `left`: count the draws that hold it."""
        draws = list(itertools.combinations(range(left), filler))
        r = sum(0 in draw for draw in draws) / len(draws)
        p = np.array([1e-3, 0.3, 1.0])
        np.testing.assert_allclose(log_weights(p, filler, left), -np.log(p + (1 - p) * r), rtol=1e-6, atol=1e-7)

    def test_floor_and_nothing_left(self):
        np.testing.assert_allclose(log_weights(np.array([0.0, 0.5]), 0, 7, floor=0.1), np.log([10, 2]), rtol=1e-6)
        np.testing.assert_allclose(log_weights(np.array([0.25]), 0, 0), np.log([4]), rtol=1e-6)
        assert log_weights(np.zeros(2), np.array([3, 5]), np.array([5, 5])).tolist() == [np.float32(np.log(5 / 3)), 0.0]


class TestLabelFrequency:
    def test_counts(self):
        frequency = LabelFrequency(6)
        frequency.observe(rows_of([[2, 4], [2], []]))
        frequency.observe(rows_of([[5]]))
        assert frequency.counts.tolist() == [0, 0, 2, 0, 1, 1] and frequency.samples == 4
        want = 1 - (1 - np.array([0.5, 0.25, 0.0])) ** 3
        np.testing.assert_allclose(frequency.presence(np.array([2, 4, 0]), 3), want, atol=1e-12)
        assert frequency.presence(np.array([2, 4]), 0).tolist() == [0, 0]

    def test_a_label_of_every_sample(self):
        frequency = LabelFrequency(3)
        assert frequency.presence(np.array([1]), 4).tolist() == [0]
        frequency.observe(rows_of([[1], [1]]))
        assert frequency.presence(np.array([1, 2]), 4).tolist() == [1, 0]
        assert frequency.presence(np.array([1, 2]), 0).tolist() == [0, 0]

    def test_without_filler_weights_are_bounded(self):
        """One sample, no filler: nothing but its own label is in the list, and its weight is finite."""
        shared = correction("logq", 9).shared(rows_of([[3]]), ActiveSetBuilder(9).shared(rows_of([[3]]), 0, step=0))
        assert np.exp(shared.shifts) == pytest.approx([9])


class TestRetrieval:
    """At 99.9 % confidence over draws of functions."""

    @pytest.mark.parametrize("min_votes", [1, 2, 4])
    def test_frequencies(self, min_votes):
        rng = np.random.default_rng(1)
        X, draws = rng.standard_normal((6, 5)).astype(np.float32), 2000
        hits = np.zeros(5)
        for seed in range(draws):
            codes = SimHash(5, K=2, L=4, seed=seed).hash(X)
            hits += (codes[1:] == codes[0]).sum(axis=1) >= min_votes
        unit = X / np.linalg.norm(X, axis=1, keepdims=True)
        p = retrieval_probability(unit[1:] @ unit[0], SimHash(5, K=2, L=4), min_votes)
        outside = (1 - CONFIDENCE) / 2 / 5
        assert (stats.binom.ppf(outside, draws, p) <= hits).all() and (hits <= stats.binom.ppf(1 - outside, draws, p)).all()
        assert 0 < p.min() < p.max() < 1

    def test_ends(self):
        family = SimHash(5, K=3, L=4)
        for min_votes in (1, 3):
            np.testing.assert_allclose(retrieval_probability([1.0, -1.0, 1 + 1e-7], family, min_votes), [1, 0, 1], atol=1e-6)


@pytest.fixture(scope="module")
def outputs():
    """Exponentials of 200 logits, and vectors for their rows."""
    rng = np.random.default_rng(5)
    return np.exp(rng.standard_normal(200)), rng.standard_normal((200, 4))


class TestLogQ:
    """Sample 0 has labels of its own; those of the seven others are drawn anew every time, the frequent ones often."""

    N, OWN = 200, [2, 11]

    def estimates(self, values, name, known, n=6000):
        """sum of weight * values over n lists; `known` frequencies, or those of the batch at hand alone."""
        rng = np.random.default_rng(4)
        f = 1.0 / np.arange(1, self.N + 1)
        f /= f.sum()
        builder, corrector = ActiveSetBuilder(self.N, seed=3), correction(name, self.N)
        out = []
        for step in range(n):
            others = rng.choice(self.N, 7, p=f)
            if name == "logq":
                corrector.frequency.counts[:] = 0 if not known else np.round(f * 10**12)
                corrector.frequency.samples = 0 if not known else 10**12
            labels = rows_of([self.OWN, *([j] for j in others)])
            shared = corrector.shared(labels, builder.shared(labels, 20, step=step))
            weight = np.zeros(self.N)
            weight[shared.ids] = np.exp(shared.shifts.astype(float)) if name == "logq" else 1
            weight[self.OWN] = 1
            out.append(weight @ values)
        return np.array(out)

    @pytest.mark.slow
    def test_partition_function_and_gradient(self, outputs):
        e, W = outputs
        values = np.concatenate([e[:, None], e[:, None] * W], axis=1)
        assert_mean(self.estimates(values, "logq", True), values.sum(0))

    @pytest.mark.slow
    def test_biased_without(self, outputs):
        assert_below(self.estimates(outputs[0], "none", True), outputs[0].sum())

    @pytest.mark.slow
    def test_biased_while_frequencies_are_not_known(self, outputs):
        """In the first batch every output that is no label there passes for one that never is."""
        assert_below(-self.estimates(outputs[0], "logq", False), -outputs[0].sum())
