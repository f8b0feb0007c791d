"""Networks on disk: training goes on exactly, and what is damaged is refused."""

import os

import numpy as np
import pytest
from nn_problem import FEATURES, OUTPUTS, assert_same_arrays, problem

from mongoose_nb.core import files as io
from mongoose_nb.core.registry import describe
from mongoose_nb.nn import LSH, SGD, AdaGrad, Adam, Full, Network, RowAdam, Tables, Threshold, Uniform, Wide
from mongoose_nb.nn.training.lr import Cosine, Linear, Step
from mongoose_nb.rehash import Drift, ExponentialDecay

SAMPLERS = {
    "full": Full(),
    "uniform-sample": Uniform(30, shape="sample", correction="none"),
    "uniform-batch": Uniform(30, shape="batch", correction="tail"),
    "uniform-batch-logq": Uniform(30, shape="batch", correction="logq"),
    "lsh-importance": LSH(30, correction="importance", tables=Tables(L=4, K=3, rehash=3)),
    "lsh-sample": LSH(30, tables=Tables(K=3, L=6, rehash=4, rebuild=2)),
    "lsh-batch": LSH(30, shape="batch", tables=Tables(K=3, L=6, rehash=4)),
    "lsh-bounded": LSH(30, strategy="vanilla", tables=Tables(K=3, L=6, rehash=5, capacity=8)),
    "lsh-fifo": LSH(30, strategy=Threshold(1), tables=Tables(K=3, L=6, rehash=5, capacity=8, policy="fifo")),
    "lsh-decay": LSH(30, tables=Tables(K=3, L=6, rehash=ExponentialDecay(2, 0.3), center=False)),
    "lsh-dwta": LSH(30, tables=Tables(K=1, L=6, rehash=4, rebuild=1, family="dwta")),
    "lsh-rarely": LSH(30, tables=Tables(K=3, L=6, rehash=10**6)),
    "lsh-drift": LSH(30, tables=Tables(K=3, L=6, rehash=Drift(0.02, check_every=3, rows=50, weight="touch"), rebuild=3)),
    "lsh-drift-rows": LSH(80, tables=Tables(K=3, L=6, rehash=Drift(0.03, check_every=2, rows=300, per_row=True))),
}


def network(**settings):
    return Network(FEATURES, OUTPUTS, **{"hidden": (7,), "sampler": "full", "seed": 3, **settings})


@pytest.fixture
def path(tmp_path):
    return tmp_path / "network.mgb"


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """The bytes of a file with everything in it."""
    path = tmp_path_factory.mktemp("good") / "f"
    net = Network(20, 30, hidden=(4, Wide(10, LSH(5, tables=Tables(K=2, L=2))), 3), sampler=LSH(9, tables=Tables(K=2, L=2)))
    net.partial_fit(np.eye(20), np.arange(20)).save(path)
    return path.read_bytes()


def put(*keys, **values):
    """A change of the settings of a saved file: values below some keys."""
    def change(settings, arrays):
        for key in keys:
            settings = settings[key]
        settings.update(values)
    return change


def drop(name, *keys):
    """A change of the settings, or of the arrays where no keys are given: one entry less."""
    def change(settings, arrays):
        part = settings if keys else arrays
        for key in keys:
            part = part.get(key, part)
        del part[name]
    return change


def cut(name, function):
    """A change of one array."""
    return lambda settings, arrays: arrays.update({name: function(arrays[name])})


OUTPUT = ("state", "samplers", "output")
TABLES, MANAGER = (*OUTPUT, "manager", "tables"), "state.samplers.output.manager"
CHANGES = [
    drop("network", ""), drop("step", ""), drop("n_features", "network"), drop("schedule", *OUTPUT, "manager"), put(network=[]),
    put(step="x"), put("state", samplers=3), put("state", "samplers", output={}), put(state=[]), put(version=3), put(version="x"),
    put("network", n_features=21), put("network", n_features=10**15), put("network", n_outputs=31), put("network", n_outputs=10**9),
    put("network", hidden=[]), put("network", hidden=3), put("network", hidden=None), put("network", hidden=[4, 10, 3]),
    put("network", hidden=[5, {"units": 10}, 3]), put("network", activation="none"), put("network", more=1),
    put("network", sampler={"name": "lsh", "tables": {"name": "tables", "L": 10**12}}), put("network", sampler={"name": "best"}),
    put("network", sampler=5), put("network", optimizer={"name": "adam", "lr": -1}), put(*TABLES, bits=9), put(*TABLES, "family", L=3),
    put(*TABLES, "family", family="Other"), put(*TABLES, store={}), drop("output.weights"), drop("hidden1.bias"),
    drop(MANAGER + ".mean"), drop(MANAGER + ".tables.present"),
    cut("output.weights", lambda a: a[:-1]), cut("output.bias.m", lambda a: a[:, None]),
    cut(MANAGER + ".tables.codes", lambda a: a[:, :-1]),
    cut(MANAGER + ".tables.codes", lambda a: a + 200),
    cut(MANAGER + ".tables.codes", lambda a: a[0]), cut(MANAGER + ".mean", lambda a: a[:-1]),
    cut(MANAGER + ".query_mean", lambda a: a[:-1]),
    cut(MANAGER + ".tables.present", lambda a: a[:-1]),
]


class TestResuming:
    @pytest.mark.parametrize("hidden", [(7, 6), (7, Wide(40, LSH(9, tables=Tables(K=2, L=4, rehash=3))), 5)], ids=["dense", "wide"])
    @pytest.mark.parametrize("sampler", SAMPLERS)
    @pytest.mark.slow
    def test_load_and_go_on_equals_one_run(self, path, sampler, hidden):
        X, Y = problem()
        whole = network(sampler=SAMPLERS[sampler], hidden=hidden)
        whole.fit(X, Y, epochs=5, batch_size=5)
        half = network(sampler=SAMPLERS[sampler], hidden=hidden)
        half.fit(X, Y, epochs=2, batch_size=5)
        half.save(path)
        loaded = Network.load(path)
        assert_same_arrays(half, loaded)
        loaded.fit(X, Y, epochs=3, batch_size=5)
        assert (loaded.step, loaded.epoch) == (whole.step, whole.epoch) == (25, 5)
        assert_same_arrays(whole, loaded)
        # saving does not disturb the network that was saved
        half.fit(X, Y, epochs=3, batch_size=5)
        assert_same_arrays(whole, half)

    @pytest.mark.parametrize("optimizer", [SGD(0.1), SGD(0.1, momentum=0.9), AdaGrad(), Adam(1e-3, weight_decay=0.1), RowAdam()], ids=repr)
    def test_every_optimizer(self, path, optimizer):
        X, Y = problem()
        whole = network(optimizer=optimizer, clip_norm=0.5)
        whole.fit(X, Y, epochs=4, batch_size=10)
        half = network(optimizer=optimizer, clip_norm=0.5)
        half.fit(X, Y, epochs=2, batch_size=10)
        half.save(path)
        loaded = Network.load(path)
        loaded.fit(X, Y, epochs=2, batch_size=10)
        assert_same_arrays(whole, loaded)

    @pytest.mark.parametrize("sampler", SAMPLERS)
    def test_predictions_are_the_same(self, path, sampler):
        X, Y = problem()
        net = network(sampler=SAMPLERS[sampler]).partial_fit(X, Y, batch_size=5)
        net.save(path)
        loaded = Network.load(path)
        for exact in (True, False) if "lsh" in sampler else (True,):
            for a, b in zip(net.predict_topk(X, 20, exact=exact), loaded.predict_topk(X, 20, exact=exact), strict=True):
                np.testing.assert_array_equal(a, b)

    def test_before_any_step(self, path):
        net = network(sampler="lsh")
        net.save(path)
        X, Y = problem()
        assert_same_arrays(net.partial_fit(X, Y), Network.load(path).partial_fit(X, Y))

    def test_settings(self, path):
        given = {"activation": "gelu", "loss": "logistic", "sampler": LSH(9, tables=Tables(rehash=ExponentialDecay(7, 0.2))),
                 "optimizer": Adam(0.5, beta1=0.7, weight_decay=0.1), "lr_schedule": Cosine(0.1, warmup=3), "clip_norm": 2.5,
                 "init_std": 0.3, "output_init_std": 0.7, "seed": 2**62 + 1, "hidden": (7, Wide(40, Uniform(9, shape="sample")), 5)}
        network(**given).save(path)
        loaded = Network.load(path)
        assert (loaded.activation, loaded.loss, loaded.clip_norm, loaded.init_std) == ("gelu", "logistic", 2.5, 0.3)
        assert (loaded.output_init_std, loaded.seed, loaded.hidden[0], loaded.hidden[2]) == (0.7, 2**62 + 1, 7, 5)
        assert repr(loaded.sampler) == repr(network(**given).sampler)
        assert describe(loaded.sampler) == describe(given["sampler"])
        assert vars(loaded.optimizer) == vars(given["optimizer"])
        assert type(loaded.lr_schedule) is Cosine and vars(loaded.lr_schedule) == vars(given["lr_schedule"])
        assert loaded.layers[1].sampler.candidates == 9 and loaded.layers[1].n_outputs == 40
        loaded.save(path)
        assert repr(Network.load(path)) == repr(loaded)

    @pytest.mark.parametrize("schedule", ["constant", "linear", "step", Linear(0.2), Step(0.3, 0.1)],
                             ids=lambda s: s if isinstance(s, str) else type(s).__name__)
    def test_schedules(self, path, schedule):
        net = network(lr_schedule=schedule)
        net.save(path)
        loaded = Network.load(path)
        assert [net.lr_schedule(s, 10) for s in range(11)] == [loaded.lr_schedule(s, 10) for s in range(11)]

    def test_without_the_optimizer(self, path, tmp_path):
        X, Y = problem()
        net = network(sampler=LSH(30, tables=Tables(K=3, L=6))).partial_fit(X, Y)
        net.save(path)
        net.save(tmp_path / "small", optimizer=False)
        assert (tmp_path / "small").stat().st_size < 0.5 * path.stat().st_size
        loaded = Network.load(tmp_path / "small")
        np.testing.assert_array_equal(net.predict_topk(X, 9)[0], loaded.predict_topk(X, 9)[0])
        assert not loaded.parameters()["output.weights"].m.any()
        loaded.partial_fit(X, Y)  # moments and tables start anew
        assert loaded.epoch == 2

    def test_moments_of_zero_take_no_room(self, path, tmp_path):
        X, Y = problem()
        net = network().partial_fit(X, Y)
        net.save(path)
        for parameter in net.parameters().values():
            parameter.forget_moments()
        net.save(tmp_path / "ended")
        assert set(net.parameters()) == {name for name in io.load(tmp_path / "ended", "network")[1] if not name.startswith("state.")}
        loaded = Network.load(tmp_path / "ended")
        for one in (net, loaded):
            one.partial_fit(X, Y)
        for name, parameter in net.parameters().items():
            for part in ("value", "m", "v"):
                np.testing.assert_array_equal(getattr(loaded.parameters()[name], part), getattr(parameter, part), err_msg=name)

    def test_at_half_precision(self, path, tmp_path):
        X, Y = problem()
        net = network().partial_fit(X, Y)
        net.save(path, optimizer=False)
        net.save(tmp_path / "half", optimizer=False, half=True)
        size, small = (sum(a.nbytes for a in io.load(file, "network")[1].values()) for file in (path, tmp_path / "half"))
        assert small == size / 2
        loaded = Network.load(tmp_path / "half")
        for name, parameter in net.parameters().items():
            assert loaded.parameters()[name].value.dtype == np.float32
            np.testing.assert_array_equal(loaded.parameters()[name].value, parameter.value.astype(np.float16), err_msg=name)
        loaded.partial_fit(X, Y)
        assert loaded.epoch == 2

    def test_half_precision_is_refused(self, path):
        net = network()
        with pytest.raises(ValueError, match="optimizer=False, too"):
            net.save(path, half=True)
        for bad in (65536.0, np.inf, np.nan):
            net.parameters()["output.weights"].value[1, 1] = bad
            with pytest.raises(ValueError, match="'output.weights' holds numbers beyond 65504"):
                net.save(path, optimizer=False, half=True)
        assert not path.exists()

    def test_it_knows_what_it_is(self, path):
        net = network()
        net.save(str(path))
        with pytest.raises(io.FormatError, match="holds a 'network'"):
            io.load(path, "index")

        class Mine(Network):
            pass

        assert type(Mine.load(path)) is Mine


class TestRefusals:
    def test_a_schedule_of_ones_own_cannot_be_saved(self, path):
        net = network(lr_schedule=lambda step, total: 1.0)
        with pytest.raises(TypeError, match="lr_schedule is .* which a file cannot hold"):
            net.save(path)
        assert not path.exists()
        net.lr_schedule = Linear()
        net.save(path)

    def test_a_failing_write_leaves_the_old_file(self, path, monkeypatch):
        X, Y = problem()
        net = network().partial_fit(X, Y)
        net.save(path)
        old = path.read_bytes()
        net.partial_fit(X, Y)
        for function in ("fsync", "replace"):
            with monkeypatch.context() as patch, pytest.raises(OSError, match="full"):
                patch.setattr(os, function, lambda *args: (_ for _ in ()).throw(OSError("disk full")))
                net.save(path)
            assert path.read_bytes() == old
            assert len(list(path.parent.iterdir())) == 1
        assert Network.load(path).step == 1

    def test_flipped_bytes(self, path, good):
        data = 8 + int.from_bytes(good[:8], "little")
        header = io.json.loads(good[8:data])
        used = np.zeros(len(good), bool)
        used[:data] = True
        for name, entry in header.items():
            if name != "__metadata__":
                used[slice(*(data + np.array(entry["data_offsets"])))] = True
        for at in np.random.default_rng(0).choice(np.flatnonzero(used), 150, replace=False):
            path.write_bytes(good[:at] + bytes([good[at] ^ 255]) + good[at + 1:])
            with pytest.raises(io.FormatError):
                Network.load(path)

    def test_cuts(self, path, good):
        for length in [*np.random.default_rng(1).integers(0, len(good), 60), len(good) - 1]:
            path.write_bytes(good[:length])
            with pytest.raises(io.FormatError):
                Network.load(path)

    @pytest.mark.parametrize("change", CHANGES, ids=range(len(CHANGES)))
    def test_contents_that_do_not_fit(self, path, good, change):
        path.write_bytes(good)
        settings, arrays = io.load(path, "network")
        change(settings, arrays)
        io.save(path, "network", settings, arrays)
        with pytest.raises(io.FormatError):
            Network.load(path)
