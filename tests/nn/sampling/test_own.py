"""Classes of the user's own: they train, are saved, loaded in a fresh process, resumed with the same bits, and refused by name."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest
from nn_problem import FEATURES, OUTPUTS, assert_same_arrays, digest, problem
from own_sampler import Counter, Doubling, Half, Popular

from mongoose_nb import nn
from mongoose_nb.core import files
from mongoose_nb.rehash import Schedule

TESTS = pathlib.Path(__file__).parents[2]
SAMPLERS = {
    "sampler": lambda: Popular(30), "sampler-sample": lambda: Popular(30, "sample"),
    "correction": lambda: nn.Uniform(30, shape="sample", correction=Half(0.3)),
    "schedule": lambda: nn.LSH(30, tables=nn.Tables(K=3, L=4, rehash=Doubling(2))),
}


def network(name, **settings):
    return nn.Network(FEATURES, OUTPUTS, hidden=(7,), sampler=SAMPLERS[name](), seed=3, **settings)


class Killed(BaseException):
    """Stands for the end of the process."""


def kill_at(step):
    def on_batch_end(net, logs):
        if net.step == step:
            raise Killed

    return type("Killer", (), {"on_batch_end": lambda self, net, logs: on_batch_end(net, logs)})()


@pytest.mark.parametrize("name", SAMPLERS)
def test_saved_and_loaded(name, tmp_path):
    X, Y = problem()
    whole, half = network(name), network(name)
    whole.fit(X, Y, epochs=4, batch_size=5)
    half.fit(X, Y, epochs=2, batch_size=5)
    half.save(tmp_path / "net")
    loaded = nn.Network.load(tmp_path / "net")
    assert repr(loaded.sampler) == repr(half.sampler)
    loaded.fit(X, Y, epochs=2, batch_size=5)
    assert_same_arrays(loaded, whole)


@pytest.mark.parametrize("name", SAMPLERS)
def test_resumed(name, tmp_path):
    X, Y = problem()
    whole, path, counters = network(name), tmp_path / "run", [Counter(), Counter(), Counter()]
    settings = {"epochs": 4, "batch_size": 5, "resume": path}
    whole.fit(X, Y, **settings, callbacks=[nn.Checkpoint(path, every=1), counters[0]])
    path.unlink()
    with pytest.raises(Killed):
        network(name).fit(X, Y, **settings, callbacks=[nn.Checkpoint(path, every=1), counters[1], kill_at(9)])
    again = network(name)
    again.fit(X, Y, **settings, callbacks=[nn.Checkpoint(path, every=1), counters[2]])
    assert_same_arrays(again, whole)
    assert counters[2].steps == counters[0].steps == 20


@pytest.mark.parametrize("name", SAMPLERS)
def test_in_a_fresh_process(name, tmp_path):
    X, Y = problem()
    net = network(name).partial_fit(X, Y, batch_size=5)
    net.save(tmp_path / "net")
    code = ("import sys; sys.path.insert(0, sys.argv[2]); {}from mongoose_nb import nn; from nn_problem import problem, digest\n"
            "net = nn.Network.load(sys.argv[1])\nprint(digest(net.partial_fit(*problem(), batch_size=5)))")

    def run(imports):
        arguments = [sys.executable, "-c", code.format(imports), str(tmp_path / "net"), str(TESTS)]
        return subprocess.run(arguments, capture_output=True, text=True)

    done = run("import own_sampler; ")
    assert done.stdout.split() == [digest(net.partial_fit(X, Y, batch_size=5))], done.stderr
    done = run("")
    assert "FormatError" in done.stderr and "import the module 'own_sampler'" in done.stderr and "cannot be read" in done.stderr


class Forgetful(Popular):
    """Does not keep its argument."""

    def __init__(self, share):
        super().__init__(round(share * 100))


class Calling(Schedule):
    """Is given a function, which a file cannot hold."""

    def __init__(self, function):
        self.function = function

    def due(self, step):
        return self.function(step)


class Hoarder(nn.Callback):
    """Its state is what a file cannot hold."""

    saved_state = ("seen",)

    def __init__(self):
        self.seen = {}

    def on_fit_begin(self, network, logs):
        self.seen = {"network": network}


CASES = {
    "sampler": (lambda: {"sampler": Forgetful(0.3)}, (), "sampler cannot be saved: Forgetful does not keep its argument 'share'"),
    "schedule": (lambda: {"sampler": nn.LSH(30, tables=nn.Tables(K=3, L=4, rehash=Calling(lambda step: step % 2)))}, (),
                 r"sampler\.tables\.rehash\.function is .* which a file cannot hold"),
    "wide": (lambda: {"hidden": (7, nn.Wide(40, nn.LSH(9, tables=nn.Tables(K=2, L=2, rehash=Calling(bool)))), 5)}, (),
             r"hidden\[1\]\.sampler\.tables\.rehash\.function is .* which a file cannot hold"),
    "callback": (lambda: {}, (Hoarder,), r"Hoarder\.seen\['network'\] is a .*Network, which a file cannot hold"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be_saved_trains_and_is_refused_by_name(case, tmp_path):
    settings, callbacks, message = CASES[case]
    X, Y = problem()

    def net():
        return nn.Network(FEATURES, OUTPUTS, **{"hidden": (7,), "sampler": "full", **settings()})

    assert np.isfinite(net().fit(X, Y, epochs=2, batch_size=5, callbacks=[c() for c in callbacks])[-1]["loss"])
    path = tmp_path / "net"
    if not callbacks:
        with pytest.raises(TypeError, match=message):
            net().save(path)
    fresh = net()
    with pytest.raises(TypeError, match=message):  # before the first step
        fresh.fit(X, Y, epochs=2, callbacks=[nn.Checkpoint(path), *(c() for c in callbacks)])
    assert fresh.step == 0 and not path.exists()


def test_a_name_that_nobody_knows(tmp_path):
    network("sampler").save(tmp_path / "net")
    saved, arrays = files.load(tmp_path / "net", "network")
    saved["network"]["sampler"]["name"] = "their_module:Sampler"
    files.save(tmp_path / "net", "network", saved, arrays)
    with pytest.raises(files.FormatError, match="cannot be read: sampler 'their_module:Sampler' is not known .* import the module"):
        nn.Network.load(tmp_path / "net")
