"""Re-ranking by a network: accuracy, candidates, threads, saving, errors."""

import numba
import numpy as np
import pytest
from nn_problem import planted
from scipy import sparse

from mongoose_nb.core import files
from mongoose_nb.core.registry import registered
from mongoose_nb.nn import Features, Network
from mongoose_nb.nn.ranking import Ranking, ranking

X, LABEL = planted(n=1500, n_outputs=300)
TRAIN, TEST = slice(0, 1200), slice(1200, 1500)
WAYS = {"every label": {}, "candidates": {"candidates": 30}}


def trained(**settings):
    net = Network(X.shape[1], 300, hidden=(8,), sampler="full", lr=0.02, seed=4, **settings)
    net.fit(X[TRAIN], LABEL[TRAIN], epochs=1, batch_size=100)
    return net


@pytest.fixture(scope="module", params=WAYS)
def net(request):
    out = trained()
    out.report = out.fit_ranking(X[TRAIN], LABEL[TRAIN], neighbours=20, **WAYS[request.param])
    return out


def test_better_than_the_network(net):
    alone, ranked = (net.evaluate(X[TEST], LABEL[TEST], k=1, ranked=r)["P@1"] for r in (False, None))
    assert ranked > max(0.9, alone)
    report = net.report
    assert report["held_out"]["mixture"]["P@1"] >= max(report["held_out"][name]["P@1"] for name in ("rankers", "neighbours")) - 0.05
    assert report["weights"] == len(net.ranking.rankers.values) and report["bytes"] == net.ranking.nbytes
    assert report["pairs"] == (1200 * 300 if net.ranking.everything else report["pairs"]) and min(report["seconds"].values()) >= 0
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
    net.fit_ranking(X[TRAIN], LABEL[TRAIN], candidates=3, neighbours=2)
    ids, scores = net.predict_topk(X[TEST], 10)
    assert ((ids == -1) == np.isneginf(scores)).all() and (ids[:, -1] == -1).all() and (ids[:, :3] >= 0).all()


def test_scores_by_hand(net):
    """The mixture of margins and votes, computed densely."""
    own = net.ranking
    rows = own.step.transform(X[TEST])
    margins = rows.toarray() @ own.rankers.weights.toarray().T + own.rankers.bias
    found = own.voters.nearest(rows)
    shares = own.voters.votes(*found).toarray()
    nearest = own.voters.votes(*(part[:, :4] for part in found)).toarray()
    scores = own.mixture.scores(*(part.astype(np.float32).ravel() for part in (margins, shares, nearest))).reshape(margins.shape)
    ids, got = net.predict_topk(X[TEST], 3)
    np.testing.assert_allclose(got, np.take_along_axis(scores, ids, 1), rtol=1e-4, atol=1e-4)
    if own.everything:
        np.testing.assert_allclose(got, -np.sort(-scores, axis=1)[:, :3], rtol=1e-4, atol=1e-4)


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
    for name, change in (("state.ranking.rankers.ids", lambda a: a + X.shape[1]), ("state.ranking.voters.halves", lambda a: a[1:]),
                         ("state.ranking.step.idf", lambda a: a[1:])):
        files.save(tmp_path / "bad", "network", settings, {**arrays, name: change(arrays[name])})
        with pytest.raises(files.FormatError, match="is damaged"):
            Network.load(tmp_path / "bad")


def test_the_same_for_any_number_of_threads(net):
    threads = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        other = trained()
        other.fit_ranking(X[TRAIN], LABEL[TRAIN], neighbours=20, candidates=net.ranking.candidates)
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
    net.fit_ranking(X[TRAIN], LABEL[TRAIN], candidates=30, neighbours=20)
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
    net.fit_ranking(X[TRAIN], LABEL[TRAIN], features=features, neighbours=20)
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
    ({"candidates": 0}, ValueError, "candidates"), ({"C": 0}, ValueError, "C must be"), ({"neighbours": 0}, ValueError, "neighbours"),
    ({"held_out": 1.0}, ValueError, "held_out"), ({"prune": -1}, ValueError, "prune"), ({"features": "most"}, ValueError, "is unknown")])
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
    few.fit(X[:10], _indicator(LABEL[:10]), lambda k: np.tile(np.arange(k), (10, 1)))
    assert not few.everything and few.n_proposed == 100
    every = Ranking(300)
    every.fit(X[:10], _indicator(LABEL[:10]), None)
    assert every.everything and every.n_proposed == 0


def _indicator(labels):
    return sparse.csr_matrix((np.ones(len(labels), np.float32), labels, np.arange(len(labels) + 1)), shape=(len(labels), 300))
