"""Samplers: settings, binding, what they count, and when they rehash."""

import json

import numpy as np
import pytest
from nn_problem import FEATURES, OUTPUTS, digest, problem

from mongoose_nb.core.arrays import Parameter, Rows
from mongoose_nb.core.registry import describe, make
from mongoose_nb.hashing import SimHash
from mongoose_nb.hashing.inner_product import CenteredInnerProduct, center_queries
from mongoose_nb.hashing.learned import LearnedHash
from mongoose_nb.nn import LSH, Adaptive, Auto, Full, Network, Sampler, Tables, Threshold, Uniform
from mongoose_nb.nn.sampling.corrections import Importance, LogQ, NoCorrection, Tail
from mongoose_nb.nn.training.timing import PhaseTimer
from mongoose_nb.rehash import ExponentialDecay, FixedPeriod

SAMPLERS = [Full(), Uniform(20), Uniform(20, shape="sample", correction="none"), Uniform(20, correction="logq"),
            LSH(20, tables=Tables(L=4)), Adaptive(20), Auto(),
            LSH(20, correction="importance", tables=Tables(L=4)), LSH(20, shape="batch", tables=Tables(L=4)),
            LSH(9, head=0.1, correction="none", fill=False, strategy=Threshold(2),
                tables=Tables(family="dwta", K=2, L=3, capacity=7, policy="fifo", center=False, rehash=ExponentialDecay(3, 0.5),
                              rebuild=2)),
            LSH(20, tables=Tables(L=4, learn="triplet")),
            LSH(20, shape="batch", tables=Tables(L=4, learn=LearnedHash("logistic", steps=3)))]


def layer(n=300, d=6, seed=0):
    """Weights, biases, and 20 activations with the labels 0 to 19."""
    rng = np.random.default_rng(seed)
    W, b, h = (rng.standard_normal(shape).astype(np.float32) for shape in ((n, d), n, (20, d)))
    return Parameter(W), Parameter(b), h, Rows(np.arange(20), np.ones(20, np.int64), np.arange(20, dtype=np.int32), None)


class TestSettings:
    @pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda s: type(s).__name__)
    def test_settings_make_an_equal_one(self, sampler):
        again = make("sampler", json.loads(json.dumps(describe(sampler))))
        assert type(again) is type(sampler) and describe(again) == describe(sampler)
        assert repr(again).startswith(type(sampler).__name__ + "(")
        bound = sampler.bind(*layer()[:2], 5)
        assert bound is not sampler and (isinstance(sampler, Auto) or describe(bound) == describe(sampler))

    def test_by_name(self):
        assert type(make("sampler", "full")) is Full and type(make("sampler", "uniform")) is Uniform and type(make("sampler", "lsh")) is LSH
        assert make("sampler", SAMPLERS[1]) is SAMPLERS[1]
        assert all(isinstance(s, Sampler) for s in SAMPLERS)

    def test_the_correction_goes_with_the_shape(self):
        for cls in (Uniform, LSH):
            assert type(cls(shape="sample").correction) is Tail and type(cls(shape="batch").correction) is NoCorrection
            assert type(cls(shape="batch", correction="tail").correction) is Tail
        assert type(Uniform(shape="batch", correction="logq").correction) is LogQ
        assert type(LSH(correction="importance").correction) is Importance

    def test_other_names(self):
        assert type(make("sampler", "later")) is type(make("sampler", "adaptive")) is Adaptive
        assert isinstance(make("sampler", {"name": "lsh", "tables": {"name": "tables", "family": {"name": "simhash"}}}), LSH)

    @pytest.mark.parametrize("make, error, message", [
        (lambda: make("sampler", "best"), ValueError,
         r"sampler 'best' is unknown; give one of \['adaptive', 'auto', 'full', 'lsh',.* 'uniform'\]"),
        (lambda: make("sampler", {"name": None}), ValueError, "unknown"),
        (lambda: Uniform(0), ValueError, "candidates must be an integer from 1"),
        (lambda: Uniform(5.0), TypeError, "candidates"),
        (lambda: Uniform(shape="row"), ValueError, "shape must be one of 'sample', 'batch'"),
        (lambda: Uniform(correction="all"), ValueError, "correction"),
        (lambda: Uniform(shape="sample", correction="logq"), ValueError,
         r"correction='logq' does not go with shape='sample' without hash tables; use one of \['none', 'tail'\]"),
        (lambda: Uniform(correction="importance"), ValueError,
         r"does not go with shape='batch' without hash tables; use one of \['logq', 'none', 'tail'\]"),
        (lambda: LSH(correction="logq"), ValueError,
         r"does not go with shape='sample' with hash tables; use one of \['importance', 'none', 'tail'\]"),
        (lambda: LSH(shape="batch", correction="importance"), ValueError, "does not go with shape='batch'"),
        (lambda: LSH(correction="importance", tables=Tables(family="dwta")), ValueError,
         "correction='importance' needs a hash family with similarity 'cosine'"),
        (lambda: LSH(correction="importance", tables=Tables("crosspolytope")), ValueError, "needs a hash family with closed form"),
        (lambda: LSH(head=1.5), ValueError, "head"),
        (lambda: LSH(tables=Tables(family="minhash")), ValueError, "center=True needs a hash family with takes center"),
        (lambda: Tables("best"), ValueError, "hash family 'best' is unknown"), (lambda: Tables(3), TypeError, "family must be"),
        (lambda: Tables(SimHash(7, 2, 3), K=3), ValueError, "has its own"),
        (lambda: Tables(SimHash(7, 2, 3).rebuild()), ValueError, "changed after they were drawn"),
        (lambda: LSH(20, tables=Tables(SimHash(9, 2, 3))).bind(*layer()[:2], 0), ValueError, "needs 7"),
        (lambda: LSH(tables=Tables(K=0)), ValueError, "K must be"),
        (lambda: LSH(tables=Tables(L=0)), ValueError, "L must be"),
        (lambda: LSH(strategy="all"), ValueError, "strategy"),
        (lambda: Threshold(0), ValueError, "min_votes"),
        (lambda: LSH(strategy=Threshold(4), tables=Tables(L=3)), ValueError, "min_votes=4 is more than the L=3"),
        (lambda: LSH(tables=Tables(capacity=0)), ValueError, "capacity"),
        (lambda: LSH(tables=Tables(policy="lru")), ValueError, "policy"),
        (lambda: LSH(tables=Tables(rehash=0)), ValueError, "rehash"),
        (lambda: LSH(tables=Tables(rehash={"name": "Never"})), ValueError, "'Never' is unknown"),
        (lambda: LSH(tables=Tables(rebuild=0)), ValueError, "rebuild"),
        (lambda: LSH(tables=Tables(learn="more")), ValueError,
         r"hash loss 'more' is unknown; give one of \['contrast', 'logistic', 'triplet'\]"),
        (lambda: LSH(tables=Tables(learn=1)), TypeError, "learn must be None"),
        (lambda: LSH(tables=Tables(learn="contrast", family="dwta")), ValueError, "needs a hash family with trainable"),
        (lambda: LSH(tables=Tables(learn="contrast", rebuild=3)), ValueError, "give one of the two"),
        (lambda: LSH(correction="importance", tables=Tables(learn="contrast")), ValueError, "needs random hash functions"),
    ])
    def test_refusals(self, make, error, message):
        with pytest.raises(error, match=message):
            make()


class TestCounts:
    def test_full(self):
        W, b, h, labels = layer()
        bound = Full().bind(W, b, 1)
        assert bound.counts() == {"labels": 0.0, "retrieved": 300.0, "uniform": 0.0}
        shared = bound.shared(h, labels, 0, PhaseTimer())
        assert shared.ids is None and shared.n_exact == 300 and len(shared.shifts) == 0

    @pytest.mark.parametrize("sampler", [Uniform(20, shape="sample"), LSH(20, tables=Tables(L=4, K=3)),
                                         LSH(20, fill=False, tables=Tables(L=4, K=3))], ids=repr)
    def test_per_sample(self, sampler):
        W, b, h, labels = layer()
        bound = sampler.bind(W, b, 1)
        sets = bound.per_sample(h, labels, 0, PhaseTimer())
        counts = bound.counts()
        assert counts["labels"] == 1 and counts["active"] == pytest.approx(sets.count.mean())
        assert counts["retrieved"] == pytest.approx((sets.n_exact - sets.n_label).mean())
        assert counts["uniform"] == pytest.approx((sets.count - sets.n_exact).mean())
        assert counts["label_recall"] == pytest.approx(sets.n_hit.mean())
        assert counts["retrieved"] <= 10
        if getattr(sampler, "fill", True):
            assert counts["active"] == 21
        bound.counts()["active"] = 0
        assert bound.counts() == counts
        bound.per_sample(h[:3], Rows(labels.start[:3], labels.count[:3], labels.ids, None), 1, PhaseTimer(), False)
        assert bound.counts() == counts  # prediction does not count

    @pytest.mark.parametrize("sampler", [Uniform(60), LSH(60, shape="batch", tables=Tables(L=4, K=3))], ids=repr)
    def test_shared(self, sampler):
        W, b, h, labels = layer()
        bound = sampler.bind(W, b, 1)
        shared = bound.shared(h, labels, 0, PhaseTimer())
        counts = bound.counts()
        assert counts == {"labels": 20, "retrieved": shared.n_exact - 20, "uniform": len(shared.ids) - shared.n_exact,
                          "active": len(shared.ids)}
        assert counts["active"] == 80
        if isinstance(sampler, LSH):
            assert 0 < counts["retrieved"] <= 40


class TestLSH:
    def test_retrieves_what_an_oracle_of_the_tables_says(self):
        W, b, h, labels = layer()
        bound = LSH(600, head=1.0, fill=False, tables=Tables(L=4, K=3, capacity=None)).bind(W, b, 1)
        sets = bound.per_sample(h, labels, 0, PhaseTimer())
        indptr, ids = bound.hash_tables.candidates(center_queries(h, *bound.manager.query))
        for i in range(20):
            got = set(sets.ids[sets.start[i]:sets.start[i] + sets.count[i]].tolist())
            assert got == {i, *ids[indptr[i]:indptr[i + 1]].tolist()}

    def test_centring_is_that_of_the_transform(self):
        W, b, h, labels = layer()
        bound = LSH(20, tables=Tables(L=4, K=3)).bind(W, b, 1)
        bound.per_sample(h, labels, 0, PhaseTimer())
        np.testing.assert_allclose(bound.manager.mean, h.mean(0), atol=1e-6)
        rows = CenteredInnerProduct(W.value, b.value, h.mean(0), np.linalg.norm(h - h.mean(0), axis=1).mean())
        np.testing.assert_array_equal(bound.hash_tables.codes(rows[:300]), bound.hash_tables._codes)

    def test_without_centring(self):
        W, b, h, labels = layer()
        bound = LSH(20, tables=Tables(L=4, K=3, center=False)).bind(W, b, 1)
        bound.per_sample(h, labels, 0, PhaseTimer())
        assert bound.hash_tables.family.dim == 6
        np.testing.assert_array_equal(bound.hash_tables.codes(W.value), bound.hash_tables._codes)

    def test_default_number_of_hashes(self):
        for n, K in ((50, 2), (300, 2), (64 * 64, 6), (64 * 1000, 10)):
            W, b, *_ = layer(n, 3)
            assert LSH().bind(W, b, 1).hash_tables.family.K == K
            assert LSH(tables=Tables(family="dwta")).bind(W, b, 1).hash_tables.family.K == max(1, round(K / 3))

    @pytest.mark.parametrize("rehash, due", [(4, {3, 7, 11}), (1, set(range(12))), (FixedPeriod(5), {4, 9}),
                                             (ExponentialDecay(3, 0.0), {2, 5, 8, 11})])
    def test_rehash_follows_the_schedule(self, rehash, due):
        W, b, h, labels = layer()
        bound = LSH(20, tables=Tables(L=4, K=3, rehash=rehash)).bind(W, b, 1)
        rebuilt, timer = set(), PhaseTimer()
        for step in range(12):
            bound.per_sample(h, labels, step, timer)
            before = bound.hash_tables._codes.copy()
            W.value += np.float32(0.5) * np.random.default_rng(step).standard_normal(W.value.shape).astype(np.float32)
            bound.after_update(step, timer)
            if not np.array_equal(before, bound.hash_tables._codes):
                rebuilt.add(step)
        assert rebuilt == due
        assert timer.seconds["rehash"] > 0

    @pytest.mark.parametrize("rebuild, versions", [(None, [0] * 8), (1, [*range(8)]), (3, [0, 0, 0, 1, 1, 1, 2, 2])])
    def test_new_functions_every_so_many_rehashes(self, rebuild, versions):
        W, b, h, labels = layer()
        bound = LSH(20, tables=Tables(L=4, K=3, rehash=1, rebuild=rebuild)).bind(W, b, 1)
        seen = []
        for step in range(8):
            bound.per_sample(h, labels, step, PhaseTimer())
            seen.append(bound.hash_tables.version)
            bound.after_update(step, PhaseTimer())
        assert seen == versions

    def test_the_mean_is_followed(self):
        W, b, h, labels = layer()
        bound = LSH(20, tables=Tables(L=4, K=3)).bind(W, b, 1)
        for step in range(100):
            bound.per_sample(h + step, labels, step, PhaseTimer())
        np.testing.assert_allclose(bound.manager.mean, h.mean(0) + 49.5, rtol=1e-4)  # the plain mean of the first 100
        before = bound.manager.mean.copy()
        bound.per_sample(h, labels, 100, PhaseTimer(), False)
        np.testing.assert_array_equal(bound.manager.mean, before)
        for step in range(300):
            bound.per_sample(h, labels, step, PhaseTimer())
        np.testing.assert_allclose(bound.manager.mean, h.mean(0) + 49.5 * 0.99**300, atol=1e-3)

    def test_activations_that_are_not_finite(self):
        W, b, h, labels = layer()
        bound = LSH(20, tables=Tables(L=4, K=3)).bind(W, b, 1)
        bound.per_sample(h, labels, 0, PhaseTimer())
        before = bound.manager.mean.copy()
        bad = h.copy()
        bad[3, 2] = np.nan
        with pytest.raises(FloatingPointError, match="activations are not finite"):
            bound.per_sample(bad, labels, 1, PhaseTimer())
        np.testing.assert_array_equal(bound.manager.mean, before)

    @pytest.mark.parametrize("center", [True, False])
    def test_weights_that_are_not_finite(self, center):
        W, b, h, labels = layer()
        bound = LSH(20, tables=Tables(L=4, K=3, rehash=1, center=center)).bind(W, b, 1)
        bound.per_sample(h, labels, 0, PhaseTimer())
        W.value[7, 1] = np.inf
        with pytest.raises(FloatingPointError, match="weights are no longer finite"), np.errstate(invalid="ignore"):
            bound.after_update(0, PhaseTimer())

    def test_time_is_counted_by_phase(self):
        X, Y = problem()
        for learn in (None, LearnedHash(steps=1)):
            net = Network(FEATURES, OUTPUTS, hidden=(7,), sampler=LSH(20, tables=Tables(rehash=1, learn=learn)))
            shares = net.fit(X, Y, epochs=1, batch_size=8)[0]["time_split"]
            assert all((share > 0) is (learn is not None or phase not in ("mine", "learn")) for phase, share in shares.items())


class TestAuto:
    @pytest.mark.parametrize("n, cls", [(2, Full), (Auto.ALL_UP_TO, Full), (Auto.ALL_UP_TO + 1, Adaptive), (1_000_000, Adaptive)])
    def test_the_number_of_outputs_decides(self, n, cls):
        assert type(Auto().choose(n)) is cls

    def test_a_network_trains_with_the_one_that_was_chosen(self, tmp_path):
        X, Y = problem()[:2]
        net = Network(FEATURES, OUTPUTS, sampler="auto", seed=3)
        assert type(net.sampler) is Auto and type(net.output.sampler) is Full
        same = Network(FEATURES, OUTPUTS, sampler="full", seed=3)
        for one in (net, same):
            one.fit(X, Y, epochs=1, batch_size=64)
        assert digest(net) == digest(same)
        net.save(tmp_path / "n.mongoose")
        again = Network.load(tmp_path / "n.mongoose")
        assert type(again.sampler) is Auto and digest(again) == digest(net)


def test_serving_is_up_to_date_and_leaves_training_alone():
    X, Y = problem(n=200)
    sampler = LSH(40, tables=Tables(K=2, L=30, capacity=None, rehash=10**6))
    nets = [Network(FEATURES, OUTPUTS, hidden=(9, 30), sampler=sampler, seed=2) for _ in range(2)]
    for _ in range(3):
        for net in nets:
            net.partial_fit(X, Y, batch_size=40)
        # the tables of training are those of the first step; all outputs that share a bucket with a query are found, so the best is
        found = nets[0].predict_topk(X, 1, exact=False, candidates=OUTPUTS)[0]
        assert (found == nets[0].predict_topk(X, 1)[0]).mean() > 0.95
    assert digest(nets[0]) == digest(nets[1])
