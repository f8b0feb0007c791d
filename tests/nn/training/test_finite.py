"""Numbers that are none, and data at the edges: stopped with step, layer and cause, left out, or simply handled."""

import numpy as np
import pytest
import scipy.sparse as sp
from nn_problem import FEATURES, OUTPUTS, assert_same_arrays, problem

from mongoose_nb import metrics
from mongoose_nb.nn import LSH, SGD, Callback, Checkpoint, Full, Network, Tables, Uniform, Wide

SAMPLERS = {"full": Full(), "uniform-batch": Uniform(20), "uniform-sample": Uniform(20, shape="sample"),
            "lsh": LSH(20, tables=Tables(K=3, L=4, rehash=3)), "lsh-batch": LSH(20, shape="batch", tables=Tables(K=3, L=4, rehash=3))}


@pytest.fixture(params=SAMPLERS)
def sampler(request):
    return SAMPLERS[request.param]


def network(**settings):
    return Network(FEATURES, OUTPUTS, **{"hidden": (7,), "sampler": "full", "seed": 3, **settings})


class At(Callback):
    """Spoils something after a step."""

    def __init__(self, step, spoil):
        self.step, self.spoil = step, spoil

    def on_batch_end(self, net, logs):
        if net.step == self.step:
            self.spoil(net)


def huge(X, *rows):
    """Rows whose values overflow when weights multiply them."""
    X = X.copy()
    for row in rows:
        X.data[X.indptr[row]:X.indptr[row + 1]] = 3e38
    return X


class TestWhere:
    @pytest.mark.parametrize("name", ["hidden0.weights", "hidden0.bias", "hidden1.weights", "output.weights", "output.bias"])
    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_weights(self, name, value):
        """Every layer, found at the step after it was spoilt."""
        def spoil(net):
            net.parameters()[name].value[..., 1] = value

        layer, part = name.split(".")
        net = network(hidden=(7, 6), activation="identity")
        with pytest.raises(FloatingPointError, match=rf"at step 4 .*: {part} hold {value} at .*, in layer {layer};"):
            net.fit(*problem(), epochs=3, batch_size=12, callbacks=[At(4, spoil)])
        assert net.step == 4

    def test_data(self, sampler):
        X, Y = problem()
        with pytest.raises(FloatingPointError, match=r"in layer (hidden0|output);.*nonfinite='skip'"):
            network(sampler=sampler).fit(huge(X, 3), Y, epochs=1, batch_size=12)

    def test_a_wide_hidden_layer(self):
        net = network(hidden=(7, Wide(40, LSH(9, tables=Tables(K=2, L=4))), 5), activation="identity")
        net.layers[0].bias.value[:] = 3e38
        with pytest.raises(FloatingPointError, match="in layer hidden1"):
            net.fit(*problem(), epochs=1)

    def test_data_that_are_not_finite_are_refused_at_the_door(self):
        X, Y = problem()
        for value, word in ((np.nan, "NaN"), (np.inf, "infinity")):
            bad = X.copy()
            bad.data[5] = value
            for call in (lambda net, bad=bad: net.fit(bad, Y), lambda net, bad=bad: net.partial_fit(bad, Y),
                         lambda net, bad=bad: net.predict_topk(bad)):
                with pytest.raises(ValueError, match=f"X contains {word} at row "):
                    call(network())

    def test_a_rehash_says_step_and_layer(self):
        def spoil(net):
            net.output.weights.value[3] = np.inf

        net = network(sampler=LSH(20, tables=Tables(K=3, L=4, rehash=4)), optimizer=SGD(1e-9))
        with pytest.raises(FloatingPointError, match=r"step \d"):
            net.fit(*problem(), epochs=9, batch_size=12, callbacks=[At(3, spoil)])


class TestSkipping:
    def test_as_if_the_batch_were_not_there(self, sampler):
        """One row spoils one batch an epoch; the others train, and only what the batch left out is missing."""
        X, Y = problem()
        net = network(sampler=sampler)
        history = net.fit(huge(X, 3), Y, epochs=3, batch_size=6, nonfinite="skip")
        assert history.column("skipped") == [6, 6, 6] and net.step == 9
        assert all(np.isfinite(p.value).all() for p in net.parameters().values()) and np.isfinite(history[-1]["loss"])

    def test_batches_that_are_fine_are_not_touched(self, sampler):
        one, other = network(sampler=sampler), network(sampler=sampler)
        history = one.fit(*problem(), epochs=2, batch_size=6, nonfinite="skip")
        other.fit(*problem(), epochs=2, batch_size=6)
        assert_same_arrays(one, other)
        assert "skipped" not in history[0]

    def test_weights_stop_all_the_same(self):
        def spoil(net):
            net.output.weights.value[0, 0] = np.nan

        with pytest.raises(FloatingPointError, match="in layer output"):
            network().fit(*problem(), epochs=2, batch_size=6, nonfinite="skip", callbacks=[At(2, spoil)])

    def test_nothing_left(self):
        X, Y = problem()
        with pytest.raises(FloatingPointError, match="no batch of epoch 1 has a finite loss"):
            network().fit(huge(X, *range(24)), Y, epochs=2, nonfinite="skip")

    def test_resumed(self, tmp_path):
        X, Y = problem()
        X = huge(X, 3)
        whole, parts = network(), None
        history = whole.fit(X, Y, epochs=3, batch_size=6, nonfinite="skip")

        def stop(net):
            raise KeyboardInterrupt

        for step in (2, 5, None):
            parts = network()
            with pytest.raises(KeyboardInterrupt) if step else np.errstate():
                again = parts.fit(X, Y, epochs=3, batch_size=6, nonfinite="skip", resume=tmp_path / "f",
                                  callbacks=[Checkpoint(tmp_path / "f", every=1), At(step, stop)])
        assert_same_arrays(whole, parts)
        assert again.column("skipped") == history.column("skipped") and again.column("loss") == history.column("loss")

    def test_refusal(self):
        with pytest.raises(ValueError, match="nonfinite must be one of 'stop', 'skip'"):
            network().fit(*problem(), nonfinite="ignore")


class TestEdges:
    @pytest.mark.parametrize("loss", ["softmax", "logistic"])
    def test_logits_as_large_as_float32_goes(self, sampler, loss):
        """exp is never taken of a large positive number: losses and steps are finite up to logits of 1e30 and beyond."""
        X, Y = problem()
        for size in (1e2, 1e4, 1e20, 1e30):
            net = network(sampler=sampler, loss=loss, optimizer=SGD(1e-30))
            net.output.bias.value[:] = np.where(np.arange(OUTPUTS) % 2, size, -size)
            entry = net.fit(X, Y, epochs=1, batch_size=6)[0]
            assert np.isfinite(entry["loss"])
            assert all(np.isfinite(p.value).all() for p in net.parameters().values())

    def test_one_output_one_sample_one_feature(self, sampler):
        for n, d, outputs in ((1, 5, 3), (4, 1, 3), (4, 5, 1), (1, 1, 1)):
            net = Network(d, outputs, hidden=(2,), sampler=sampler)
            history = net.fit(np.ones((n, d)), np.zeros(n, np.int64), epochs=2, batch_size=3)
            assert np.isfinite(history[-1]["loss"])
            ids, scores = net.predict_topk(np.ones((2, d)), 1)
            assert np.isfinite(scores).all()

    def test_rows_and_labels_that_are_empty(self, sampler):
        """Rows without features, without labels, without both; a batch in which nobody has a label."""
        X = sp.csr_matrix((np.ones(1, np.float32), ([4], [2])), shape=(24, FEATURES))
        Y = sp.csr_matrix((np.ones(1, np.float32), ([3], [5])), shape=(24, OUTPUTS))
        net = network(sampler=sampler)
        history = net.fit(X, Y, epochs=2, batch_size=6)
        assert np.isfinite(history[-1]["loss"]) and np.isfinite(net.predict_topk(X, 3)[1]).all()
        assert all(np.isfinite(v) for v in net.evaluate(X, Y).values())

    def test_duplicated_ids(self, sampler):
        """A label that stands twice is one label; a feature that stands twice is their sum."""
        one, other = network(sampler=sampler), network(sampler=sampler)
        indptr, ids = np.array([0, 3, 4]), np.array([2, 2, 5, 1])
        twice = sp.csr_matrix((np.float32([1, 2, 1, 1]), ids, indptr), shape=(2, FEATURES))
        once = sp.csr_matrix((np.float32([3, 1, 1]), [2, 5, 1], [0, 2, 3]), shape=(2, FEATURES))
        one.fit(twice, [[4, 4, 9], [1, 1]], epochs=2)
        other.fit(once, [[4, 9], [1]], epochs=2)
        assert_same_arrays(one, other)

    def test_labels_not_seen_in_training(self, sampler):
        X, Y = problem()
        seen = sp.csr_matrix(Y.multiply((np.arange(OUTPUTS) < 300)[None, :]))
        unseen = sp.csr_matrix(Y.multiply((np.arange(OUTPUTS) >= 300)[None, :]))
        net = network(sampler=sampler)
        net.fit(X, seen, epochs=2)
        scores = net.evaluate(X, unseen, propensity=metrics.inverse_propensity(seen))
        assert all(np.isfinite(v) for v in scores.values())

    def test_all_activations_equal(self, sampler):
        """One bucket holds everything, the others nothing: identical rows and identical weights."""
        net = network(sampler=sampler)
        net.output.weights.value[:] = 0.5
        history = net.fit(np.ones((24, FEATURES)), np.arange(24), epochs=2, batch_size=6)
        assert np.isfinite(history[-1]["loss"])
        net.predict_topk(np.ones((2, FEATURES)), 3)


@pytest.mark.slow
def test_ten_million_outputs():
    """A step, a rehash of all rows and a hashed prediction; nothing in the step is as long as the outputs."""
    n = 10_000_000
    net = Network(5, n, hidden=(2,), sampler=LSH(40, tables=Tables(K=16, L=2, capacity=64)), optimizer="sgd")
    Y = [[0, n - 1], [n // 2], [], [7]]
    history = net.fit(np.eye(4, 5), Y, epochs=2, batch_size=2)
    assert np.isfinite(history[-1]["loss"]) and history[-1]["active_share"] < 1e-5
    ids, scores = net.predict_topk(np.eye(4, 5), 3)
    assert ((ids >= 0) & (ids < n)).all() and np.isfinite(scores).all()
    ids, _ = net.predict_topk(np.eye(4, 5), 3, exact=False)
    assert ((ids >= -1) & (ids < n)).all()
