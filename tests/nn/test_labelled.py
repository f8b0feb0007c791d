"""Rows without labels are left out of scores, and one is told."""

import numpy as np
import pytest
from nn_problem import planted
from scipy import sparse

from mongoose_nb import MongooseClassifier, SolarClassifier
from mongoose_nb.nn import Network
from mongoose_nb.nn.labelled import labelled, warn_of_single_labels
from mongoose_nb.nn.ranking.linear import LinearRankers
from mongoose_nb.nn.ranking.lists import all_labels
from mongoose_nb.nn.ranking.neighbours import NeighbourVotes

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


def direct(method):
    """A call on a new network."""
    return lambda: getattr(Network(X.shape[1], 20, hidden=(4,)), method)(X, NONE)


@pytest.mark.parametrize("call", [
    direct("fit"), direct("fit_auto"), direct("fit_serving"), direct("fit_ranking"),
    lambda: Network(X.shape[1], 20, hidden=(4,)).fit([(X, NONE), (X, NONE)], epochs=1),
    lambda: Network(X.shape[1], 20, hidden=(4,), loss="logistic").fit(X, [[]] * 400),
    lambda: Network(X.shape[1], 20, hidden=(4,)).fit(X, SOME, sample_weight=np.arange(400) % 4 == 0),
    lambda: MongooseClassifier().fit(X, NONE), lambda: MongooseClassifier(ranking=None).fit(X, NONE.toarray()),
    lambda: SolarClassifier().fit(X, NONE), lambda: LinearRankers().fit(X, NONE, all_labels(400, 20)),
    lambda: NeighbourVotes().fit(X, NONE)],
    ids=["fit", "auto", "serving", "ranking", "chunks", "lists", "weights", "classifier", "network alone", "solar", "rankers", "votes"])
def test_nothing_is_learned_of_no_labels(call):
    with pytest.raises(ValueError, match="none of the (400 )?(100 )?rows( of all chunks)? has a label|0 of the 400 rows have a label"):
        call()


def test_what_fails_leaves_a_ranking(net):
    net.ranking = kept = object()
    try:
        for call in (lambda: net.fit_auto(X, NONE), lambda: net.fit_auto(X, SOME, sample_weight=np.arange(400) % 4 == 0)):
            with pytest.raises(ValueError, match="has a label"):
                call()
            assert net.ranking is kept
        with pytest.raises(ValueError, match="none of the 400 rows for the target has a label"):
            net.fit_serving(X, Y, target=0.1, validation=(X, NONE), retriever="exact")
    finally:
        net.ranking = None


def test_parts_of_the_data_may_have_none():
    """Chunks, and rows that come later."""
    net, first = Network(X.shape[1], 20, hidden=(4,)), Network(X.shape[1], 20, hidden=(4,))
    assert len(net.fit([(X, NONE), (X, Y)], epochs=1)) == 1
    before = {name: array.copy() for name, array in net.to_arrays().items()}
    assert net.partial_fit(X, NONE).step == 6
    assert all((array == before[name]).all() for name, array in net.to_arrays().items())  # under the softmax they teach nothing
    first.partial_fit(X, NONE)
    for loss in ("softmax", "logistic"):
        model = MongooseClassifier(hidden=(4,), loss=loss, ranking=None).partial_fit(X, NONE)
        assert len(model.history_) == 0 and len(model.partial_fit(X, Y).history_) == 1
    solar = SolarClassifier(chunks=2, epochs=1).partial_fit(X, NONE)
    assert solar.partial_fit(X, Y).partial_fit(X, NONE).predict_topk(X[:2], 1)[0].shape == (2, 1)


@pytest.mark.parametrize("wrong", [X, (X,), "XY"], ids=["rows", "one", "text"])
def test_validation_is_a_pair(net, wrong):
    for call in (lambda: net.fit(X, Y, epochs=1, validation=wrong),
                 lambda: net.fit_serving(X, Y, target=0.1, validation=wrong, retriever="exact")):
        with pytest.raises(TypeError, match=r"validation must be a pair \(X, Y\)"):
            call()


def test_all_rows_with_labels_stay_as_they_are():
    assert labelled(X, Y) == (X, Y)


@pytest.mark.filterwarnings("error")
def test_single_labels():
    warn_of_single_labels(Y)
    warn_of_single_labels(Y[:1])
    with pytest.raises(UserWarning, match="occurs in one row"):
        warn_of_single_labels(sparse.csr_matrix(np.eye(5)))
