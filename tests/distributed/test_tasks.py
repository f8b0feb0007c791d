"""Duplicates, prediction and SOLAR's chunks on a cluster, beside the same in one process."""

import numpy as np
import pytest
from scipy import sparse

import mongoose_nb
from mongoose_nb import MongooseClassifier, Network, SolarClassifier
from mongoose_nb.distributed import duplicates as module
from mongoose_nb.distributed import find_duplicates, fit, predict, shingles
from mongoose_nb.distributed.tasks import in_turn

pytest.importorskip("dask.distributed")


def test_duplicates_are_the_same(threads, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 5000)
    rng = np.random.RandomState(0)
    sets = sparse.random(500, 800, 0.04, "csr", random_state=rng)
    near = sets[:100].tolil()
    near[:, 5] = 1
    sets = sparse.vstack([sets, sets[:40], near.tocsr(), sparse.csr_matrix((2, 800))]).tocsr()
    found, expected = find_duplicates(sets, 0.8, client=threads), mongoose_nb.find_duplicates(sets, 0.8)
    assert (found.groups() == expected.groups()).all() and len(found.links) > 50
    assert (found.links == expected.links).all() and (found.link_similarity == expected.link_similarity).all()
    assert (found.K, found.L, found.expected_recall) == (expected.K, expected.L, expected.expected_recall)
    assert find_duplicates([["a", "b"], ["a", "b"], []], client=threads).groups().tolist() == [0, 0, 2]
    assert find_duplicates([], client=threads).n == 0
    assert find_duplicates([["a"], ["b"], ["a"]], keys=["x", "y", "z"], client=threads).pairs.tolist() == [["x", "z"]]
    with pytest.raises(ValueError, match="threshold"):
        find_duplicates(sets, 2.0, client=threads)


def test_workers_get_only_the_sets_that_meet(monkeypatch):
    """Sets that meet in a band are in one part, of no more than so many members but where a bucket has more; pairs that met before are left
    out."""
    monkeypatch.setattr(module, "BLOCK", 12)
    sizes = np.array([4, 4, 4, 4, 4, 4, 20, 20, 4])
    indptr, distinct = np.concatenate([[0], np.cumsum(sizes)]), np.array([0, 1, 2, 3, 4, 6, 7, 8])  # set 5 is a copy
    codes = np.array([[1, 1, 2, 3, 2, 4, 4, 5], [1, 1, 2, 7, 7, 4, 3, 2], [9, 9, 9, 7, 7, 1, 2, 3]], np.uint32)
    parts = [[part.tolist() for part in module.meeting(indptr, distinct, codes, t)] for t in range(3)]
    assert parts == [[[0, 1], [2, 4], [5, 6]], [[2, 7], [3, 4]], [[0, 1, 2]]]
    rows = list(module.blocks(indptr, distinct))
    assert rows == [slice(0, 3), slice(3, 5), slice(5, 6), slice(6, 7), slice(7, 8)]
    indices = np.arange(indptr[-1], dtype=np.int32)
    for chosen in ([3, 4], [3, 6], [8], []):
        start, members = module.take(indptr, indices, np.array(chosen, np.int64))
        assert start.tolist() == [0, *np.cumsum(sizes[chosen]).tolist()]
        assert members.tolist() == [j for i in chosen for j in range(indptr[i], indptr[i + 1])]
    assert list(module.blocks(indptr, distinct[:0])) == [] == list(module.meeting(indptr, distinct[:0], codes[:, :0], 0))


def test_few_tasks_are_under_way(threads):
    """Arguments are taken when a worker is about to be free, and results come in order."""
    taken = []

    def calls():
        for i in range(30):
            taken.append(i)
            yield (i,)

    results = in_turn(threads, float, calls())
    assert next(results) == 0.0 and len(taken) <= 4 * 2 + 1
    assert list(results) == [float(i) for i in range(1, 30)]


def test_prediction_is_the_same(threads, tmp_path):
    array = pytest.importorskip("dask.array")
    X = sparse.random(200, 30, 0.3, "csr", np.float32, np.random.RandomState(0))
    net, path = Network(30, 50, hidden=(8,)), tmp_path / "net.mongoose"
    net.save(path)
    ids, scores = net.predict_topk(X, 3)
    blocks = array.from_array(X.toarray(), chunks=(37, 10))
    for rows in (X, X.toarray(), blocks):
        found = predict(path, rows, 3, client=threads, block=33)
        assert (found[0] == ids).all() and np.allclose(found[1], scores, atol=1e-6)
    assert predict(path, X[:0], client=threads)[0].shape == (0, 5)
    p = predict(path, X, 1, client=threads, probabilities=True)[1]
    assert (p > 0).all() and (p < 1).all()
    with pytest.raises(FileNotFoundError, match="all workers can read"):
        predict(tmp_path / "other", X, client=threads)
    with pytest.raises(ValueError, match="exclude"):
        predict(path, X, client=threads, exclude=[1])
    with pytest.raises(TypeError, match="network_path must be the file of a network .* got a Network: save it"):
        predict(net, X, client=threads)
    with pytest.raises(ValueError, match="two dimensions"):
        predict(path, np.zeros(30), client=threads)


def test_prediction_ranks_as_the_network_does(threads, tmp_path):
    """Also of a network that was trained on the cluster; rows are ranked in other blocks than in one process."""
    rows, label = np.eye(30, dtype=np.float32)[np.arange(300) % 30], np.arange(300) % 30
    held = np.arange(0, 300, 7)
    rest = np.setdiff1d(np.arange(300), held)
    net, path = Network(30, 40, hidden=(8,), sampler="full"), tmp_path / "net.mongoose"
    fit(net, rows[rest], label[rest], client=threads, shards=2, epochs=2)
    assert "network" in net.fit_ranking(rows, label, held_out=held)["held_out"]
    net.save(path)
    for options in ({}, {"ranked": False}, {"probabilities": True}):
        (ids, scores), (true, exact) = predict(path, rows, 3, client=threads, block=33, **options), net.predict_topk(rows, 3, **options)
        assert (ids == true).all() and np.allclose(scores, exact, atol=1e-6)
    assert (predict(path, rows, 1, client=threads)[0][:, 0] == label).mean() > 0.9


def test_shingles_are_the_same(threads, tmp_path):
    """Of a list, of files that workers read, and of the partitions of a collection of Dask."""
    bag = pytest.importorskip("dask.bag")
    texts = [f"text {i % 7} of words about number {i % 5} and {i}" for i in range(40)]
    paths = [tmp_path / f"{i}.txt" for i in range(40)]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    expected = mongoose_nb.shingles(texts, 2)
    for given in (texts, paths, bag.from_sequence(texts, npartitions=3)):
        found = shingles(given, 2, client=threads, block=9)
        assert found.shape == expected.shape and (found != expected).nnz == 0
    assert shingles([], client=threads).shape == (0, 2**24)
    assert shingles(texts[:3], unit="chars", dim=99, client=threads).shape == (3, 99)
    for wrong, error in (("one text", "a list of strings"), ([3], "give strings")):
        with pytest.raises(TypeError, match=error):
            shingles(wrong, client=threads)
    found = find_duplicates(shingles(texts + texts[:5], 2, client=threads), 0.9, client=threads)
    assert (found.groups()[40:] == np.arange(5)).all()


def test_a_search_for_settings_runs_on_the_workers(threads):
    joblib, selection = pytest.importorskip("joblib"), pytest.importorskip("sklearn.model_selection")
    rows, label = np.eye(6, dtype=np.float32)[np.arange(60) % 6], np.arange(60) % 6
    search = selection.GridSearchCV(MongooseClassifier(epochs=3, hidden=(8,), ranking=None), {"lr": [1e-6, 0.05]}, cv=2)
    expected = search.fit(rows, label).cv_results_["mean_test_score"]
    with joblib.parallel_backend("dask", client=threads):
        search.fit(rows, label)
    assert search.best_params_ == {"lr": 0.05} and (search.cv_results_["mean_test_score"] == expected).all()


def test_solar_chunks(threads):
    rows = np.eye(30, dtype=np.float32)[np.arange(300) % 30]
    label = np.arange(300) % 30
    models = [SolarClassifier(chunks=3, epochs=2, random_state=0).fit(rows, label, executor=executor)
              for executor in (None, threads.get_executor())]
    assert all((a == b).all() for a, b in zip(models[0].predict_topk(rows, 2), models[1].predict_topk(rows, 2)))
