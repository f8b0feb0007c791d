"""Networks whose output layer is on a hashed array: ranked, measured, and what they refuse."""

import numpy as np
import pytest
from nn_problem import planted

from mongoose_nb import Network, nn
from mongoose_nb.sklearn.outputs import logits


@pytest.fixture(scope="module")
def trained():
    X, y = planted(400, 20)
    net = Network(X.shape[1], 20, hidden=(32,), compress=4, lr=0.02)
    report = net.fit_auto(X, y, epochs=3)
    return net, X, y, report


def test_a_ranking(trained):
    net, X, y, report = trained
    assert "P@1" in report["choice"] and net.evaluate(X, y, k=1)["P@1"] > 0.9


def test_hardness(trained):
    net, X, y, _ = trained
    assert np.isfinite(nn.hardness(net, X, y)).all()


def test_variance_and_logits_are_those_of_the_matrix(trained):
    net, X, y, _ = trained
    expected = net.hidden_activations(X).astype(np.float64) @ net.output.view.gather().T.astype(np.float64) + net.output.bias.value
    assert np.allclose(logits(net, X), expected, atol=1e-5)
    assert nn.row_variance(net, X, y, nn.LGDBatches(uniform=1.0)) == pytest.approx(1.0)
    assert 0 < nn.row_variance(net, X, y) < 3.4


def test_served(trained):
    net, X, y, _ = trained
    exact = net.evaluate(X, y, k=1)["P@1"]
    report = net.fit_serving(X, y, candidates=8, K=2, L=20)
    assert report["candidates"] == 8 and net.evaluate(X, y, k=1, exact=False)["P@1"] > exact - 0.05
