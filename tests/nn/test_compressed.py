"""Whatever a network can do, one whose parameters live in a hashed array can do, too."""

import copy
import importlib.util
import pickle

import numpy as np
import pytest
from nn_problem import FEATURES, OUTPUTS, problem

from mongoose_nb import nn
from mongoose_nb.compress import Compress
from mongoose_nb.core.registry import registered
from mongoose_nb.hashing import LearnedHash

X, Y = problem()
COMPRESSIONS = {"all": Compress("robe", 4), "output": Compress("fold", 4, only=["output"]),
                "hidden": Compress("roast", 2, only=["hidden1"])}
SETTINGS = {"label sensitive": {"K": 4, "L": 10}, "solar": {"epochs": 1, "hidden": 8}}
RETRIEVERS = sorted(name for name in registered("retriever", "mongoose_nb.") if name != "ivf" or importlib.util.find_spec("faiss"))


@pytest.fixture(scope="module", params=COMPRESSIONS)
def trained(request):
    """A compressed network, and a network of plain layers with the same weights."""
    net = nn.Network(FEATURES, OUTPUTS, hidden=(8, 7), sampler="full", compress=COMPRESSIONS[request.param], seed=3, lr=0.01)
    net.fit(X, Y, epochs=3)
    plain = nn.Network(FEATURES, OUTPUTS, hidden=(8, 7), sampler="full", seed=3)
    for name, parameter in plain.parameters().items():
        parameter.value[...] = net.to_arrays()[name]
    return net, plain


@pytest.fixture
def both(trained):
    """Copies that a test may change."""
    return copy.deepcopy(trained)


def same(found, expected):
    """Equal ids, but for scores that are equal up to rounding."""
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-4, atol=1e-5)


def test_arrays_are_those_of_a_plain_network(trained):
    net, plain = trained
    arrays = net.to_arrays()
    assert set(plain.parameters()) <= set(arrays) and arrays["output.weights"].shape == (OUTPUTS, 7)
    same(net.predict_topk(X, 5), plain.predict_topk(X, 5))


def test_answers(both):
    net, plain = both
    exclude = np.zeros((X.shape[0], OUTPUTS), bool)
    exclude[np.arange(X.shape[0])[:, None], net.predict_topk(X, 3)[0]] = True
    for options in ({"probabilities": True}, {"exclude": exclude}):
        same(net.predict_topk(X, 4, **options), plain.predict_topk(X, 4, **options))
    assert net.evaluate(X, Y, k=3).keys() == plain.evaluate(X, Y, k=3).keys()
    np.testing.assert_allclose(nn.hardness(net, X, Y), nn.hardness(plain, X, Y), atol=1e-5)
    for batches in ("lgd", "hardness"):
        assert np.isfinite(nn.row_variance(net, X, Y, batches))
        net.fit(X, Y, epochs=1, batches=batches)


@pytest.mark.parametrize("retriever", RETRIEVERS)
def test_served_by_any_retriever(both, retriever):
    net, plain = both
    assert isinstance(registered("retriever")[retriever](), nn.Retriever)
    description = {"name": retriever, **SETTINGS.get(retriever, {})}
    report = net.fit_serving(X, Y, retriever=description)
    assert report["multiply_adds"] > 0 and report.keys() == plain.fit_serving(X, Y, retriever=description).keys()
    ids, scores = net.predict_topk(X, 3, exact=False)
    full = net.hidden_activations(X) @ net.to_arrays()["output.weights"].T + net.output.bias.value
    found = ids >= 0
    np.testing.assert_allclose(scores[found], np.take_along_axis(full, np.maximum(ids, 0), 1)[found], rtol=1e-4, atol=1e-5)


def test_files_and_copies(both, tmp_path):
    net, _ = both
    want = net.predict_topk(X, 3)[1]
    net.save(tmp_path / "half", optimizer=False, half=True)
    net.save(tmp_path / "whole")
    np.testing.assert_allclose(nn.Network.load(tmp_path / "half").predict_topk(X, 3)[1], want, rtol=0.02, atol=0.02)
    for again in (nn.Network.load(tmp_path / "whole"), pickle.loads(pickle.dumps(net))):
        np.testing.assert_array_equal(again.predict_topk(X, 3)[1], want)
        assert np.array_equal(again.partial_fit(X, Y).predict_topk(X, 3)[1], copy.deepcopy(net).partial_fit(X, Y).predict_topk(X, 3)[1])


def test_summary_says_what_is_compressed(trained):
    net, _ = trained
    text = net.summary()
    assert "cells" in text and "Hashed" in text and f"{sum(p.value.size for p in net.parameters().values()):,} parameters" in text


@pytest.mark.parametrize("sampler", [
    nn.LSH(40, tables=nn.Tables(K=3, L=8, rehash=2, learn=LearnedHash(steps=2, first_steps=2))), nn.Adaptive(40),
    nn.LSH(40, query="label", tables=nn.Tables(K=3, L=8, rehash=2)), nn.LSH(40, shape="batch"),
], ids=["learned", "adaptive", "label", "batch"])
def test_tables_of_every_kind_in_training(sampler):
    net = nn.Network(FEATURES, OUTPUTS, hidden=(8,), sampler=sampler, compress=Compress("robe", 4, only=["output"]), lr=0.02)
    history = net.fit(X, Y, epochs=6, batch_size=8)
    assert np.isfinite([entry["loss"] for entry in history]).all() and history[-1]["loss"] < history[0]["loss"]


@pytest.mark.slow
def test_auto_and_ranking(both):
    net, _ = both
    assert net.fit_ranking(X, Y, held_out=np.arange(0, X.shape[0], 3))["mixture"]
    fresh = nn.Network(FEATURES, OUTPUTS, hidden=(8, 7), compress=net.compress)
    assert fresh.fit_auto(X, Y, epochs=1)["choice"]
