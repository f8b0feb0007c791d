"""Rows without labels are left out of scores, and one is told."""

import numpy as np
import pytest
from nn_problem import planted
from scipy import sparse

from mongoose_nb.nn import Network
from mongoose_nb.nn.labelled import labelled, warn_of_single_labels

X, LABEL = planted(n=400, n_outputs=20)
Y = sparse.csr_matrix((np.ones(400, np.float32), LABEL, np.arange(401)), shape=(400, 20))
SOME = sparse.csr_matrix(sparse.diags((np.arange(400) % 4 != 0).astype(np.float32)) @ Y)
SOME.eliminate_zeros()
NONE = sparse.csr_matrix((400, 20), dtype=np.float32)


@pytest.fixture(scope="module")
def net():
    net = Network(X.shape[1], 20, hidden=(16,), lr=0.01)
    net.fit(X, Y, epochs=2)
    return net


def test_scores_are_those_of_the_other_rows(net):
    kept = np.arange(400) % 4 != 0
    with pytest.warns(UserWarning, match="100 of 400 rows have no label"):
        scores = net.evaluate(X, SOME, propensity=np.ones(20))
    assert scores == net.evaluate(X[kept], Y[kept], propensity=np.ones(20))


def test_validation_likewise():
    with pytest.warns(UserWarning, match="validation: 100 of 400"):
        net = Network(X.shape[1], 20, hidden=(4,))
        history = net.fit(X, Y, epochs=1, validation=(X, SOME))
    kept = np.arange(400) % 4 != 0
    assert history[0]["P@1"] == net.evaluate(X[kept], Y[kept])["P@1"]


def test_no_labels_at_all_are_refused(net):
    step = net.step
    with pytest.raises(ValueError, match="none of the 400 rows has a label"):
        net.evaluate(X, NONE)
    with pytest.raises(ValueError, match="validation: none"):
        net.fit(X, Y, epochs=1, validation=(X, NONE))
    assert net.step == step


def test_all_rows_with_labels_stay_as_they_are():
    assert labelled(X, Y) == (X, Y)


@pytest.mark.filterwarnings("error")
def test_single_labels():
    warn_of_single_labels(Y)
    warn_of_single_labels(Y[:1])
    with pytest.raises(UserWarning, match="occurs in one row"):
        warn_of_single_labels(sparse.csr_matrix(np.eye(5)))
