"""Batch samplers: what every registered one has to do, and exact probabilities of those that draw."""

import numba
import numpy as np
import pytest
import scipy.sparse as sp
from nn_problem import FEATURES, OUTPUTS, assert_same_arrays, planted, problem

from mongoose_nb.core.arrays import Rows
from mongoose_nb.core.registry import make, registered
from mongoose_nb.nn import BatchSampler, Callback, Checkpoint, DrawnBatches, HardnessBatches, LGDBatches, Network, hardness, row_variance

NAMES = registered("batch sampler", "mongoose_nb.")
DRAWN = [name for name, cls in NAMES.items() if issubclass(cls, DrawnBatches)]


def network(**settings):
    return Network(FEATURES, OUTPUTS, **{"hidden": (7,), "sampler": "full", "seed": 3, "lr": 0.01, **settings})


def begun(name, net, X, Y, where=(0, 0)):
    sampler = make("batch sampler", name).bind(net.seed)
    sampler.begin(net, X, Y, where, False)
    return sampler


def test_all_are_registered():
    assert {"uniform", "lgd", "hardness"} <= set(NAMES) and set(DRAWN) == {"lgd", "hardness"}


class TestEvery:
    @pytest.mark.parametrize("name", NAMES)
    def test_rows_and_weights(self, name):
        X, Y = problem()
        net, n = network(), X.shape[0]
        sampler = begun(name, net, X, Y)
        rows, weights = sampler.draw(net, 0, 0, 9)
        assert rows.shape == (9,) and (rows >= 0).all() and (rows < n).all()
        assert weights is None or (weights.shape == (9,) and (weights > 0).all())
        again, _ = begun(name, net, X, Y).draw(net, 0, 0, 9)
        np.testing.assert_array_equal(rows, again)
        assert (rows != begun(name, net, X, Y, (1, 0)).draw(net, 0, 0, 9)[0]).any()

    @pytest.mark.parametrize("name", NAMES)
    def test_it_trains(self, name):
        X, Y = planted(n=300, n_outputs=20)
        net = Network(X.shape[1], 20, hidden=(16,), sampler="full", lr=0.02)
        history = net.fit(X, Y, epochs=8, batch_size=30, batches=name)
        assert history[-1]["loss"] < 0.5 * history[0]["loss"] and net.step == 80
        assert net.evaluate(X, Y, k=1)["P@1"] > 0.8

    @pytest.mark.parametrize("name", NAMES)
    @pytest.mark.parametrize("chunked", [False, True])
    def test_killed_and_resumed(self, name, chunked, tmp_path):
        class Killed(BaseException):
            pass

        X, Y = problem()
        data = ([(X[:13], Y[:13]), (X[13:], Y[13:])],) if chunked else (X, Y)

        def run(net, step=None):
            def die(self, net, logs):
                if net.step == step:
                    raise Killed

            killer = type("Killer", (Callback,), {"on_batch_end": die})()
            batches = name if name == "uniform" else {"name": name, "refresh": 2}
            return net.fit(*data, epochs=4, batch_size=5, batches=batches, resume=tmp_path / "c",
                           callbacks=[killer, Checkpoint(tmp_path / "c", every=1)])

        whole = network()
        history = run(whole)
        (tmp_path / "c").unlink()
        for step in (2, 4, 8, 11, 17):
            with pytest.raises(Killed):
                run(network(), step)
        net = network()
        assert run(net).column("loss") == history.column("loss")
        assert_same_arrays(whole, net)

    @pytest.mark.parametrize("name", NAMES)
    def test_threads(self, name):
        nets, threads = [], numba.get_num_threads()
        try:
            for count in (1, threads):
                numba.set_num_threads(count)
                nets.append(network())
                nets[-1].fit(*problem(), epochs=2, batch_size=5, batches=name)
        finally:
            numba.set_num_threads(threads)
        assert_same_arrays(*nets)

    @pytest.mark.parametrize("name", NAMES)
    def test_rows_without_labels(self, name):
        X, Y = problem()
        for few in (2, 4):
            net, labels = network(loss="logistic"), sp.vstack([Y[:few], sp.csr_matrix((X.shape[0] - few, OUTPUTS))])
            assert np.isfinite(net.fit(X, sp.csr_matrix(labels, dtype=np.float32), epochs=2, batch_size=5, batches=name)[-1]["loss"])


class TestDrawn:
    @pytest.mark.parametrize("name", DRAWN)
    @pytest.mark.parametrize("loss", ["softmax", "logistic"])
    def test_the_gradient_has_no_bias(self, name, loss):
        """Over many draws, the mean gradient of drawn batches is that of all rows, within four standard errors."""
        X, Y = problem()
        Y = Y.tolil()
        Y[3] = 0  # a row without labels counts under one of the losses
        Y, n = sp.csr_matrix(Y, dtype=np.float32), X.shape[0]
        weight = np.linspace(0.5, 2.0, n)
        net = network(loss=loss)
        net.fit(X, Y, epochs=3, batch_size=5)
        whole, exact = net.loss_and_gradients(Rows.of(X), Rows.of(Y), weight=weight)
        sampler, drawn, losses = begun(name, net, X, Y), [], []
        mean = net.output.loss_kind.weights(Rows.of(Y), weight).mean()
        for step in range(400):
            rows, own = sampler.draw(net, step, 0, 8)
            value, gradients = net.loss_and_gradients(Rows.of(X, rows), Rows.of(Y, rows), weight=own * weight[rows], total=mean * 8)
            losses.append(value)
            drawn.append(np.asarray(gradients["hidden0.bias"]).ravel())
        for values, wanted in ((np.array(losses)[:, None], whole), (np.array(drawn), np.asarray(exact["hidden0.bias"]).ravel())):
            error = values.std(axis=0, ddof=1) / np.sqrt(len(values))
            assert (np.abs(values.mean(axis=0) - wanted) <= 4 * error + 1e-6).all()

    @pytest.mark.parametrize("name", DRAWN)
    def test_probabilities_are_those_of_the_draws(self, name):
        X, Y = problem()
        net, n = network(), X.shape[0]
        net.fit(X, Y, epochs=2)
        sampler = begun(name, net, X, Y)
        p = sampler.probabilities(net)
        np.testing.assert_allclose(p.sum(), 1.0, rtol=1e-9)
        m = 40_000
        rows, weights = sampler.draw(net, 0, 0, m)
        np.testing.assert_allclose(weights, 1 / (n * p[rows]))
        assert (np.abs(np.bincount(rows, minlength=n) - m * p) <= 4.5 * np.sqrt(m * p * (1 - p))).all()
        assert weights.max() <= 1 / 0.3 + 1e-9

    @pytest.mark.parametrize("name", DRAWN)
    def test_settings(self, name):
        for bad in ({"uniform": 0.0}, {"uniform": 1.5}, {"refresh": 0}, *([{"K": 17}, {"L": 0}] if name == "lgd" else [{"power": -1}])):
            with pytest.raises(ValueError):
                NAMES[name](**bad)


class TestLGD:
    def test_rows_that_point_away_from_their_label_are_likely(self):
        X, Y = planted(n=600, n_outputs=4)
        net = Network(X.shape[1], 4, hidden=(8,), sampler="full", lr=0.02)
        net.fit(X, Y, epochs=2)
        p = begun(LGDBatches(L=60), net, net.rows(X), sp.csr_matrix(np.eye(4, dtype=np.float32)[Y])).probabilities(net)
        h = net.hidden_activations(X)
        logit = ((h - h.mean(axis=0)) * net.output.weights.value[Y]).sum(axis=1)
        for label in range(4):
            own = Y == label
            assert np.corrcoef(logit[own], p[own])[0, 1] < -0.3

    def test_the_query_moves_with_the_weights(self):
        X, Y = problem()
        net = network()
        sampler = begun("lgd", net, X, Y)
        before = sampler.probabilities(net)
        net.output.weights.value[:] *= -1
        assert (sampler.probabilities(net) != before).any()

    def test_variance(self):
        X, Y = planted(n=400, n_outputs=20)
        net = Network(X.shape[1], 20, hidden=(8,), sampler="full", lr=0.02)
        net.fit(X, Y, epochs=4)
        assert row_variance(net, X, Y, LGDBatches(uniform=1.0)) == pytest.approx(1.0)
        for name in DRAWN:
            assert 0 < row_variance(net, X, Y, name, rows=100) < 3.4
        with pytest.raises(TypeError, match="draws"):
            row_variance(net, X, Y, "uniform")


def test_hardness_of_a_sample_of_outputs():
    X, Y = planted(n=200, n_outputs=3000)
    net = Network(X.shape[1], 3000, hidden=(16,), sampler="full", lr=0.02)
    net.fit(X, Y, epochs=1)
    exact, estimate = hardness(net, X, Y), hardness(net, X, Y, sample=1000)
    assert np.abs(estimate / exact - 1).max() < 0.05
    p = begun(HardnessBatches(uniform=0.1), net, net.rows(X), sp.csr_matrix((np.ones(200, np.float32), Y, np.arange(201)),
                                                                        shape=(200, 3000))).probabilities(net)
    assert np.corrcoef(p, exact)[0, 1] > 0.9


class Half(BatchSampler):
    """The first half of the rows, by a user."""

    def __init__(self, wrong=0):
        self.wrong = wrong

    def begin(self, network, X, Y, where, resumed):
        self.n, self.where = X.shape[0], where

    def draw(self, network, step, first, size):
        rows = np.random.default_rng([self.seed, *self.where, step]).integers(0, self.n // 2, size) + self.wrong
        return rows, np.full(size, 1.0)


def test_one_of_your_own(tmp_path):
    X, Y = problem()
    one, other = network(), network()
    one.fit(X, Y, epochs=2, batch_size=5, batches=Half(), callbacks=[Checkpoint(tmp_path / "c")])
    other.fit(X, Y, epochs=2, batch_size=5, batches=Half(), resume=tmp_path / "c")
    assert_same_arrays(one, other)
    with pytest.raises(ValueError, match="rows of 0 to"):
        network().fit(X, Y, batches=Half(wrong=X.shape[0]))
    with pytest.raises(ValueError, match="batches"):
        network().fit(X, Y, epochs=2, batch_size=5, batches="lgd", resume=tmp_path / "c")
    for bad in ("all", 3):
        with pytest.raises((ValueError, TypeError), match="batch sampler"):
            network().fit(X, Y, batches=bad)
