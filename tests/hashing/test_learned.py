"""Learned hash functions: mining against an oracle, learning a planted problem, determinism, saving, refusals."""

import copy

import numpy as np
import pytest
from scipy import stats

from mongoose_nb.core.registry import describe
from mongoose_nb.core.saving import restore, state_of
from mongoose_nb.hashing import SimHash
from mongoose_nb.hashing.learned import LearnedHash, labels_first, make_learned

N, D, K, L = 300, 12, 4, 10


def problem(seed=0, m=200):
    """Rows and queries whose common variance is in few coordinates: random functions waste their bits on the others."""
    rng = np.random.default_rng(seed)
    W = rng.standard_normal((N, D)).astype(np.float32)
    h = (rng.standard_normal((m, D)) * np.where(np.arange(D) < 4, 2.0, 0.1)).astype(np.float32)
    return h, W, np.zeros(N, np.float32), rng.integers(-1, N, (m, 3)).astype(np.int32)


def bound(seed=3, **options):
    family = SimHash(D, K, L, seed=1)
    return family, LearnedHash(**{"steps": 20, "batch": 64, "rows": 200, **options}).bind(family, seed)


def agreement(family, h, W, top):
    bits = (h @ family.functions > 0)[:, None, :] == (W @ family.functions > 0)[top]
    return bits.mean(axis=(1, 2))


class TestMining:
    def test_positives_are_the_best_outputs(self):
        h, W, b, labels = problem()
        b = np.random.default_rng(9).standard_normal(N).astype(np.float32)
        best = np.argsort(-(h @ W.T + b), axis=1)[:, :10]
        _, learner = bound()
        np.testing.assert_array_equal(learner.mine(h, W, b, labels).positives, best)
        _, learner = bound(labels=True, positives=4)
        got = learner.mine(h, W, b, labels).positives
        for i in range(len(h)):
            wanted = list(dict.fromkeys([y for y in labels[i].tolist() if y >= 0] + best[i, :4].tolist()))[:4]
            assert sorted(got[i].tolist()) == sorted(wanted) or len(set(labels[i].tolist())) < 3

    def test_pairs(self):
        h, W, b, labels = problem(m=30)
        rng = np.random.default_rng(1)
        lists = [np.sort(rng.choice(N, 40, replace=False)) for _ in h]
        _, learner = bound(loss="logistic", positives=5)
        found = learner.mine(h, W, b, labels, lambda q: (np.arange(len(q) + 1) * 40, np.concatenate(lists)))
        S = h @ W.T
        best = np.argsort(-S, axis=1)[:, :5]
        assert len(found.missed[0]) == len(found.returned[0]) > 0
        for q, r in zip(*found.missed, strict=True):
            assert r in {*best[q], *labels[q]} and r not in lists[q]
        for q, r in zip(*found.returned, strict=True):
            assert r in lists[q] and r not in {*best[q], *labels[q]} and S[q, r] < np.median(S[q])
        everything = {(q, r) for q in range(30) for r in {*best[q], *labels[q]} - {-1} - {*lists[q]}}
        assert set(zip(*(a.tolist() for a in found.missed), strict=True)) <= everything

    def test_labels_first(self):
        labels, top = np.array([[3, -1], [7, 2], [-1, -1]]), np.array([[1, 3], [2, 7], [4, 5]])
        assert labels_first(labels, top).tolist() == [[3, 1], [7, 2], [4, 5]]
        assert labels_first(labels, top, both=True).tolist() == [[3, -1, 1, -1], [7, 2, -1, -1], [-1, -1, 4, 5]]


class TestLearning:
    def test_queries_come_to_agree_with_what_they_are_to_find(self):
        h, W, b, labels = problem()
        family, learner = bound()
        fresh = problem(1)[0]
        top = np.argsort(-(fresh @ W.T), axis=1)[:, :10]
        others = np.random.default_rng(0).integers(0, N, top.shape)
        before = agreement(family, fresh, W, top) - agreement(family, fresh, W, others)
        assert learner.learn(h, W, learner.mine(h, W, b, labels))
        gain = agreement(family, fresh, W, top) - agreement(family, fresh, W, others) - before
        assert gain.mean() > stats.norm.ppf(0.999) * gain.std(ddof=1) / np.sqrt(len(gain))
        report = learner.report()
        assert report["learn_loss"] < report["learn_loss_start"] and report["bit_bias"] < 0.3
        assert report["collision_positive"] - report["collision_random"] > before.mean()

    def test_the_measured_rates_are_those_of_the_codes(self):
        h, W, b, labels = problem(m=1)
        family, learner = bound(positives=1)
        learner.learn(h, W, learner.mine(h, W, b, labels))
        top = np.argmax(h @ W.T, axis=1)
        codes = np.unpackbits((family.hash(h) ^ family.hash(W[top])).view(np.uint8))
        assert learner.report()["collision_positive"] == pytest.approx(1 - codes.sum() / (K * L))

    def test_bits_balance(self):
        """Rows off centre: without the term most bits are the same for nearly all rows."""
        h, W, b, labels = problem()
        W = W + np.float32(1.5)
        bias = []
        for balance in (0.0, 30.0):
            _, learner = bound(balance=balance)
            learner.learn(h, W, learner.mine(h, W, b, labels))
            bias.append(learner.report()["bit_bias"])
        assert bias[1] < 0.7 * bias[0]

    def test_nothing_mined_changes_nothing(self):
        h, W, b, labels = problem()
        family, learner = bound(loss="triplet")
        assert not learner.learn(h, W, learner.mine(h, W, b, labels))
        assert family.version == 0 and learner.report() == {"trainings": 0}

    @pytest.mark.parametrize("loss", ["contrast", "triplet", "logistic"])
    def test_the_same_again_and_after_saving(self, loss):
        h, W, b, labels = problem()

        def lists(q):
            return np.arange(len(q) + 1) * 30, np.concatenate([np.arange(i, i + 30) for i in range(len(q))])

        def train(learner, times):
            for _ in range(times):
                assert learner.learn(h, W, learner.mine(h, W, b, labels, lists))

        (one, first), (two, second), (three, third), (four, other) = (bound(s, loss=loss, steps=4) for s in (3, 3, 3, 4))
        train(first, 2)
        train(second, 1)
        state = copy.deepcopy(state_of(second))
        restore(third, state)
        three.set_functions(two.functions)
        train(second, 1)
        train(third, 1)
        train(other, 2)
        np.testing.assert_array_equal(one.functions, two.functions)
        np.testing.assert_array_equal(one.functions, three.functions)
        assert not np.array_equal(one.functions, four.functions)
        assert third.report() == first.report() and third.report()["trainings"] == 2
        with pytest.raises(ValueError, match="moments of the learned hash"):
            bound()[1].follow(SimHash(three.dim + 1, three.K, three.L))
        with pytest.raises(ValueError, match=r"LearnedHash.m is float32"):
            restore(bound()[1], {**state, "m": state["m"][:, 1:]})


class TestSettings:
    def test_made_from(self):
        assert make_learned(None) is None
        assert make_learned("triplet").loss == "triplet"
        learner = LearnedHash("logistic", steps=7, labels=True)
        for source in (learner, describe(learner), {"loss": "logistic", "steps": 7, "labels": True}):
            again = make_learned(source)
            assert again is not learner and describe(again) == describe(learner)
        assert "steps=7" in repr(learner)

    @pytest.mark.parametrize("options, error", [({"steps": 0}, ValueError), ({"lr": 0}, ValueError),
                                                ({"negative_weight": 1.5}, ValueError), ({"rows": 1}, ValueError),
                                                ({"batch": 2.5}, TypeError), ({"balance": -1}, ValueError)])
    def test_refusals(self, options, error):
        with pytest.raises(error, match=f"{next(iter(options))} must be"):
            LearnedHash(**options)

    def test_an_unknown_loss(self):
        with pytest.raises(ValueError, match=r"hash loss 'best' is unknown; give one of \['contrast', 'logistic', 'triplet'\]"):
            LearnedHash("best")
