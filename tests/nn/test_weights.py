"""How much a row counts in the loss: rows without labels, and weights that are given."""

import numpy as np
import pytest
import scipy.sparse as sp
from nn_problem import FEATURES, OUTPUTS, assert_same_arrays, digest, problem

from mongoose_nb.core.arrays import Rows
from mongoose_nb.nn import SGD, Adaptive, Full, Network, Uniform
from mongoose_nb.nn.layers.gradients import as_dense
from mongoose_nb.nn.training.timing import PhaseTimer

# whose candidates do not depend on the places of the samples in the batch
SAMPLERS = {"full": Full(), "batch": Uniform(40, shape="batch"), "everything per sample": Uniform(10**6, shape="sample")}


def network(**settings):
    return Network(FEATURES, OUTPUTS, **{"hidden": (7,), "seed": 3, "sampler": "full", **settings})


def labelled(n=12):
    """n rows with one to three labels."""
    X, _ = problem(1, n)
    rng = np.random.default_rng(0)
    return X, sp.csr_matrix(np.array([np.bincount(rng.choice(OUTPUTS, 1 + i % 3, replace=False), minlength=OUTPUTS) for i in range(n)]))


def gradients(net, X, Y, weight=None):
    loss, parts = net.loss_and_gradients(Rows.of(X), Rows.of(Y), weight=weight)
    return loss, {name: as_dense(part).copy() for name, part in parts.items()}


def assert_close(found, want):
    assert found[0] == pytest.approx(want[0], rel=1e-6)
    for name, value in want[1].items():
        np.testing.assert_allclose(found[1][name], value, rtol=1e-4, atol=1e-7, err_msg=name)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("unlabelled", [1, 12, 60])
def test_rows_without_labels_do_not_change_a_step(sampler, unlabelled):
    """Under the softmax they have no loss, and leave the loss and the gradient of the others as they are."""
    X, Y = labelled()
    net = network(sampler=SAMPLERS[sampler])
    more = sp.vstack([X, problem(2, unlabelled)[0]]).tocsr(), sp.vstack([Y, sp.csr_matrix((unlabelled, OUTPUTS))]).tocsr()
    assert_close(gradients(net, *more), gradients(net, X, Y))


def test_under_the_logistic_loss_rows_without_labels_count():
    """None of the outputs is right for them: that is something to learn."""
    X, Y = labelled()
    net = network(loss="logistic")
    more = sp.vstack([X, X]).tocsr(), sp.vstack([Y, sp.csr_matrix(Y.shape)]).tocsr()
    assert gradients(net, *more)[0] == pytest.approx((gradients(net, X, Y)[0] + gradients(net, X, sp.csr_matrix(Y.shape))[0]) / 2, rel=1e-5)


@pytest.mark.parametrize("optimizer", ["adam", SGD(0.1, momentum=0.9)])
def test_a_batch_without_labels_leaves_the_weights(optimizer):
    """Momentum and weight decay, too, wait for a batch that says something."""
    X, Y = labelled()
    net = network(optimizer=optimizer)
    net.fit(X, Y, epochs=2)
    before = digest(net)
    assert digest(net.partial_fit(X, sp.csr_matrix(Y.shape))) == before


def test_the_loss_of_an_epoch_is_a_mean_over_rows():
    """Whatever number of labelled rows its batches have."""
    X, Y = labelled(10)
    Y = sp.vstack([Y[:5], sp.csr_matrix((5, OUTPUTS))]).tocsr()
    whole, parts = (network(optimizer=SGD(1e-12)).fit(X, Y, epochs=1, batch_size=size)[0]["loss"] for size in (10, 3))
    assert parts == pytest.approx(whole, rel=1e-5)


def test_adaptive_looks_at_rows_with_labels():
    X, Y = labelled(40)
    Y = sp.vstack([Y[:20], sp.csr_matrix((20, OUTPUTS))]).tocsr()
    net = network(sampler=Adaptive(50))
    net.output.sampler.shared(np.ones((40, 7), np.float32), Rows.of(Y), 128, PhaseTimer())
    assert net.output.sampler._seen == 20


@pytest.mark.parametrize("loss", ["softmax", "logistic"])
@pytest.mark.parametrize("sampler", ["full", "everything per sample"])
def test_a_weight_is_a_number_of_copies(sampler, loss):
    X, Y = labelled()
    copies = np.arange(12) % 4
    net = network(sampler=SAMPLERS[sampler], loss=loss, clip_norm=1.0)
    repeated = np.repeat(np.arange(12), copies)
    assert_close(gradients(net, X, Y, copies * 0.5), gradients(net, X[repeated], Y[repeated]))


def test_weights_in_fit():
    """Rows of weight 0 are as if they were not there, and equal weights as if none were given."""
    X, Y = labelled(30)
    one, same, less, without = network(), network(), network(), network()
    one.fit(X, Y, epochs=2, batch_size=7)
    same.fit(X, Y, epochs=2, batch_size=7, sample_weight=np.full(30, 2.0))
    assert_same_arrays(one, same)
    less.fit(X, Y, epochs=2, batch_size=7, sample_weight=np.arange(30) % 2)
    without.fit(X[1::2], Y[1::2], epochs=2, batch_size=7)
    assert_same_arrays(less, without)
    less.partial_fit(X, Y, batch_size=7, sample_weight=np.arange(30) % 2)
    without.partial_fit(X[1::2], Y[1::2], batch_size=7)
    assert_same_arrays(less, without)
    chunks, whole = network(), network()
    chunks.fit([(X, Y, np.arange(30) + 1.0)], epochs=2, batch_size=7)
    whole.fit(X, Y, epochs=2, batch_size=7, sample_weight=np.arange(30) + 1.0)
    assert_same_arrays(chunks, whole)


@pytest.mark.parametrize("weight, message", [
    (np.ones(29), "29 weights for 30 rows"), (np.ones((30, 1)), "1D array"), (-np.ones(30), "not below 0"),
    (np.zeros(30), "every weight in sample_weight is zero"), (np.full(30, np.nan), "weight nan at row 0"),
    (["a"] * 30, "expected numbers")])
def test_weights_that_are_refused(weight, message):
    X, Y = labelled(30)
    net = network()
    before = digest(net)
    for call in (net.fit, net.partial_fit):
        with pytest.raises((ValueError, TypeError), match=message):
            call(X, Y, sample_weight=weight)
    assert digest(net) == before and net.step == 0
