"""Re-ranking by a network: accuracy, candidates, threads, saving, errors."""

import numba
import numpy as np
import pytest
from nn_problem import planted
from scipy import sparse

from mongoose_nb.core import files
from mongoose_nb.core.registry import registered
from mongoose_nb.nn import Features, Network
from mongoose_nb.nn.proposer import NetworkProposer
from mongoose_nb.nn.ranking import NeighbourVotes, PropensityScored, Ranking, ranking

X, LABEL = planted(n=1500, n_outputs=300)
TRAIN, TEST = slice(0, 1200), slice(1200, 1500)
SOURCES = ["rankers", NeighbourVotes(20), "co-occurrence", "network"]
WAYS = {"every label": {}, "candidates": {"candidates": 30}}


def trained(**settings):
    net = Network(X.shape[1], 300, hidden=(8,), sampler="full", lr=0.02, seed=4, **settings)
    net.fit(X[TRAIN], LABEL[TRAIN], epochs=1, batch_size=100)
    return net


@pytest.fixture(scope="module", params=WAYS)
def net(request):
    out = trained()
    out.report = out.fit_ranking(X[TRAIN], LABEL[TRAIN], sources=SOURCES, **WAYS[request.param])
    return out


def test_better_than_the_network(net):
    alone, ranked = (net.evaluate(X[TEST], LABEL[TEST], k=1, ranked=r)["P@1"] for r in (False, None))
    assert ranked > max(0.9, alone)
    report = net.report
    held = report["held_out"]
    assert held["mixture"]["P@1"] >= max(scores["P@1"] for scores in held.values()) - 0.05 and "network" not in held
    assert report["bytes"] == net.ranking.nbytes > 0 and report["features"] == str(net.ranking.step)
    assert min(report["seconds"].values()) >= 0
    assert [name for name, *_ in report["mixture"]] == net.ranking.mixture.sources
    kept = set(net.ranking.members.by_name)
    assert kept >= set(net.ranking.mixture.sources) and (net.ranking.everything <= (kept == set(net.ranking.mixture.sources)))
    assert net.ranking.everything == (net.ranking.candidates is None)


def test_what_predict_topk_gives(net):
    ids, scores = net.predict_topk(X[TEST], 7)
    assert ids.dtype == np.int32 and scores.dtype == np.float32 and ids.shape == scores.shape == (300, 7)
    assert (np.diff(scores, axis=1) <= 0).all() and all(len(set(row)) == 7 for row in ids)
    for i in (0, 299):  # a row alone is ranked as among others
        for a, b in zip(net.predict_topk(X[TEST][i], 7), (ids[[i]], scores[[i]]), strict=True):
            np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(net.predict(X[TEST]), ids[:, 0])
    np.testing.assert_array_equal(net.predict_topk(X[TEST].toarray(), 7)[0], ids)
    empty = sparse.csr_matrix((1, X.shape[1]), dtype=np.float32)
    assert net.predict_topk(empty, 3)[0].shape == (1, 3)


def test_more_than_there_are_candidates():
    net = trained()
    net.fit_ranking(X[TRAIN], LABEL[TRAIN], candidates=3, sources=["rankers", NeighbourVotes(2)])
    ids, scores = net.predict_topk(X[TEST], 10)
    assert ((ids == -1) == np.isneginf(scores)).all() and (ids[:, -1] == -1).all() and (ids[:, :3] >= 0).all()


def test_scores_by_hand():
    """The weighed sum of margins, votes, counts and probabilities, computed densely."""
    net = trained()
    net.fit_ranking(X[TRAIN], LABEL[TRAIN], sources=SOURCES, held_out=np.arange(100))
    own, weights = net.ranking, {"rankers": 0.5, "neighbours": 2.0, "co-occurrence": 0.3, "network": 1.5}
    own = Ranking(None, SOURCES, "tfidf")
    own.everything = True
    data = _indicator(LABEL[TRAIN])
    own._keep = lambda names: None
    own.fit(X[TRAIN], data, NetworkProposer(net))
    own.mixture.terms = [[name, column, form, weights[name]] for name, column, form in
                         (("rankers", "", "squared hinge"), ("neighbours", "nearest fifth", "share"), ("co-occurrence", "", "log share"),
                          ("network", "", "log probability"))]
    members, rows = own.members.by_name, own.step.transform(X[TEST])
    margins = rows.toarray() @ members["rankers"].weights.toarray().T + members["rankers"].bias
    found = members["neighbours"].nearest(rows)
    nearest = members["neighbours"].votes(*(part[:, :4] for part in found)).toarray()
    counts = rows.toarray() @ members["co-occurrence"].table.toarray()
    counts /= np.maximum(counts.sum(axis=1, keepdims=True), 1e-30)
    logits = net.hidden_activations(X[TEST]) @ net.output.weights.value.T + net.output.bias.value
    log_p = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    scores = 0.5 * -np.maximum(0, 1 - margins) ** 2 + 2 * nearest + 0.3 * np.log(counts + 1e-3) + 1.5 * log_p
    ids, got = own.topk(X[TEST], 3, NetworkProposer(net))
    np.testing.assert_allclose(got, np.take_along_axis(scores, ids, 1), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(got, -np.sort(-scores, axis=1)[:, :3], rtol=1e-4, atol=1e-4)


def test_the_network_is_weighed_where_it_has_not_seen_the_rows():
    """A network that is trained well is all that a ranking needs, or a part of it."""
    rest = np.arange(200, 1200)
    net = Network(X.shape[1], 300, hidden=(32,), sampler="full", lr=0.02, seed=4)
    net.fit(X[rest], LABEL[rest], epochs=5, batch_size=100)
    report = net.fit_ranking(X[TRAIN], LABEL[TRAIN], held_out=np.arange(200))
    assert report["held_out"]["network"]["P@1"] > 0.5
    assert report["held_out"]["mixture"]["P@1"] >= report["held_out"]["network"]["P@1"] - 0.02
    report = net.fit_ranking(X[TRAIN], LABEL[TRAIN], sources=["network"], held_out=np.arange(200))
    assert net.ranking.mixture.sources == ["network"] and net.ranking.nbytes == 0
    np.testing.assert_array_equal(net.predict(X[TEST]), net.predict_topk(X[TEST], 1, ranked=False)[0][:, 0])


def test_the_objective_is_saved_with_its_source(tmp_path):
    rare = PropensityScored(0.6, 2.6)
    net = trained()
    net.fit_ranking(X[TRAIN], LABEL[TRAIN], sources=["rankers", *rare.sources()], objective=rare)
    net.save(tmp_path / "net")
    again = Network.load(tmp_path / "net")
    assert again.ranking.objective.A == 0.6 and again.ranking.objective.B == 2.6
    np.testing.assert_array_equal(again.predict(X[TEST]), net.predict(X[TEST]))
    assert "propensity" in Ranking(objective="propensity").members.by_name
    assert "propensity" not in Ranking().members.by_name


def test_candidates_of_a_sample_of_the_rows(monkeypatch):
    """Counterexamples of some rows, each standing for several: nearly as good as those of all."""
    monkeypatch.setattr(ranking, "MOST_LISTED", 45 * 400)
    net = trained()
    net.fit_ranking(X[TRAIN], LABEL[TRAIN], candidates=30, sources=["rankers", "neighbours"])
    assert net.evaluate(X[TEST], LABEL[TEST], k=1)["P@1"] > 0.9


@pytest.mark.parametrize("optimizer", [True, False])
def test_saved_with_the_network(net, optimizer, tmp_path):
    net.save(tmp_path / "net", optimizer=optimizer)
    again = Network.load(tmp_path / "net")
    for ranked in (True, False):
        for a, b in zip(net.predict_topk(X, 4, ranked=ranked), again.predict_topk(X, 4, ranked=ranked), strict=True):
            np.testing.assert_array_equal(a, b)
    again.save(tmp_path / "other", optimizer=optimizer)
    assert Network.load(tmp_path / "other").ranking.nbytes == net.ranking.nbytes


def test_a_damaged_file_is_refused(net, tmp_path):
    net.save(tmp_path / "net")
    settings, arrays = files.load(tmp_path / "net", "network")
    damage = {"rankers": ("halves", lambda a: a[1:]), "neighbours": ("halves", lambda a: a[1:]),
              "co-occurrence": ("values", lambda a: a[1:]), "network": None}
    names = net.ranking.mixture.sources
    changes = [(f"state.ranking.members.source{i}.{damage[name][0]}", damage[name][1])
               for i, name in enumerate(net.ranking.members.by_name) if damage[name]]
    assert names and changes
    for name, change in changes:
        files.save(tmp_path / "bad", "network", settings, {**arrays, name: change(arrays[name])})
        with pytest.raises(files.FormatError, match="is damaged"):
            Network.load(tmp_path / "bad")


def test_the_same_for_any_number_of_threads(net):
    threads = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        other = trained()
        other.fit_ranking(X[TRAIN], LABEL[TRAIN], sources=SOURCES, candidates=net.ranking.candidates)
        got = other.predict_topk(X[TEST], 4)
    finally:
        numba.set_num_threads(threads)
    for a, b in zip(net.predict_topk(X[TEST], 4), got, strict=True):
        np.testing.assert_array_equal(a, b)


def test_it_stays_while_the_network_trains(net, tmp_path):
    net.save(tmp_path / "net")
    again = Network.load(tmp_path / "net")
    before = again.ranking
    history = again.fit(X[TRAIN], LABEL[TRAIN], epochs=1, validation=(X[TEST], LABEL[TEST]))
    assert again.ranking is before
    # validation looks at the network that trains
    assert history[-1]["P@1"] == again.evaluate(X[TEST], LABEL[TEST], k=1, ranked=False)["P@1"]


def test_through_hash_tables():
    net = trained()
    net.fit_serving(X[TRAIN], LABEL[TRAIN], candidates=40, K=4, L=10, rows=500)
    net.fit_ranking(X[TRAIN], LABEL[TRAIN], candidates=30, sources=SOURCES)
    assert net.evaluate(X[TEST], LABEL[TEST], k=1, exact=False)["P@1"] > 0.9
    assert (net.predict_topk(X[TEST], 3, exact=False, candidates=1)[0][:, 0] >= 0).all()


class Squares(Features):
    """A step of the user's own."""

    def apply(self, X):
        out = X.copy()
        out.data = out.data**2
        return out


@pytest.mark.parametrize("features", [*registered("features", "mongoose_nb."), Squares()], ids=str)
def test_features(features, tmp_path):
    net = trained()
    net.fit_ranking(X[TRAIN], LABEL[TRAIN], features=features, sources=SOURCES)
    assert net.evaluate(X[TEST], LABEL[TEST], k=1)["P@1"] > 0.9
    net.save(tmp_path / "net")
    np.testing.assert_array_equal(Network.load(tmp_path / "net").predict(X[TEST]), net.predict(X[TEST]))


def test_rows_and_labels_of_any_kind():
    """Rows without labels or features, labels of no row, and two rows in all."""
    Y = sparse.csr_matrix((np.ones(3, np.float32), [0, 5, 5], [0, 2, 2, 3]), shape=(3, 300))
    for rows in (X[:3], sparse.csr_matrix((3, X.shape[1]), dtype=np.float32)):
        net = trained()
        net.fit_ranking(rows, Y)
        ids, _ = net.predict_topk(X[:4], 2)
        assert (ids >= 0).all()


@pytest.mark.parametrize("options, error, message", [
    ({"candidates": 0}, ValueError, "candidates"), ({"sources": ["most"]}, ValueError, "is unknown"),
    ({"sources": ["network", "network"]}, ValueError, "two sources"), ({"features": "most"}, ValueError, "is unknown"),
    ({"held_out": 1.0}, ValueError, "held_out"), ({"held_out": np.array([0.5])}, TypeError, "row indices"),
    ({"held_out": [0, 0]}, ValueError, "each once"), ({"held_out": [-1]}, ValueError, "each once"),
    ({"held_out": [1200]}, ValueError, "each once"), ({"held_out": []}, TypeError, "row indices")])
def test_refusals(options, error, message):
    net = Network(X.shape[1], 300, hidden=(4,), sampler="full")
    with pytest.raises(error, match=message):
        net.fit_ranking(X[TRAIN], LABEL[TRAIN], **options)
    with pytest.raises(ValueError, match="X has 1 rows; the ranking needs at least 2"):
        net.fit_ranking(X[:1], LABEL[:1])
    assert net.ranking is None
    with pytest.raises(ValueError, match="ranked=True needs a ranking: call fit_ranking first"):
        net.predict_topk(X[:2], 1, ranked=True)


def test_every_label_where_pairs_are_few(monkeypatch):
    monkeypatch.setattr(ranking, "EVERY_PAIR", 1000)
    few = Ranking()
    network = NetworkProposer(trained())
    few.fit(X[:10], _indicator(LABEL[:10]), network)
    assert not few.everything and few.n_proposed == 100
    every = Ranking(300)
    every.fit(X[:10], _indicator(LABEL[:10]), network)
    assert every.everything and every.n_proposed == 0


def _indicator(labels, n_labels=300):
    return sparse.csr_matrix((np.ones(len(labels), np.float32), labels, np.arange(len(labels) + 1)), shape=(len(labels), n_labels))


def test_a_single_source_is_no_list():
    with pytest.raises(TypeError, match="sources must be a list of names and sources; got 'neighbours'"):
        Ranking(sources="neighbours")


@pytest.mark.parametrize(("n", "share", "most"), [(40, 0.1, 4), (20_000, 0.1, 2000), (200_000, 0.1, 5000),
                                                  (1_000_000, 0.001, 1000), (2, 0.1, 1), (3, 0.9, 2)])
def test_rows_that_are_held_out(n, share, most):
    rows = ranking.held_rows(n, share, 0)
    assert len(rows) == most and (np.diff(rows) > 0).all() and 0 <= rows[0] and rows[-1] < n
