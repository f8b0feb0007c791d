"""The example that shows all parts: its gradients, and what it prints."""

import pathlib
import runpy

import numpy as np
import pytest
import scipy.sparse as sp

from mongoose_nb import LSHTables, SimHash

PATH = pathlib.Path(__file__).parent.parent / "examples" / "slide_from_primitives.py"
pytestmark = pytest.mark.skipif(not PATH.exists(), reason="there are no examples beside the tests")


@pytest.fixture(scope="module")
def slide():
    return runpy.run_path(str(PATH))


class Recorded:
    """An optimiser that keeps gradients."""

    def __init__(self, weights):
        self.gradient = np.zeros_like(weights)

    def update(self, rows, gradient):
        self.gradient[rows] += gradient


def loss_of(X, Y, sets, layers):
    """Mean cross-entropy over given active sets, in float64."""
    W1, b1, W2, b2 = (layer.astype(np.float64) for layer in layers)
    h = np.maximum(X.toarray() @ W1 + b1, 0)
    total = 0.0
    for i, active in enumerate(sets):
        logits = W2[active] @ h[i] + b2[active, 0]
        labels = Y[i].indices
        total -= (logits - np.log(np.exp(logits).sum()))[np.isin(active, labels)].mean()
    return total / len(h)


def test_gradients(slide):
    """Against finite differences of the loss over the same active sets."""
    rng = np.random.default_rng(0)
    hidden, n_outputs = slide["HIDDEN"], 30
    X = sp.random(5, 12, density=0.5, format="csr", random_state=1, dtype=np.float32)
    Y = sp.csr_matrix((np.ones(10, np.float32), np.sort(rng.permuted(np.tile(np.arange(n_outputs), (5, 1)), axis=1)[:, :2]).ravel(),
                       np.arange(0, 11, 2)), shape=(5, n_outputs))
    layers = tuple(0.3 * rng.standard_normal(shape, dtype=np.float32) for shape in ((12, hidden), (1, hidden), (n_outputs, hidden),
                                                                                    (n_outputs, 1)))
    tables = LSHTables(SimHash(hidden + 1, 3, 4, seed=0)).build(slide["as_rows"](layers[2], layers[3]))
    recorded = [Recorded(layer) for layer in layers]
    loss, mean_active = slide["train_step"](X, Y, layers, recorded, tables, np.random.default_rng(0))
    indptr, ids = tables.candidates(slide["as_queries"](slide["hidden_layer"](X, layers[0], layers[1])))
    sets = [slide["active_outputs"](Y[i].indices, ids[indptr[i]:indptr[i + 1]], rng) for i in range(5)]
    assert loss == pytest.approx(loss_of(X, Y, sets, layers), rel=1e-5) and mean_active == np.mean([len(active) for active in sets])
    assert 2 < mean_active < n_outputs
    for k, layer in enumerate(layers):
        largest = float(np.abs(recorded[k].gradient).max())
        for at in zip(*(rng.integers(n, size=8) for n in layer.shape)):
            moved = []
            for sign in (1, -1):
                others = [other.astype(np.float64) for other in layers]
                others[k][at] += sign * 1e-5
                moved.append(loss_of(X, Y, sets, others))
            assert float(recorded[k].gradient[at]) == pytest.approx((moved[0] - moved[1]) / 2e-5, abs=1e-3 * largest)


def test_untouched_rows_stay(slide):
    weights = np.ones((4, 3), np.float32)
    adam = slide["LazyAdam"](weights)
    adam.update(np.array([1, 3]), np.ones((2, 3), np.float32))
    assert (weights[[0, 2]] == 1).all() and (weights[[1, 3]] < 1).all()


@pytest.mark.slow
def test_the_tables_retrieve_what_training_has_taught(slide, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["slide_from_primitives.py", "--epochs", "2", "--rows", "8000"])
    slide["main"]()
    printed = capsys.readouterr().out.splitlines()
    losses = [float(line.split("loss ")[1].split(",")[0]) for line in printed[:2]]
    exact, retrieved = (float(line.split(": ")[1]) for line in printed[2:])
    assert losses[1] < losses[0] and exact > 0.4 and retrieved > 0.8 * exact
