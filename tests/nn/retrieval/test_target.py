"""The fewest candidates that are enough."""

import numpy as np
import pytest
from nn_problem import planted

from mongoose_nb.nn import ExactRetriever, Network


@pytest.fixture(scope="module")
def trained():
    X, Y = planted()
    net = Network(X.shape[1], 120, hidden=(16,), lr=0.02)
    net.fit(X, Y, epochs=4)
    return net, X, Y


def test_the_target_is_reached(trained):
    net, X, Y = trained
    report = net.fit_serving(X, Y, target=0.01, K=3, L=20)
    assert report["reached"] and report["P@1"] >= report["exact P@1"] - 0.01
    assert net.retriever.candidates == report["candidates"] and 0 < report["share"] <= 1
    assert report["scored"] <= report["candidates"] and 0 <= report["label_recall"] <= 1
    more = net.fit_serving(X, Y, target=0.3, K=3, L=20)
    assert more["candidates"] <= report["candidates"]


def test_one_output_is_enough_for_an_exact_retriever(trained):
    net, X, Y = trained
    report = net.fit_serving(X, Y, target=0.0, retriever="exact")
    assert report["candidates"] == 1 and report["P@1"] == report["exact P@1"] and isinstance(net.retriever, ExactRetriever)


def test_k_labels_take_k_candidates(trained):
    net, X, Y = trained
    assert net.fit_serving(X, Y, target=0.0, retriever="exact")["candidates"] == 1
    ids, scores = net.predict_topk(X[:20], 5, exact=False)
    assert (ids >= 0).all() and (ids == net.predict_topk(X[:20], 5)[0]).all()


def test_a_target_that_is_out_of_reach_is_said(trained):
    net, X, Y = trained
    report = net.fit_serving(X, Y, target=0.0, K=8, L=1)
    assert not report["reached"] and report["P@1"] < report["exact P@1"]


def test_the_figures_are_those_of_predictions(trained):
    net, X, Y = trained
    report = net.fit_serving(X, Y, target=0.02, K=3, L=20, rows=4 * X.shape[0])
    ids, _ = net.predict_topk(X, 1, exact=False, ranked=False)
    alone = np.mean(ids[:, 0] == Y)
    assert abs(alone - report["P@1"]) < 0.2  # of other rows


def test_rows_that_the_network_does_not_know(trained):
    """The figures are of the rows that are given for them."""
    net, X, Y = trained
    other = np.random.default_rng(1).permutation(X.shape[0])[:200]
    drawn = np.random.default_rng(2).integers(120, size=200)
    report = net.fit_serving(X, Y, target=0.0, K=3, L=20, validation=(X[other], drawn))
    assert report["exact P@1"] == net.evaluate(X[other], drawn, k=1)["P@1"]
    assert report["P@1"] == net.evaluate(X[other], drawn, k=1, exact=False)["P@1"]
    for settings in ({"validation": (X, Y)}, {"target": 0.1, "validation": (X[:0], Y[:0])}, {"target": 0.1, "validation": (X[:3], Y[:2])}):
        with pytest.raises(ValueError):
            net.fit_serving(X, Y, **settings)


def test_bad_settings(trained):
    net, X, Y = trained
    before = net.retriever
    for settings in ({"target": 2.0}, {"target": 0.1, "candidates": 5}, {"target": 0.1, "rows": 3}, {"retriever": "exact", "K": 3},
                     {"retriever": "nothing"}):
        with pytest.raises(ValueError):
            net.fit_serving(X, Y, **settings)
    assert net.retriever is before


def test_the_target_is_reached_whatever_the_number_of_rows():
    """Shares of rows are rounded: 0.16666666666666666 was taken for less than 0.16666666666666669, and all outputs were scored."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((600, 8)).astype(np.float32)
    y = (X @ rng.standard_normal((8, 300))).argmax(axis=1)
    y[::2] = rng.integers(0, 300, 300)
    net = Network(8, 300, hidden=(16,), sampler="full")
    net.fit(X, y, epochs=10)
    for n in range(300, 600, 10):
        report = net.fit_serving(X, y, rows=8, retriever="exact", target=0.0, validation=(X[:n], y[:n]))
        assert report["reached"] and report["candidates"] == 1, n


def test_more_candidates_than_outputs_are_all():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((100, 8)).astype(np.float32), rng.integers(0, 20, 100)
    net = Network(8, 20, hidden=(16,))
    net.fit(X, y, epochs=1)
    assert net.fit_serving(X, y, K=2, L=3, candidates=10**8)["scored"] <= 20
    assert net.retriever.candidates == 20
    ids, _ = net.predict_topk(X, 3, exact=False, candidates=10**8)
    assert ids.shape == (100, 3)
