"""Dropout of features: which entries are left, and networks that begin with it."""

import numpy as np
import pytest
from scipy import sparse

from mongoose_nb import nn
from mongoose_nb.core.arrays import Rows
from mongoose_nb.testing.factories import over_threads
from mongoose_nb.testing.report import Report

X = sparse.random(400, 50, 0.3, format="csr", dtype=np.float32, random_state=0)
Y = np.arange(400) % 30


def layer(rate=0.3, seed=5):
    return nn.InputDropout(rate, seed).build(50, np.random.default_rng(0))


def matrix(rows):
    sample, place = rows.places()
    return sparse.csr_matrix((rows.values[place], (sample, rows.ids[place])), shape=(len(rows), 50)).toarray()


def test_a_share_of_the_entries_is_left_out_and_the_others_grow():
    out, _ = layer().forward(Rows.of(X), nn.Run(3))
    dense, whole = matrix(out), X.toarray()
    kept = dense != 0
    np.testing.assert_allclose(dense[kept], whole[kept] / 0.7, rtol=1e-6)
    assert abs(kept.sum() / X.nnz - 0.7) < 4 * np.sqrt(0.21 / X.nnz)  # four standard deviations
    assert (out.count == (kept.sum(axis=1))).all()
    np.testing.assert_array_equal(matrix(layer().forward(Rows.of(X), nn.Run(3))[0]), dense)
    assert (matrix(layer().forward(Rows.of(X), nn.Run(4))[0]) != dense).any()


def test_answers_see_all_features():
    rows = Rows.of(X)
    assert layer().forward(rows, nn.Run(3, train=False))[0] is rows
    assert layer(0.0).forward(rows, nn.Run(3))[0] is rows


def test_rows_without_entries():
    out, cache = layer().forward(Rows.empty(3), nn.Run(0))
    assert len(out) == 3 and out.count.sum() == 0
    np.testing.assert_array_equal(layer().backward(np.zeros(0, np.float32), cache)[0], np.zeros(0))


def network(hidden):
    return nn.Network(50, 30, hidden=hidden, lr=0.02, seed=1)


def test_a_network_that_begins_with_it(tmp_path):
    net = network((nn.InputDropout(0.3), 16, nn.Dropout(0.1)))
    net.fit(X, Y, epochs=3, batch_size=50)
    net.save(tmp_path / "net")
    again = nn.Network.load(tmp_path / "net")
    np.testing.assert_array_equal(again.predict_topk(X, 3)[0], net.predict_topk(X, 3)[0])
    assert "InputDropout" in repr(net)

    def bits():
        other = network((nn.InputDropout(0.3), 16, nn.Dropout(0.1)))
        other.fit(X, Y, epochs=3, batch_size=50)
        return other.output.weights.value.copy()

    np.testing.assert_array_equal(bits(), net.output.weights.value)
    over_threads(Report(), bits, lambda a, b, what: np.testing.assert_array_equal(a, b))


def test_rate_zero_is_the_network_without_it():
    plain = network((16,))
    dropped = network((nn.InputDropout(0.0), 16))
    assert plain.layers[0].weights.value.std() == pytest.approx(dropped.layers[1].weights.value.std(), rel=0.2)
    dropped.layers[1].weights.value[:] = plain.layers[0].weights.value
    dropped.output.weights.value[:] = plain.output.weights.value
    for net in (plain, dropped):
        net.fit(X, Y, epochs=1, batch_size=50)
    np.testing.assert_array_equal(dropped.output.weights.value, plain.output.weights.value)


@pytest.mark.parametrize("hidden", [(nn.InputDropout(0.1),), (nn.InputDropout(0.1), nn.Dense(3)), (16, nn.InputDropout(0.1), 5)])
def test_where_it_cannot_stand(hidden):
    with pytest.raises(ValueError, match="width"):
        network(hidden)
