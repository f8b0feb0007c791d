"""Hardness of a network's rows, and its course over the epochs."""

import numpy as np
from scipy import sparse

from mongoose_nb import nn
from mongoose_nb.metrics import angular_visual_hardness

rng = np.random.default_rng(0)
CENTRES = rng.standard_normal((10, 30))
Y = rng.integers(0, 10, 400)
X = (CENTRES[Y] + 0.8 * rng.standard_normal((400, 30))).astype(np.float32)


def test_of_a_network():
    net = nn.Network(30, 10, hidden=(16,), lr=0.01)
    net.fit(X, Y, epochs=2)
    h, W = net.hidden_activations(X), net.output.weights.value
    np.testing.assert_allclose(nn.hardness(net, X, Y), angular_visual_hardness(h, W, Y))
    two = np.zeros((3, 10), np.float32)
    two[0, [1, 4]] = two[1, 2] = 1
    got = nn.hardness(net, X[:3], sparse.csr_matrix(two))
    each = [angular_visual_hardness(h[[0]], W, [j])[0] for j in (1, 4)]
    assert abs(got[0] - np.mean(each)) < 1e-12 and np.isnan(got[2])
    assert np.isnan(nn.hardness(net, X[:3], np.zeros((3, 10), np.float32))).all()


def test_it_stays_while_the_loss_falls():
    net, tracker = nn.Network(30, 10, hidden=(32,), lr=0.01), nn.HardnessTracker(X, Y)
    history = net.fit(X, Y, epochs=60, batch_size=50, callbacks=[tracker])
    values = [entry["hardness"] for entry in tracker.history]
    assert len(values) == 60 and values[0] > values[20] and tracker.history[-1]["hardest"] > values[-1]
    assert abs(values[59] / values[10] - 1) < 0.05 and history[10]["loss"] > 5 * history[59]["loss"]
    assert tracker.history[-1]["length"] > tracker.history[20]["length"]
    assert tracker.plateau is not None and tracker.plateau <= 40


def test_plateau():
    tracker = nn.HardnessTracker(X, Y, tolerance=0.1)
    assert tracker.plateau is None
    tracker.history = [{"epoch": i + 1, "hardness": value} for i, value in enumerate((1.0, 0.5, 0.49, 0.48))]
    assert tracker.plateau == 3
    tracker.history.append({"epoch": 5, "hardness": 0.2})
    assert tracker.plateau is None
    tracker.history = tracker.history[2:4]
    assert tracker.plateau == 3
