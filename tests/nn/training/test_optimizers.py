"""Optimisers, alone and in a network, against a naive lazy reference in float64."""

import numpy as np
import pytest
from naive_nn import NaiveNetwork, NaiveOptimizer, active, record, touched_rows
from nn_problem import FEATURES, OUTPUTS, in_order_of_training, problem

from mongoose_nb.core.registry import describe
from mongoose_nb.nn import SGD, AdaGrad, Adam, Full, Network, RowAdam, Uniform, Wide
from mongoose_nb.nn.training.lr import Cosine
from mongoose_nb.nn.training.optimizers import make_optimizer

# eps well above the rounding of small gradients, so that a float32 run can be compared with a float64 one at all
METHODS = {
    "sgd": SGD(0.3),
    "sgd-decay": SGD(0.3, weight_decay=0.1),
    "momentum": SGD(0.1, momentum=0.9),
    "momentum-decay": SGD(0.1, momentum=0.8, weight_decay=0.1),
    "adagrad": AdaGrad(0.05, eps=1e-3),
    "adagrad-decay": AdaGrad(0.05, eps=1e-3, weight_decay=0.2),
    "adam": Adam(0.01, eps=1e-4),
    "rowadam": RowAdam(0.01, eps=1e-4),
    "rowadam-decay": RowAdam(0.01, beta1=0.8, beta2=0.95, eps=1e-4, weight_decay=0.5),
    "adam-decay": Adam(0.01, beta1=0.8, beta2=0.95, eps=1e-4, weight_decay=0.5),
}
STEPS = 20
SAMPLERS = [Uniform(30, shape="sample"), Uniform(30, shape="batch", correction="tail"), Full()]


def run(sampler, optimizer, hidden=(7, 6), clip_norm=None, lr_schedule="constant", loss="softmax"):
    """Twenty steps of one batch each, in the network and in the reference; checks both after every step."""
    net = Network(FEATURES, OUTPUTS, hidden=hidden, activation="tanh", sampler=sampler, optimizer=optimizer, init_std=0.5, seed=3,
                  clip_norm=clip_norm, lr_schedule=lr_schedule, loss=loss)
    naive, recorded = NaiveNetwork(net), record(net)
    reference = NaiveOptimizer(net.optimizer, naive.params)
    start = {name: p.value.copy() for name, p in net.parameters().items()}
    clipped = 0
    for step in range(STEPS):
        X, Y = problem(step % 3)
        ordered = in_order_of_training(net, X, Y)
        before = {name: {k: v.copy() for k, v in p.arrays(name).items()} for name, p in net.parameters().items()}
        net.partial_fit(X, Y, batch_size=X.shape[0])
        weight, masks = active(net, recorded, X.shape[0])
        touched = touched_rows(net, X, weight, masks)
        gradient = naive.gradient(*ordered, weight, masks)[1]
        # partial_fit takes its one pass for the whole run, so that is what a schedule is asked about
        rate = net.lr_schedule(step, step + 1)
        reference.update(naive.params, gradient, touched, step + 1, rate, clip_norm)
        clipped += clip_norm is not None and np.sqrt(sum((g**2).sum() for g in gradient.values())) > clip_norm
        for name, p in net.parameters().items():
            rows = np.broadcast_to(touched[name], len(p.value))
            for part, array in p.arrays(name).items():
                np.testing.assert_array_equal(array[~rows], before[name][part][~rows], err_msg=part)
    for name, p in net.parameters().items():
        want, got = naive.params[name] - start[name], p.value - start[name].astype(np.float64)
        assert np.linalg.norm(want) > 0
        assert np.linalg.norm(got - want) <= 2e-4 * np.linalg.norm(want), name
        for moment, kept in (("m", reference.m), ("v", reference.v)):
            if f"{name}.{moment}" in p.arrays(name):
                got = p.arrays(name)[f"{name}.{moment}"]
                assert np.linalg.norm(got - kept[name]) <= 2e-4 * np.linalg.norm(kept[name]) > 0, (name, moment)
    return clipped


@pytest.mark.parametrize("method", METHODS)
def test_twenty_steps(method):
    run(SAMPLERS[0], METHODS[method])


@pytest.mark.parametrize("sampler", SAMPLERS[1:], ids=["batch", "full"])
@pytest.mark.parametrize("method", ["sgd", "momentum-decay", "adagrad", "adam-decay"])
def test_twenty_steps_on_a_shared_list(method, sampler):
    run(sampler, METHODS[method])


@pytest.mark.parametrize("method", METHODS)
def test_twenty_steps_with_a_wide_hidden_layer(method):
    run(Uniform(30, shape="sample"), METHODS[method], hidden=(7, Wide(40, Uniform(9, shape="sample")), 5))


@pytest.mark.parametrize("hidden", [(7, 6), (7, Wide(40, Uniform(9, shape="sample")), 5)], ids=["dense", "wide"])
@pytest.mark.parametrize("sampler", SAMPLERS, ids=["sample", "batch", "full"])
@pytest.mark.parametrize("clip_norm", [0.3, 100.0])
def test_clipping_by_the_global_norm(clip_norm, sampler, hidden):
    clipped = run(sampler, METHODS["adam"], hidden, clip_norm)
    assert clipped > STEPS / 2 if clip_norm < 1 else clipped == 0


@pytest.mark.parametrize("method", ["sgd-decay", "adam-decay"])
def test_schedules_scale_the_rate_and_the_decay(method):
    run(Uniform(30, shape="sample"), METHODS[method], lr_schedule=lambda step, total: 0.5 ** (step % 3))


@pytest.mark.parametrize("method", ["sgd-decay", "momentum", "adagrad", "adam-decay", "rowadam"])
@pytest.mark.parametrize("hidden", [(7, 6), (7, Wide(40, Uniform(9, shape="sample")), 5)], ids=["arrays", "rows"])
def test_a_parameter_has_a_learning_rate_of_its_own_and_the_decay_of_all(method, hidden):
    """Steps of one parameter alone are those of an optimiser of another learning rate, and as much decay."""
    optimizer = METHODS[method]
    faster = type(optimizer)(**{**optimizer.config(), "lr": 4 * optimizer.lr, "weight_decay": optimizer.weight_decay / 4})
    found = []
    for kind, factor in ((optimizer, 4.0), (faster, 1.0)):
        net = Network(FEATURES, OUTPUTS, hidden=hidden, sampler=Uniform(30, shape="sample"), optimizer=kind, init_std=0.5, seed=3)
        net.parameters()["output.weights"].lr_factor = factor
        net.partial_fit(*problem(0), batch_size=problem(0)[0].shape[0])  # one step: the others move, too
        found.append(net.parameters()["output.weights"].value)
    np.testing.assert_allclose(*found, rtol=1e-5, atol=1e-7)


def test_fit_asks_the_schedule_about_the_whole_run():
    asked = []

    def schedule(step, total):
        asked.append((step, total))
        return 1.0

    net = Network(FEATURES, OUTPUTS, hidden=(7,), sampler="full", lr_schedule=schedule)
    X, Y = problem()
    net.fit(X, Y, epochs=2, batch_size=10)
    net.fit(X, Y, epochs=1, batch_size=10)
    assert asked == [*((s, 6) for s in range(6)), *((s, 9) for s in range(6, 9))]


class TestConstants:
    def test_adam(self):
        c = Adam(0.1, beta1=0.9, beta2=0.99, eps=1e-3, weight_decay=0.5).constants(3, rate=0.5, scale=0.25)
        assert c.dtype == np.float32
        want = [0.05, 0.9, 0.99, 1e-3, 1 - 0.05 * 0.5, 1 / (1 - 0.9**3), 1 / np.sqrt(1 - 0.99**3), 0.25]
        np.testing.assert_allclose(c, want, rtol=1e-6)
        assert Adam(0.1, weight_decay=0.5).constants(3, decay=False)[4] == 1

    def test_which_moments_are_kept(self):
        kept = {name: (m.keeps_m, m.keeps_v) for name, m in METHODS.items() if "-" not in name}
        assert kept == {"sgd": (False, False), "momentum": (True, False), "adagrad": (False, True), "adam": (True, True),
                        "rowadam": (True, True)}

    @pytest.mark.parametrize("name", METHODS)
    def test_settings_make_an_equal_one(self, name):
        method = METHODS[name]
        again = make_optimizer(describe(method, "optimizer"))
        assert type(again) is type(method) and vars(again) == vars(method)
        assert repr(again) == repr(method) and str(method.lr) in repr(method)

    def test_by_name(self):
        assert make_optimizer("adam", 0.5).lr == 0.5
        assert make_optimizer("adagrad").lr == AdaGrad().lr
        own = SGD(0.1)
        assert make_optimizer(own) is own

    @pytest.mark.parametrize("make, error, message", [
        (lambda: make_optimizer("lion"), ValueError, "'lion'.*adagrad.*adam.*sgd"),
        (lambda: make_optimizer(SGD(0.1), 0.2), ValueError, "lr was given beside"),
        (lambda: SGD(0), ValueError, "lr must be"),
        (lambda: SGD(float("nan")), ValueError, "lr must be"),
        (lambda: SGD("0.1"), TypeError, "lr must be a number"),
        (lambda: SGD(0.1, momentum=1.0), ValueError, "momentum"),
        (lambda: Adam(beta1=1.0), ValueError, "beta1"),
        (lambda: Adam(beta2=-0.1), ValueError, "beta2"),
        (lambda: Adam(eps=0), ValueError, "eps"),
        (lambda: AdaGrad(eps=0), ValueError, "eps"),
        (lambda: AdaGrad(weight_decay=-1), ValueError, "weight_decay"),
    ])
    def test_errors(self, make, error, message):
        with pytest.raises(error, match=message):
            make()


def test_cosine_is_a_schedule_of_the_network():
    net = Network(FEATURES, OUTPUTS, hidden=(7,), sampler="full", lr_schedule="cosine")
    assert isinstance(net.lr_schedule, Cosine)
