"""Layers, activations and losses of the user's own, in networks: trained, saved, loaded elsewhere, pickled, resumed."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
from nn_problem import FEATURES, OUTPUTS, assert_same_arrays, digest, problem
from own_layers import Residual, Softsign

from mongoose_nb import nn
from mongoose_nb.core.registry import describe, make

SETTINGS = {"hidden": (7, Residual(5), nn.Dropout(0.2), nn.Sequential([nn.Dense(6), nn.LayerNorm()])), "activation": Softsign(2.0),
            "sampler": "full", "seed": 3}


def network(**settings):
    return nn.Network(FEATURES, OUTPUTS, **{**SETTINGS, **settings})


def test_training_lowers_the_loss():
    losses = network(optimizer=nn.Adam(0.02)).fit(*problem(), epochs=20, batch_size=8).column("loss")
    assert losses[-1] < 0.8 * losses[0]


def test_descriptions_serve_several_networks():
    one, other = network(), network(seed=4)
    assert one.layers[3]["0"] is not other.layers[3]["0"] and not hasattr(SETTINGS["hidden"][1], "inner")
    assert (one.layers[1].inner.weights.value != other.layers[1].inner.weights.value).any()
    assert isinstance(one.layers[1].inner.activation, Softsign)
    assert {"hidden1.inner.weights", "hidden3.0.weights", "hidden3.1.gain", "output.bias"} <= one.parameters().keys()
    assert not any(name.startswith("hidden2") for name in one.parameters())


def test_dropout_is_for_training_alone():
    net = network(hidden=(7, nn.Dropout(0.5)))
    X, Y = problem()
    h = net.hidden_activations(X)
    np.testing.assert_array_equal(h, network(hidden=(7,)).hidden_activations(X))
    with pytest.raises(AssertionError):
        assert_same_arrays(net.partial_fit(X, Y), network(hidden=(7,)).partial_fit(X, Y))


@pytest.mark.parametrize("copy_of", ["file", "pickle"])
def test_training_goes_on_exactly(copy_of, tmp_path):
    net = network().partial_fit(*problem(), batch_size=8)
    if copy_of == "file":
        net.save(tmp_path / "net")
        again = nn.Network.load(tmp_path / "net")
    else:
        again = pickle.loads(pickle.dumps(net))
    assert repr(again) == repr(net)
    assert_same_arrays(net.partial_fit(*problem(1), batch_size=8), again.partial_fit(*problem(1), batch_size=8))


def test_resumed(tmp_path):
    whole, part = network(), network()
    whole.fit(*problem(), epochs=3, batch_size=8)

    def stop(net, logs):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        part.fit(*problem(), epochs=3, batch_size=8, callbacks=[nn.Checkpoint(tmp_path / "f", every=1), stop])
    again = network()
    again.fit(*problem(), epochs=3, batch_size=8, resume=tmp_path / "f")
    assert_same_arrays(whole, again)


SCRIPT = """
import sys
sys.path[:0] = sys.argv[2:]
{imports}
from mongoose_nb.nn import Network
from nn_problem import digest, problem
print(digest(Network.load(sys.argv[1]).partial_fit(*problem(1), batch_size=8)))
"""


def test_a_fresh_process(tmp_path):
    net = network().partial_fit(*problem(), batch_size=8)
    net.save(tmp_path / "net")
    net.partial_fit(*problem(1), batch_size=8)

    def run(imports):
        return subprocess.run([sys.executable, "-c", SCRIPT.format(imports=imports), tmp_path / "net", *sys.path], capture_output=True,
                              text=True)

    assert run("import own_layers").stdout.strip() == digest(net)
    assert "import the module 'own_layers', which defines 'Residual'" in run("").stderr


def test_what_cannot_be_described_is_refused_by_name(tmp_path):
    class Forgetful(Residual):
        def __init__(self, units, extra=1):
            super().__init__(units)

    net = network(hidden=(7, Forgetful(5)))  # it can be trained
    net.partial_fit(*problem())
    with pytest.raises(TypeError, match=r"hidden\[1\] cannot be saved: .*Forgetful does not keep its argument 'extra'"):
        net.save(tmp_path / "net")


def test_a_loss_is_described():
    loss = type(make("loss", "logistic"))
    assert describe(loss()) == {"name": "logistic"}
    one, other = (network(loss=value).partial_fit(*problem()) for value in ("logistic", loss()))
    assert_same_arrays(one, other)


@pytest.mark.parametrize("hidden, message", [
    ((nn.Dense(7),), "the first hidden layer must be a width"),
    ((7, nn.Wide(20, nn.Uniform(5, shape="sample"))), r"the last hidden layer must be a width, not Wide\(units=20"),
    ((7, nn.Wide(20, nn.Uniform(5, shape="sample")), nn.Dense(4)), "a Dense layer takes dense input; put a width before it"),
    ((7, nn.SparseInput(4)), "a SparseInput layer takes sparse input"),
])
def test_refusals(hidden, message):
    with pytest.raises(ValueError, match=message):
        network(hidden=hidden)
    with pytest.raises(ValueError, match="units must be an integer from 1"):
        nn.Wide(0)
