"""The output layer of a batch in parts, beside the whole batch."""

import numba
import numpy as np
import pytest
from nn_problem import FEATURES, OUTPUTS, digest, problem

from mongoose_nb import nn
from mongoose_nb.compress import Compress
from mongoose_nb.core import threads as _threads
from mongoose_nb.core.arrays import Rows
from mongoose_nb.nn.layers.base import Run
from mongoose_nb.nn.layers.gradients import as_dense
from mongoose_nb.nn.layers.wide_output import parts_of

X, Y = problem(n=120)
TABLES = nn.Tables(K=3, L=4, rehash=3)
CASES = {"full": {"sampler": "full"}, "uniform": {"sampler": nn.Uniform(50), "regularizer": "spread-out"},
         "logistic": {"sampler": nn.Uniform(50), "loss": "logistic"},
         "lsh": {"sampler": nn.LSH(60, shape="batch", tables=TABLES)}, "dropout": {"sampler": "full", "hidden": (9, nn.Dropout(0.3), 8)},
         "compressed": {"sampler": nn.Uniform(50), "compress": Compress("robe", 4)}, "sample": {"sampler": nn.Uniform(30, shape="sample")}}


def network(**settings):
    return nn.Network(FEATURES, OUTPUTS, **{"hidden": (8,), "seed": 3, "clip_norm": 0.5, **settings})


@pytest.mark.parametrize("name", CASES)
def test_parts_of_a_batch_have_its_gradient(name):
    """So also where samples have weights, or shares of more than the batch; candidates and masks are those of the batch."""
    weight = np.random.default_rng(1).random(120) + 0.1
    for given in ((), (np.inf, weight), (np.inf, weight, 500.0)):
        loss, whole = network(**CASES[name]).loss_and_gradients(Rows.of(X), Rows.of(Y), *given, run=Run(clip=True))
        for size in (1, 50, 119):
            net = network(**CASES[name])
            own, parts = net.loss_and_gradients(Rows.of(X), Rows.of(Y), *given, run=Run(clip=True, micro_batch_size=size))
            assert own == pytest.approx(loss, rel=1e-5) and set(parts) == set(whole)
            for key in whole:
                one, other = as_dense(whole[key]), as_dense(parts[key])
                assert np.abs(one - other).max() <= 1e-4 * np.abs(one).max(), key
                squares = [float(np.square(g).sum()) if isinstance(g, np.ndarray) else g.square_norm() for g in (whole[key], parts[key])]
                assert squares[0] == pytest.approx(squares[1], rel=1e-3), key


@pytest.mark.parametrize("name", ["full", "uniform", "lsh", "compressed"])
def test_training_in_parts(name, monkeypatch):
    """As with whole batches, but for rounding; to the last bit for any number of threads."""
    monkeypatch.setattr(_threads, "THREADS_FROM", 0)
    nets = [network(**CASES[name]) for _ in range(4)]
    threads = numba.get_num_threads()
    for net, size in zip(nets, (None, 60, 16, 16)):
        numba.set_num_threads(1 if net is nets[3] else threads)
        history = net.fit(X, Y, epochs=2, batch_size=60, micro_batch_size=size)
        assert net.step == 4 and history[-1]["samples_per_s"] > 0
    numba.set_num_threads(threads)
    assert digest(nets[0]) == digest(nets[1]) and digest(nets[2]) == digest(nets[3]) != digest(nets[0])
    for key, array in nets[0].to_arrays().items():
        assert np.abs(array - nets[2].to_arrays()[key]).max() < 2e-3, key


def test_logits_of_a_part_alone_are_held():
    net = network(sampler="full")
    net.fit(X, Y, epochs=1, batch_size=120, micro_batch_size=10)
    assert net.output._buffers._arrays["Z"].size < 2 * 10 * OUTPUTS
    assert parts_of(7, 3) == [slice(0, 3), slice(3, 6), slice(6, 7)] and parts_of(0, 3) == []


def test_a_training_goes_on_with_the_same_parts(tmp_path):
    path, nets = tmp_path / "run", [network(sampler="full") for _ in range(2)]
    options = {"batch_size": 40, "micro_batch_size": 16}
    nets[0].fit(X, Y, epochs=2, **options)
    network(sampler="full").fit(X, Y, epochs=1, **options, callbacks=[nn.Checkpoint(path)])
    for other in (None, 17):
        with pytest.raises(ValueError, match="16 rows in a micro-batch, this one has"):
            network(sampler="full").fit(X, Y, epochs=2, batch_size=40, micro_batch_size=other, resume=path)
    nets[1].fit(X, Y, epochs=2, **options, resume=path)
    assert digest(nets[0]) == digest(nets[1])
    for fit in (nets[0].fit, nets[0].partial_fit):
        with pytest.raises(ValueError, match="micro_batch_size"):
            fit(X, Y, micro_batch_size=0)
