"""Gradients of every parameter of every layer kind, against a dense float64 reference that finite differences confirm."""

import numpy as np
import pytest
import scipy.sparse as sp
from naive_nn import ACTIVATIONS, NaiveNetwork, active, dense, record
from nn_problem import FEATURES, OUTPUTS, in_order_of_training, problem

from mongoose_nb.core.arrays import Rows
from mongoose_nb.nn import LSH, SGD, Full, Network, Tables, Uniform, Wide

N = 24
# so large that w - lr * g holds the gradient to float32's precision; a power of two, so that dividing by it is exact
LR = 2.0**30

SAMPLERS = {
    "full": Full(),
    "uniform-sample": Uniform(40, shape="sample"),
    "uniform-sample-uncorrected": Uniform(40, shape="sample", correction="none"),
    "uniform-sample-mixture": Uniform(40, shape="sample", proposal="mixture"),
    "uniform-batch": Uniform(40, shape="batch", correction="tail"),
    "uniform-batch-uncorrected": Uniform(40, shape="batch", correction="none"),
    "uniform-batch-logq": Uniform(40, shape="batch", correction="logq"),
    "uniform-sample-all": Uniform(OUTPUTS, shape="sample"),
    "uniform-batch-all": Uniform(OUTPUTS, shape="batch"),
    "lsh-sample": LSH(40, tables=Tables(L=8, K=3)),
    "lsh-sample-frequency": LSH(40, proposal="frequency", tables=Tables(L=8, K=3)),
    "lsh-sample-unfilled": LSH(40, fill=False, tables=Tables(L=8, K=3)),
    "lsh-sample-uncorrected": LSH(40, correction="none", tables=Tables(L=8, K=3)),
    "lsh-sample-importance": LSH(40, correction="importance", tables=Tables(L=8, K=3)),
    "lsh-sample-importance-unfilled": LSH(40, correction="importance", fill=False, tables=Tables(L=8, K=3, center=False)),
    "lsh-batch": LSH(60, shape="batch", correction="tail", tables=Tables(L=8, K=3)),
    "lsh-batch-unfilled": LSH(60, shape="batch", fill=False, tables=Tables(L=8, K=3)),
}
HIDDEN = {
    "one": (7,),
    "dense": (7, 6),
    "wide-full": (7, Wide(40, Uniform(40, shape="sample")), 5),
    "wide-uniform": (7, Wide(40, Uniform(9, shape="sample")), 5),
    "wide-lsh": (7, Wide(40, LSH(9, tables=Tables(L=8, K=3))), 5, 4),
    "wide-unfilled": (7, Wide(40, LSH(9, fill=False, tables=Tables(L=8, K=3))), 5),
}


def network(**settings):
    """A network whose every parameter, biases too, is away from zero."""
    settings = {"hidden": (7,), "activation": "tanh", "seed": 3, **settings}
    net = Network(FEATURES, OUTPUTS, optimizer=SGD(LR), init_std=0.5, **settings)
    rng = np.random.default_rng(1)
    for name, parameter in net.parameters().items():
        if name.endswith("bias"):
            parameter.value[...] = 0.3 * rng.standard_normal(parameter.value.shape)
    return net


def measured_gradient(net, X, Y):
    """(mean loss, gradient of every parameter) of one batch, from one step of SGD."""
    before = {name: p.value.astype(np.float64) for name, p in net.parameters().items()}
    loss = net.fit(X, Y, epochs=1, batch_size=X.shape[0])[0]["loss"]
    return loss, {name: (before[name] - p.value) / LR for name, p in net.parameters().items()}


def assert_gradients(got, want, tolerance=1e-5):
    """Equal tensor by tensor, relative to the norm of the wanted one."""
    assert got.keys() == want.keys()
    for name in want:
        assert got[name].shape == want[name].shape, name
        error, norm = np.linalg.norm(got[name] - want[name]), np.linalg.norm(want[name])
        assert norm > 0 and error <= tolerance * norm, (name, error / norm)


def check(**settings):
    net = network(**settings)
    X, Y = problem()
    naive, recorded = NaiveNetwork(net), record(net)
    loss, got = measured_gradient(net, X, Y)
    X, Y = in_order_of_training(network(**settings), X, Y)
    weight, masks = active(net, recorded, N)
    losses, want = naive.gradient(X, Y, weight, masks)
    assert loss == pytest.approx(losses.mean(), rel=1e-5)
    assert_gradients(got, want)
    return weight, masks


@pytest.mark.parametrize("loss", ["softmax", "logistic"])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler(sampler, loss):
    weight, _ = check(sampler=SAMPLERS[sampler], loss=loss)
    Y = dense(in_order_of_training(network(), *problem())[1])
    if sampler != "uniform-batch-logq":  # there the list's weights are those for samples with other labels
        assert (weight[Y > 0] == 1).all()
    if "all" in sampler or sampler == "full":
        assert (weight == 1).all()
    else:
        assert 0 < (weight == 0).mean() < 1


@pytest.mark.parametrize("loss", ["softmax", "logistic"])
@pytest.mark.parametrize("hidden", HIDDEN)
def test_every_layer(hidden, loss):
    _, masks = check(hidden=HIDDEN[hidden], loss=loss, sampler=Uniform(40, shape="sample"))
    assert len(masks) == ("wide" in hidden)
    for mask in masks.values():
        assert (mask.mean() == 1) == (hidden == "wide-full")


@pytest.mark.parametrize("hidden", [(7, 6), HIDDEN["wide-unfilled"]], ids=["dense", "wide"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation(activation, hidden):
    check(activation=activation, hidden=hidden, sampler="full")


@pytest.mark.parametrize("n", [1, 2, 300])
@pytest.mark.parametrize("sampler", ["full", "uniform-sample", "uniform-batch"])
def test_batches_of_any_size(sampler, n):
    """One sample, and more than a block of the matrix product."""
    net = network(sampler=SAMPLERS[sampler], hidden=(7, 6))
    X, Y = problem(2, n)
    Y = (Y + sp.csr_matrix(np.eye(n, OUTPUTS))).minimum(1).tocsr()
    naive, recorded = NaiveNetwork(net), record(net)
    ordered = in_order_of_training(net, X, Y)
    _, got = measured_gradient(net, X, Y)
    assert_gradients(got, naive.gradient(*ordered, *active(net, recorded, n))[1])


@pytest.mark.parametrize("loss", ["softmax", "logistic"])
@pytest.mark.parametrize("shape", ["sample", "batch"])
def test_sets_that_hold_all_outputs_are_exact(shape, loss):
    X, Y = problem()
    exact = measured_gradient(network(sampler="full", loss=loss), X, Y)
    sampled = measured_gradient(network(sampler=Uniform(10**6, shape=shape), loss=loss), X, Y)
    assert sampled[0] == pytest.approx(exact[0], rel=1e-6)
    assert_gradients(sampled[1], exact[1], 3e-6)


@pytest.mark.parametrize("sampler", ["full", "uniform-sample", "uniform-batch"])
def test_a_batch_without_labels_has_no_softmax_gradient(sampler):
    net = network(sampler=SAMPLERS[sampler])
    X, _ = problem()
    none, before = sp.csr_matrix((N, OUTPUTS), dtype=np.float32), net.to_arrays()
    assert net.loss_and_gradients(Rows.of(net.rows(X)), Rows.of(none))[0] == 0
    net.partial_fit(X, none, batch_size=N)
    assert net.step == 1 and all((array == before[name]).all() for name, array in net.to_arrays().items())


@pytest.mark.parametrize("sampler", ["full", "uniform-sample", "uniform-batch"])
def test_large_logits_stay_exact(sampler):
    """The maximum is subtracted before exp, in every block: logits of hundreds do not overflow."""
    net = network(sampler=SAMPLERS[sampler], output_init_std=100.0)
    X, Y = problem()
    naive, recorded = NaiveNetwork(net), record(net)
    ordered = in_order_of_training(net, X, Y)
    assert np.abs(naive.logits(X)).max() > 300
    loss, got = measured_gradient(net, X, Y)
    losses, want = naive.gradient(*ordered, *active(net, recorded, N))
    assert loss == pytest.approx(losses.mean(), rel=1e-5)
    # a float32 logit of 500 is right to 3e-5, and so is its exponential
    assert_gradients(got, want, 3e-4)


class TestReference:
    """The reference against central differences of its own loss, which is the formula alone."""

    @pytest.mark.parametrize("loss", ["softmax", "logistic"])
    @pytest.mark.parametrize("activation", ACTIVATIONS)
    def test_finite_differences(self, activation, loss):
        X, Y = problem()
        rng = np.random.default_rng(0)
        naive = NaiveNetwork(network(hidden=HIDDEN["wide-uniform"], activation=activation, loss=loss))
        weight = np.where(rng.random((N, OUTPUTS)) < 0.1, 1 + 9 * rng.random((N, 1)), 0)
        weight[dense(Y) > 0] = 1
        masks = {1: (rng.random((N, 40)) < 0.3) * 1.0}
        gradient = naive.gradient(X, Y, weight, masks)[1]
        for name, value in naive.params.items():
            for entry in [tuple(rng.integers(0, value.shape)) for _ in range(3)]:
                kept, step, losses = value[entry], 1e-6, []
                for side in (step, -step):
                    value[entry] = kept + side
                    losses.append(naive.mean_loss(X, Y, weight, masks))
                value[entry] = kept
                difference = (losses[0] - losses[1]) / (2 * step)
                assert gradient[name][entry] == pytest.approx(difference, rel=1e-4, abs=1e-7), (name, entry)
