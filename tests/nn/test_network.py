"""The network as a whole: it learns, predicts exactly, refuses bad input, and fails without harm."""

import copy
import gc
import pickle
import re
import weakref

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_nn import NaiveNetwork
from nn_problem import FEATURES, OUTPUTS, assert_same_arrays, planted, problem

from mongoose_nb import metrics
from mongoose_nb.core.registry import describe
from mongoose_nb.nn import LSH, SGD, Adam, Full, History, Network, Tables, Uniform, Wide

ALL_SAMPLERS = {
    "full": Full(),
    "uniform-sample": Uniform(40, shape="sample"),
    "uniform-batch": Uniform(40, shape="batch"),
    "lsh-sample": LSH(40, tables=Tables(L=10, K=3, rehash=7)),
    "lsh-batch": LSH(40, shape="batch", tables=Tables(L=10, K=3, rehash=7)),
    "lsh-plain": LSH(40, tables=Tables(L=10, K=3, rehash=7, center=False)),
    "lsh-dwta": LSH(40, tables=Tables(L=10, K=1, rehash=7, family="dwta")),
}


def network(**settings):
    return Network(FEATURES, OUTPUTS, **{"hidden": (7,), "sampler": "full", **settings})


@pytest.fixture(params=ALL_SAMPLERS)
def sampler(request):
    return ALL_SAMPLERS[request.param]


class TestLearning:
    @pytest.mark.parametrize("sampler, loss", [*((name, "softmax") for name in ALL_SAMPLERS), ("full", "logistic"),
                                               ("uniform-batch", "logistic"), ("lsh-sample", "logistic")])
    def test_a_planted_problem(self, sampler, loss):
        X, y = planted()
        test_X, test_y = planted(500, seed=1)
        net = Network(X.shape[1], 120, hidden=(64,), sampler=ALL_SAMPLERS[sampler], optimizer=Adam(1e-2), loss=loss,
                      seed=1)
        net.fit(X, y, epochs=8, batch_size=32)
        assert net.evaluate(test_X, test_y, k=1)["P@1"] > 0.95
        assert (net.predict(test_X) == test_y).mean() > 0.95

    def test_through_a_wide_hidden_layer(self):
        X, y = planted()
        tables = Tables(L=10, rehash=10)
        net = Network(X.shape[1], 120, hidden=(32, Wide(500, LSH(100, tables=tables)), 64), sampler=LSH(40, tables=tables),
                      optimizer=Adam(1e-2), seed=1)
        history = net.fit(X, y, epochs=8, batch_size=32)
        assert history[-1]["loss"] < 0.3 * history[0]["loss"]
        # half of a row's 100 hidden units are random ones, when predicting too
        assert net.evaluate(X, y, k=1)["P@1"] > 0.8

    def test_several_labels_rank_first(self):
        X, y = planted()
        Y = [[label, (label + 1) % 120] for label in y.tolist()]
        net = Network(X.shape[1], 120, hidden=(64,), sampler="full", optimizer=Adam(1e-2), seed=1)
        net.fit(X, Y, epochs=8, batch_size=32)
        assert net.evaluate(X, Y, k=3)["P@3"] > 0.95 * 2 / 3


class TestFit:
    def test_history(self, sampler):
        X, Y = problem()
        net = network(sampler=sampler)
        history = net.fit(X, Y, epochs=3, batch_size=10, validation=(X, Y))
        assert isinstance(history, History) and len(history) == 3
        assert history.column("epoch") == [1, 2, 3] and history.column("step") == [3, 6, 9]
        assert (net.step, net.epoch) == (9, 3)
        for entry in history:
            assert 0 < entry["loss"] < 50 and entry["seconds"] > 0
            assert entry["samples_per_s"] == pytest.approx(24 / entry["seconds"])
            assert set(entry["time_split"]) == {"hash", "retrieve", "forward", "backward", "update", "check", "mine", "learn", "rehash"}
            assert sum(entry["time_split"].values()) == pytest.approx(1)
            assert {"P@1", "P@3", "P@5"} <= set(entry)
            assert {"labels", "retrieved", "uniform"} <= set(entry)
            assert 0 < entry["active_share"] <= 1
            if isinstance(sampler, Full):
                assert entry["active_share"] == 1
            else:
                assert entry["active_share"] == pytest.approx(entry["active"] / OUTPUTS)
                assert entry["active"] == pytest.approx(sum(entry[k] for k in ("labels", "retrieved", "uniform")))
            if getattr(sampler, "shape", "") == "sample":
                assert entry["labels"] == pytest.approx(Y.nnz / 24)
        assert {k: entry[k] for k in ("P@1", "P@3", "P@5")} == {k: v for k, v in net.evaluate(X, Y).items() if k[0] == "P"}

    def test_the_loss_is_the_mean_over_samples(self):
        X, Y = problem()
        net = network(optimizer=SGD(1e-30))
        loss = net.fit(X, Y, epochs=1, batch_size=7)[0]["loss"]  # batches of 7, 7, 7 and 3
        naive = NaiveNetwork(net)
        assert loss == pytest.approx(naive.mean_loss(X, Y, np.ones((24, OUTPUTS))), rel=1e-5)

    def test_same_seed_same_result_and_another_seed_another(self, sampler):
        X, Y = problem()
        nets = [network(sampler=sampler, seed=seed) for seed in (5, 5, 6)]
        for net in nets:
            net.fit(X, Y, epochs=2, batch_size=10)
        assert_same_arrays(nets[0], nets[1])
        assert not np.array_equal(nets[0].output.weights.value, nets[2].output.weights.value)

    def test_partial_fit_is_one_pass(self, sampler):
        X, Y = problem()
        a, b = network(sampler=sampler), network(sampler=sampler)
        a.fit(X, Y, epochs=3, batch_size=10)
        for _ in range(3):
            assert b.partial_fit(X, Y, batch_size=10) is b
        assert_same_arrays(a, b)
        assert b.epoch == 3 and b.step == 9

    def test_each_epoch_visits_every_row_once_in_another_order(self):
        X = sp.csr_matrix(np.eye(FEATURES, dtype=np.float32))
        Y = np.arange(FEATURES)
        net = network(optimizer=SGD(1e-30))
        seen = []
        layer = net.layers[0]
        forward = layer.forward
        layer.forward = lambda x, train=True: seen.append(x.flat()[1].copy()) or forward(x, train)
        net.fit(X, Y, epochs=2, batch_size=8)
        first, second = np.concatenate(seen[:4]), np.concatenate(seen[4:])
        assert sorted(first) == sorted(second) == list(range(FEATURES))
        assert first.tolist() != second.tolist() and first.tolist() != sorted(first)

    def test_inputs_of_every_form_give_the_same(self, tmp_path):
        X, _ = problem()
        y = np.arange(24)
        indicator = np.eye(24, OUTPUTS)
        np.save(tmp_path / "x.npy", X.toarray())
        fixed = X.copy()
        for array in (fixed.data, fixed.indices, fixed.indptr):
            array.setflags(write=False)
        shuffled = X.copy()
        for i in range(24):
            part = slice(*shuffled.indptr[i:i + 2])
            shuffled.indices[part], shuffled.data[part] = shuffled.indices[part][::-1].copy(), shuffled.data[part][::-1].copy()
        shuffled.has_sorted_indices = False
        kept = shuffled.indices.copy()
        reference = network().partial_fit(X, y)
        for features in (X.toarray(), X.tocsc(), X.tocoo(), X.astype(np.float64), sp.csr_array(X), fixed, shuffled,
                         np.load(tmp_path / "x.npy", mmap_mode="r"), X.toarray().tolist()):
            assert_same_arrays(reference, network().partial_fit(features, y))
        np.testing.assert_array_equal(shuffled.indices, kept)
        for labels in (y.tolist(), y.astype(float), [[i] for i in y], [np.array([i]) for i in y], indicator, indicator.astype(bool),
                       sp.csr_matrix(indicator), sp.csc_array(indicator)):
            assert_same_arrays(reference, network().partial_fit(X, labels))

    def test_one_sample_and_a_batch_larger_than_the_data(self, sampler):
        X, Y = problem()
        net = network(sampler=sampler)
        assert net.fit(X[4], Y[4], epochs=2, batch_size=10**6)[-1]["step"] == 2
        assert net.predict(X[4]).shape == (1,)
        net.fit(X[5], Y[4], epochs=1)  # a row without features
        assert np.isfinite(net.predict_topk(X[5], 3)[1]).all()

    def test_rows_without_labels(self, sampler):
        X, Y = problem()
        net, none = network(sampler=sampler), sp.csr_matrix(Y.shape)
        with pytest.raises(ValueError, match="none of the 24 rows has a label"):
            net.fit(X, none, epochs=1)
        one = none.tolil()
        one[3, 2] = 1
        assert np.isfinite(net.fit(X, one.tocsr(), epochs=1, batch_size=2)[0]["loss"])
        assert net.partial_fit(X, none).step == 13

    def test_one_output(self, sampler):
        X, _ = problem()
        for loss in ("softmax", "logistic"):
            net = Network(FEATURES, 1, hidden=(4,), sampler=sampler, loss=loss)
            history = net.fit(X, np.zeros(24, int), epochs=2)
            assert history[-1]["loss"] == pytest.approx(0, abs=1e-6) if loss == "softmax" else history[-1]["loss"] > 0
            assert net.predict(X).tolist() == [0] * 24
            assert net.evaluate(X, np.zeros(24, int))["P@1"] == 1

    @pytest.mark.parametrize("shape", ["sample", "batch"])
    def test_more_candidates_than_outputs(self, shape):
        X, Y = problem()
        for some in (Uniform(10**7, shape=shape), LSH(10**7, shape=shape, tables=Tables(L=4, K=2))):
            net = network(sampler=some)
            entry = net.fit(X, Y, epochs=1)[0]
            assert entry["active"] == OUTPUTS and entry["active_share"] == 1


class TestPrediction:
    def test_topk_is_exact(self):
        X, Y = problem(n=50)
        net = network(hidden=(7, 6)).partial_fit(X, Y)
        logits = NaiveNetwork(net).logits(X)
        for k in (1, 5, OUTPUTS):
            ids, scores = net.predict_topk(X, k)
            assert ids.dtype == np.int32 and scores.dtype == np.float32 and ids.shape == scores.shape == (50, k)
            np.testing.assert_allclose(scores, np.take_along_axis(logits, ids, 1), atol=2e-6)
            np.testing.assert_allclose(scores, -np.sort(-logits)[:, :k], atol=2e-6)
            assert all(len(set(row)) == k for row in ids)
        np.testing.assert_array_equal(net.predict(X), net.predict_topk(X, 1)[0][:, 0])

    @staticmethod
    def with_ties(n_outputs, seed=0):
        """A network whose arithmetic is exact, on small whole numbers: many outputs score the same."""
        net = Network(FEATURES, n_outputs, hidden=(4,), sampler="full", activation="identity")
        rng = np.random.default_rng(seed)
        for parameter in net.parameters().values():
            parameter.value[...] = rng.integers(-1, 2, parameter.value.shape)
        return net

    @settings(deadline=None, max_examples=15)
    @given(n_outputs=st.sampled_from([1, 2, 15, 16, 17, 255, 256, 257, 700]), n=st.sampled_from([1, 2, 255, 257]),
           k=st.integers(1, 700), seed=st.integers(0, 99))
    def test_ties_go_to_the_lower_id(self, n_outputs, n, k, seed):
        k = min(k, n_outputs)
        net = self.with_ties(n_outputs, seed)
        X = sp.csr_matrix(np.random.default_rng(seed).integers(-1, 2, (n, FEATURES)).astype(np.float32))
        logits = NaiveNetwork(net).logits(X)
        want = np.argsort(-logits, axis=1, kind="stable")[:, :k]
        ids, scores = net.predict_topk(X, k)
        np.testing.assert_array_equal(ids, want)
        np.testing.assert_array_equal(scores, np.take_along_axis(logits, want, 1))

    @pytest.mark.parametrize("n", [2048, 2049, 8192, 8193])
    def test_many_rows(self, n):
        """More rows than are split over the outputs (2048), and than are predicted at once (8192)."""
        net = self.with_ties(300)
        X = sp.csr_matrix(np.random.default_rng(0).integers(-1, 2, (n, FEATURES)).astype(np.float32))
        want = np.argsort(-NaiveNetwork(net).logits(X), axis=1, kind="stable")[:, :3]
        np.testing.assert_array_equal(net.predict_topk(X, 3)[0], want)

    def test_hashed_prediction_is_exact_where_all_outputs_are_retrieved(self):
        X, Y = problem()
        # one bit of 100: an output at 150 degrees is missed with probability (5 / 6)^100, 1e-8
        net = network(sampler=LSH(20, tables=Tables(K=1, L=100, capacity=None))).partial_fit(X, Y)
        exact = net.predict_topk(X, 10)
        hashed = net.predict_topk(X, 10, exact=False, candidates=OUTPUTS)
        np.testing.assert_array_equal(hashed[0], exact[0])
        np.testing.assert_allclose(hashed[1], exact[1], atol=1e-6)

    def test_hashed_prediction_scores_what_it_returns(self):
        X, Y = problem()
        net = network(sampler=LSH(20, tables=Tables(K=8, L=2))).partial_fit(X, Y)
        logits = NaiveNetwork(net).logits(X)
        ids, scores = net.predict_topk(X, 30, exact=False, candidates=20)
        missing = ids < 0
        assert missing.any() and not missing.all()
        assert (ids[missing] == -1).all() and (scores[missing] == -np.inf).all()
        assert (np.diff(missing.astype(int)) >= 0).all()  # what is missing comes last
        for i in range(24):
            got = ids[i][~missing[i]]
            assert len(set(got)) == len(got) <= 20
            np.testing.assert_allclose(scores[i][~missing[i]], logits[i, got], atol=2e-6)
            assert (np.diff(scores[i][~missing[i]]) <= 0).all()
        assert set(net.evaluate(X, Y, exact=False)) == set(net.evaluate(X, Y))

    def test_prediction_changes_nothing(self, sampler):
        X, Y = problem()
        a, b = network(sampler=sampler), network(sampler=sampler)
        for _ in range(2):
            a.partial_fit(X, Y)
            b.partial_fit(X, Y)
            b.predict_topk(X[:3], 5)
            b.evaluate(X, Y)
            if isinstance(sampler, LSH):
                b.predict_topk(X, 5, exact=False, candidates=3)
        assert_same_arrays(a, b)

    def test_before_training(self, sampler):
        X, _ = problem()
        net = network(sampler=sampler)
        np.testing.assert_allclose(net.predict_topk(X, 4)[1], -np.sort(-NaiveNetwork(net).logits(X))[:, :4], atol=2e-6)
        if isinstance(sampler, LSH):
            assert net.predict_topk(X, 4, exact=False)[0].shape == (24, 4)

    def test_hidden_activations(self):
        X, Y = problem()
        net = network(hidden=(7, 6), activation="tanh").partial_fit(X, Y)
        h = net.hidden_activations(X)
        assert h.shape == (24, 6) and h.dtype == np.float32
        np.testing.assert_allclose(h, NaiveNetwork(net)._forward(X, {})[0], atol=1e-6)
        net.predict(X[:3])
        assert h.base is None or not np.shares_memory(h, net.hidden_activations(X))

    def test_evaluate_is_what_metrics_say(self):
        X, Y = problem()
        net = network().partial_fit(X, Y)
        ids = net.predict_topk(X, 5)[0]
        propensity = metrics.inverse_propensity(Y)
        with pytest.warns(UserWarning, match="no label"):
            scores = net.evaluate(X, Y, propensity=propensity)
        assert list(scores) == [f"{name}@{k}" for name in ("P", "nDCG", "R", "PSP") for k in (1, 3, 5)]
        table = {name: score(Y, ids, 5, drop_empty=True) for name, score in (
            ("P", metrics.precision_at_k), ("nDCG", metrics.ndcg_at_k), ("R", metrics.recall_at_k))}
        table["PSP"] = metrics.psp_at_k(Y, ids, propensity, 5, drop_empty=True)
        for name, values in table.items():
            for k in (1, 3, 5):
                assert scores[f"{name}@{k}"] == pytest.approx(values[k - 1])
                assert type(scores[f"{name}@{k}"]) is float
        assert list(net.evaluate(X, Y, k=2)) == [f"{name}@{k}" for name in ("P", "nDCG", "R") for k in (1, 2)]


class TestRefusals:
    @pytest.mark.parametrize("arguments, error, message", [
        ({"n_features": 0}, ValueError, "n_features must be an integer from 1"),
        ({"n_outputs": 2.0}, TypeError, "n_outputs must be an integer"),
        ({"n_outputs": 2**31}, ValueError, "n_outputs"),
        ({"hidden": ()}, ValueError, "first hidden layer must be a width"),
        ({"hidden": (Wide(10),)}, ValueError, "first hidden layer must be a width"),
        ({"hidden": (8, Wide(10))}, ValueError, "last hidden layer must be a width"),
        ({"hidden": (8, Wide(10), Wide(10), 8)}, ValueError, "a Wide layer takes dense input"),
        ({"hidden": (8, Wide(10, "full"), 8)}, ValueError, "needs a sampler with shape='sample'"),
        ({"hidden": (8, Wide(10, "uniform"), 8)}, ValueError, "needs a sampler with shape='sample'"),
        ({"hidden": (0,)}, ValueError, r"hidden\[0\]"),
        ({"hidden": (8, 2.5)}, TypeError, r"hidden\[1\]"),
        ({"activation": "swish"}, ValueError, "activation 'swish' is unknown"),
        ({"sampler": "best"}, ValueError, "sampler 'best' is unknown"),
        ({"loss": "hinge"}, ValueError, "loss 'hinge' is unknown"),
        ({"optimizer": "lion"}, ValueError, "optimizer 'lion' is unknown"),
        ({"optimizer": Adam(), "lr": 0.1}, ValueError, "lr was given beside"),
        ({"lr_schedule": "warm"}, ValueError, "schedule 'warm' is unknown"),
        ({"clip_norm": 0}, ValueError, "clip_norm"),
        ({"init_std": 0}, ValueError, "init_std"),
        ({"output_init_std": -1}, ValueError, "output_init_std"),
        ({"seed": -1}, ValueError, "seed"),
        ({"seed": None}, TypeError, "seed"),
    ])
    def test_settings(self, arguments, error, message):
        with pytest.raises(error, match=message):
            Network(**{"n_features": 5, "n_outputs": 5, "hidden": (4,), "sampler": "full", **arguments})

    X, Y = problem()

    @pytest.mark.parametrize("X, Y, error, message", [
        (X[:, :-1], Y, ValueError, "29 features, but .* expecting 30"),
        (X, Y[:, :-1], ValueError, "Y has 599 outputs, expected 600"),
        (X, Y[:-1], ValueError, "Y has 23 rows, expected 24"),
        (X[:0], Y[:0], ValueError, "0 sample"),
        (X.toarray()[0], Y[:1], ValueError, "Expected 2D array"),
        (np.where(np.eye(24, FEATURES), np.nan, X.toarray()), Y, ValueError, "X contains NaN at row 0, column 0"),
        (np.where(np.eye(24, FEATURES), np.inf, X.toarray()), Y, ValueError, "X contains infinity"),
        (X.astype(np.float64) * 1e300, Y, ValueError, "too large for float32"),
        (X, Y * 0.5, ValueError, "has the value 0.5"),
        (X, np.arange(24) + 0.5, ValueError, "label 0.5"),
        (X, np.full(24, OUTPUTS), ValueError, "label 600; expected whole numbers from 0 to 599"),
        (X, np.full(24, -1), ValueError, "label -1"),
        (X, [["a"]] * 24, TypeError, "whole numbers"),
        (X, None, TypeError, "NoneType"),
        (np.full((24, FEATURES), "a"), Y, TypeError, "expected numbers"),
        (sp.csr_matrix((24, FEATURES), dtype=complex), Y, ValueError, "Complex"),
    ], ids=range(16))
    def test_data(self, X, Y, error, message):
        net = network()
        with pytest.raises(error, match=message):
            net.fit(X, Y)
        with pytest.raises(error, match=message):
            net.partial_fit(X, Y)
        with pytest.raises(error, match=message):
            net.fit(*problem(), validation=(X, Y))
        assert net.step == 0

    @pytest.mark.parametrize("call, error, message", [
        (lambda n, X, Y: n.fit(X, Y, epochs=0), ValueError, "epochs"),
        (lambda n, X, Y: n.fit(X, Y, epochs=1.5), TypeError, "epochs"),
        (lambda n, X, Y: n.fit(X, Y, batch_size=0), ValueError, "batch_size"),
        (lambda n, X, Y: n.partial_fit(X, Y, batch_size="8"), TypeError, "batch_size"),
        (lambda n, X, Y: n.fit(X, Y, early_stopping=2), ValueError, "early_stopping needs validation"),
        (lambda n, X, Y: n.fit(X, Y, callbacks=[3]), TypeError, "callbacks must be"),
        (lambda n, X, Y: n.predict_topk(X, 0), ValueError, "k must be an integer from 1 to 600"),
        (lambda n, X, Y: n.predict_topk(X, OUTPUTS + 1), ValueError, "k must be an integer from 1 to 600; got 601"),
        (lambda n, X, Y: n.predict_topk(X, 2.0), TypeError, "k must be"),
        (lambda n, X, Y: n.predict_topk(X, exact=False), ValueError, r"needs a network with the LSH sampler; this one has Full"),
        (lambda n, X, Y: n.predict_topk(X[:, 1:]), ValueError, "29 features"),
        (lambda n, X, Y: n.predict(X[:0]), ValueError, "0 sample"),
        (lambda n, X, Y: n.evaluate(X, Y[:-1]), ValueError, "23 rows"),
        (lambda n, X, Y: n.evaluate(X, Y, k=0), ValueError, "k must"),
        (lambda n, X, Y: n.hidden_activations(X[:, 1:]), ValueError, "29 features"),
    ], ids=range(15))
    def test_calls(self, call, error, message):
        with pytest.raises(error, match=message):
            call(network(), *problem())

    def test_candidates_of_hashed_prediction(self):
        with pytest.raises(ValueError, match="candidates must be an integer from 1"):
            network(sampler=LSH(20, tables=Tables(L=2))).predict_topk(problem()[0], exact=False, candidates=0)


class TestDivergence:
    def test_a_loss_that_is_not_finite_stops_before_the_step(self, sampler):
        X, Y = problem()
        net = network(sampler=sampler)
        net.fit(X, Y, epochs=2, batch_size=12)
        net.layers[0].bias.value[...] = 3e38  # activations of 3e38: logits overflow
        before = copy.deepcopy({name: p.arrays(name) for name, p in net.parameters().items()})
        with pytest.raises(FloatingPointError, match=re.escape("the weights are as before this step")):
            net.fit(X, Y, epochs=1, batch_size=12)
        for name, p in net.parameters().items():
            for part, array in p.arrays(name).items():
                np.testing.assert_array_equal(array, before[name][part])
        assert net.step == 4
        # and it can go on once the cause is gone
        net.layers[0].bias.value[...] = 0
        assert np.isfinite(net.fit(X, Y, epochs=1, batch_size=12)[0]["loss"])

    def test_a_rate_that_is_too_high(self, sampler):
        X, Y = problem()
        with pytest.raises(FloatingPointError, match="lower the learning rate"):
            network(sampler=sampler, optimizer=SGD(1e35)).fit(X, Y, epochs=20, batch_size=12)

    def test_the_message_says_where(self):
        X, Y = problem()
        net = network()
        net.layers[0].weights.value[int(X[7].indices[0])] = np.nan
        with pytest.raises(FloatingPointError, match=r"not finite at step 0 \(\d+ of 24 samples .* at place \d+\)"):
            net.fit(X, Y, epochs=1)


def test_rehash_brings_the_tables_up_to_date():
    X, Y = problem()
    wide = Wide(40, LSH(9, tables=Tables(K=2, L=4, rehash=10**6)))
    net = network(sampler=LSH(20, tables=Tables(K=3, L=4, rehash=10**6)), hidden=(7, wide, 5)).partial_fit(X, Y)
    for layer in (net.layers[1], net.output):
        layer.weights.value[...] = layer.weights.value[::-1].copy()
    before = [layer.sampler.hash_tables._codes.copy() for layer in (net.layers[1], net.output)]
    net.rehash()
    for layer, codes in zip((net.layers[1], net.output), before):
        assert not np.array_equal(layer.sampler.hash_tables._codes, codes)
    network().rehash()  # nothing to do without tables


def test_the_training_data_are_let_go():
    X, Y = problem()
    X = X * 1.0
    gone = weakref.ref(X)
    net = network(sampler="lsh", hidden=(7, Wide(40, "lsh"), 5))
    net.fit(X, Y, epochs=1)
    net.partial_fit(X, Y)
    net.predict(X)
    data = weakref.ref(X.data)
    del X
    gc.collect()
    assert gone() is None and data() is None


class TestCopies:
    @pytest.mark.parametrize("hidden", [(7, 6), (7, Wide(40, LSH(9, tables=Tables(L=4))), 5)], ids=["dense", "wide"])
    @pytest.mark.parametrize("copy_of", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))], ids=["deepcopy", "pickle"])
    def test_a_copy_goes_on_alike_and_apart(self, sampler, copy_of, hidden):
        X, Y = problem()
        net = network(sampler=sampler, hidden=hidden)
        net.fit(X, Y, epochs=1, batch_size=10)
        twin = copy_of(net)
        assert_same_arrays(net, twin)
        net.fit(X, Y, epochs=2, batch_size=10)
        assert twin.step == 3
        twin.fit(X, Y, epochs=2, batch_size=10)
        assert_same_arrays(net, twin)


def test_parameters_have_names_and_shapes():
    net = network(hidden=(7, Wide(40, "lsh"), 5, 4))
    shapes = {name: p.value.shape for name, p in net.parameters().items()}
    assert shapes == {"hidden0.weights": (FEATURES, 7), "hidden0.bias": (7,), "hidden1.weights": (40, 7), "hidden1.bias": (40,),
                      "hidden2.weights": (40, 5), "hidden2.bias": (5,), "hidden3.weights": (5, 4), "hidden3.bias": (4,),
                      "output.weights": (OUTPUTS, 4), "output.bias": (OUTPUTS,)}
    for p in net.parameters().values():
        assert p.value.dtype == np.float32 and p.value.ctypes.data % 64 == 0


def test_initial_weights_have_the_stated_deviation():
    net = Network(300, 400, hidden=(200, 100), sampler="full", init_std=0.25, seed=4)
    for name, std in (("hidden0", 0.25), ("hidden1", np.sqrt(2 / 200)), ("output", 1 / np.sqrt(100))):
        w = net.parameters()[f"{name}.weights"].value
        # a sample variance of n normal numbers has relative deviation sqrt(2 / n)
        assert abs(w.var() / std**2 - 1) < 3.29 * np.sqrt(2 / w.size), name
        assert abs(w.mean()) < 3.29 * std / np.sqrt(w.size)
        assert not net.parameters()[f"{name}.bias"].value.any()
    net = Network(300, 400, hidden=(20,), sampler="full", output_init_std=2.0)
    assert net.output.weights.value.std() == pytest.approx(2, rel=0.05)


def test_samplers_given_are_not_bound_to_a_network():
    sampler = LSH(20, tables=Tables(L=4))
    a, b = network(sampler=sampler, seed=1), network(sampler=sampler, seed=1)
    X, Y = problem()
    a.fit(X, Y, epochs=1)
    assert describe(sampler) == describe(b.sampler) and not hasattr(sampler, "manager")
    assert a.output.sampler is not b.output.sampler and a.output.sampler.hash_tables is not b.output.sampler.hash_tables


def test_repr():
    text = repr(network(hidden=(7, Wide(40, "lsh"), 5)))
    assert text.startswith("Network(30 -> 7 -> Wide(units=40") and "sampler=Full()" in text and "step=0" in text
