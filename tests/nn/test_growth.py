"""More outputs after training: what was learned stays."""

import numpy as np
import pytest
from nn_problem import digest, lsh, planted

from mongoose_nb import compress, nn
from mongoose_nb.nn import Network


def network(n_outputs, **settings):
    return Network(120, n_outputs, **{"hidden": (16,), "lr": 0.02, "sampler": "full", **settings})


@pytest.mark.parametrize("settings", [
    {"sampler": "full"}, {"sampler": lsh(8, K=3, L=6, rehash=4)},
    {"sampler": nn.Uniform(8, correction="logq"), "optimizer": "rowadam", "lr": None},
    {"optimizer": nn.SGD(0.1, momentum=0.9), "lr": None}, {"hidden": (16, nn.Wide(40, lsh(9, K=2, L=4, rehash=3)), 8)},
], ids=["full", "lsh", "uniform-logq", "momentum", "wide"])
def test_old_outputs_answer_as_before(settings, tmp_path):
    X, label = planted(400, 40)
    known = label < 30
    old = network(30, **settings)
    old.fit(X[known], label[known], epochs=3)
    before = digest(old)
    new = old.grown(10)
    assert (new.n_outputs, new.step, new.epoch) == (40, old.step, old.epoch) and digest(old) == before
    ids, scores = new.predict_topk(X, 40)
    for i, row in enumerate(ids):
        assert [j for j in row.tolist() if j < 30] == old.predict_topk(X[i], 30)[0][0].tolist()
    for name, parameter in old.parameters().items():
        for part in ("value", "m", "v"):
            have = getattr(parameter, part)
            np.testing.assert_array_equal(getattr(new.parameters()[name], part)[:len(have)], have)
    new.fit(X, label, epochs=25)
    assert (new.predict(X)[~known] == label[~known]).mean() > 0.8
    new.save(tmp_path / "n")
    np.testing.assert_array_equal(Network.load(tmp_path / "n").predict(X), new.predict(X))


@pytest.mark.parametrize("name", compress.names())
def test_compressed_hidden_layers_stay_as_they_are(name):
    X, label = planted(100, 40)
    X, label = X[label < 30], label[label < 30]
    old = network(30, hidden=(16, 12), compress=compress.Compress(name, 2, only=["hidden0", "hidden1"]))
    old.fit(X, label, epochs=1)
    new = old.grown(10)
    np.testing.assert_array_equal(new.hidden_activations(X), old.hidden_activations(X))
    for part in ("weights", "bias"):
        np.testing.assert_array_equal(getattr(new.output, part).value[:30], getattr(old.output, part).value)
    ids, _ = new.predict_topk(X, 40)
    assert ids[ids < 30].reshape(-1, 30).tolist() == old.predict_topk(X, 30)[0].tolist()


@pytest.mark.parametrize("only", [None, ["output"]], ids=["all", "output"])
@pytest.mark.parametrize("name", compress.names())
def test_a_compressed_output_layer_cannot_grow(name, only):
    net = network(30, compress=compress.Compress(name, 2, only=only))
    before = digest(net)
    with pytest.raises(TypeError, match=r"the output layer is on a hashed array, .*train a new network .*only=\['hidden0'\]"):
        net.grown(10)
    assert digest(net) == before


def test_names_and_refusals():
    X, label = planted(100, 40)
    net = network(40)
    with pytest.raises(ValueError, match="no names of labels"):
        net.grown(1, ["a"])
    with pytest.raises(ValueError, match="more"):
        net.grown(0)
    net.label_names = [f"label {i}" for i in range(40)]
    with pytest.raises(ValueError, match="give those of the new ones"):
        net.grown(2)
    with pytest.raises(ValueError, match="list of 2 names"):
        net.grown(2, ["a"])
    with pytest.raises(ValueError, match="twice"):
        net.grown(1, ["label 3"])
    assert net.grown(2, ["a", "much longer than the others"]).label_names[-1] == "much longer than the others"
