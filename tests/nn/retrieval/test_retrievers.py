"""What every registered retriever has to do."""

import importlib.util

import numba
import numpy as np
import pytest
from nn_problem import planted

from mongoose_nb.core.registry import describe, registered
from mongoose_nb.nn import Network
from mongoose_nb.nn.retrieval import ivf
from mongoose_nb.nn.training.timing import PhaseTimer

N, ROWS = 1200, 1200  # more outputs than an index searches exactly
X, LABEL = planted(n=ROWS, n_outputs=N)
RETRIEVERS = registered("retriever", "mongoose_nb.")
SETTINGS = {"solar": {"chunks": 3, "buckets": 64, "epochs": 40, "hidden": 32, "lr": 0.01},
            "label sensitive": {"K": 4, "L": 10}, "ivf": {"lists": 8}}
NEEDS = {"ivf": "faiss"}


def one(name):
    return {"name": name, "candidates": 20, **SETTINGS.get(name, {})}


@pytest.fixture(scope="module")
def net():
    out = Network(X.shape[1], N, hidden=(12,), sampler="full", lr=0.02, seed=4)
    out.fit(X, LABEL, epochs=3, batch_size=100)
    return out


@pytest.fixture(params=RETRIEVERS)
def name(request):
    if request.param in NEEDS:
        pytest.importorskip(NEEDS[request.param])
    return request.param


def test_all_are_registered():
    assert {"exact", "index", "ivf", "label sensitive", "solar"} <= set(RETRIEVERS)


def test_it_gives_different_outputs_of_the_layer(net, name):
    report = net.fit_serving(X, LABEL, retriever=one(name))
    assert describe(net.retriever)["name"] == name and net.retriever.candidates == report["candidates"] == 20
    assert 0 < report["scored"] <= 20 and report["share"] == report["scored"] / N
    assert 0 <= report["label_recall"] <= 1 and 0 < report["P@1"] <= 1
    assert report["multiply_adds"] == pytest.approx(net.retriever.multiply_adds(20) + report["scored"] * 12)
    assert report["exact_multiply_adds"] == 12 * N
    for n in (1, 9, N):
        ids = net.candidates(X[:30], n)
        assert ids.shape == (30, n) and ids.dtype == np.int32
        for row in ids:
            own = row[:(row >= 0).sum()]
            assert (own >= 0).all() and (own < N).all() and len(set(own.tolist())) == len(own) and (row[len(own):] == -1).all()
    h = net.hidden_activations(X[:30])
    sets = net.retriever.retrieve(h, 9, PhaseTimer(), net.step)
    for row, start, count in zip(net.candidates(X[:30], 9), sets.start, sets.count):
        np.testing.assert_array_equal(row[:count], sets.ids[start:start + count])


def test_it_finds_more_labels_than_chance(net, name):
    report = net.fit_serving(X, LABEL, retriever=one(name))
    chance = 20 / N
    assert report["label_recall"] > 2 * chance + 4 * np.sqrt(chance * (1 - chance) / ROWS)


def test_the_same_again_for_any_number_of_threads(net, name):
    net.fit_serving(X, LABEL, retriever=one(name))
    first, threads = net.candidates(X), numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        net.fit_serving(X, LABEL, retriever=one(name))
        np.testing.assert_array_equal(net.candidates(X), first)
    finally:
        numba.set_num_threads(threads)


def test_it_is_saved_with_the_network(net, name, tmp_path):
    net.fit_serving(X, LABEL, retriever=one(name))
    net.save(tmp_path / "net")
    again = Network.load(tmp_path / "net")
    np.testing.assert_array_equal(again.candidates(X), net.candidates(X))
    for a, b in zip(net.predict_topk(X, 4, exact=False), again.predict_topk(X, 4, exact=False), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_few_rows_without_labels(net, name):
    net.fit_serving(X[:3], [[0], [], []], retriever=one(name))
    assert net.predict_topk(X[:2], 3, exact=False)[0].shape == (2, 3)


def test_what_is_refused(net):
    net.retriever = None
    with pytest.raises(ValueError, match="fit_serving first"):
        net.candidates(X[:2])
    net.use_retriever("solar")
    with pytest.raises(ValueError, match="not trained"):
        net.predict_topk(X[:2], 1, exact=False)
    net.use_retriever("exact")
    with pytest.raises(ValueError, match="n must be"):
        net.candidates(X[:2], N + 1)
    with pytest.raises(ValueError, match="label sensitive"):
        net.fit_serving(X, LABEL, retriever="nearest")


def test_faiss_is_asked_for_by_name(net, monkeypatch):
    if importlib.util.find_spec("faiss") is not None:
        def absent(name):
            raise ImportError(name)

        monkeypatch.setattr(ivf.importlib, "import_module", absent)
    with pytest.raises(ImportError, match="pip install faiss-cpu"):
        net.fit_serving(X, LABEL, retriever="ivf")
