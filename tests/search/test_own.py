"""Metrics and hash families of the user's own: saved, pickled, read in another process, and never replaced by others."""

import json
import pathlib
import pickle
import subprocess
import sys

import numpy as np
import own_metrics
import pytest
import scipy.sparse as sp

from mongoose_nb import hashing
from mongoose_nb.core import files
from mongoose_nb.search import LSHIndex, Metric, storage
from mongoose_nb.search.metrics import Jaccard

NAMES = ["Chebyshev", "Canberra", "WeightedL2", "Folded", "sparse_signs"]


def rows(n=600, dim=24, seed=0):
    return np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)


def same(a, b):
    assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_saved_and_pickled_and_read_in_another_process(name, tmp_path):
    X = rows()
    index = own_metrics.index_of(name, X, train_size=100)
    index.add(X)
    np.save(tmp_path / "rows.npy", X)
    index.save(tmp_path / "index")
    first = index.query(X[:20], 5)
    for other in (pickle.loads(pickle.dumps(index)), LSHIndex.load(tmp_path / "index", mmap=True)):
        same(other.query(X[:20], 5), first)
        same(other.query(X[:20], 5, exact=True), index.query(X[:20], 5, exact=True))
        same(other.radius(X[:20], first[1].max()), index.radius(X[:20], first[1].max()))
    code = ("import json, sys; sys.path.insert(0, sys.argv[1]); import own_metrics; "
            "print(json.dumps(own_metrics.answers(sys.argv[2], sys.argv[3], True)))")
    done = subprocess.run([sys.executable, "-c", code, str(pathlib.Path(own_metrics.__file__).parent), str(tmp_path / "index"),
                           str(tmp_path / "rows.npy")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    index.rebuild()
    for found, want in zip(json.loads(done.stdout), [*first, *index.query(X[:20], 5)], strict=True):
        np.testing.assert_array_equal(np.array(found, want.dtype), want)


def test_a_module_that_was_not_imported_is_named(tmp_path):
    index = own_metrics.index_of("Chebyshev", rows(20))
    index.save(tmp_path / "index")
    done = subprocess.run([sys.executable, "-c", "import sys; from mongoose_nb import LSHIndex; LSHIndex.load(sys.argv[1])",
                           str(tmp_path / "index")], capture_output=True, text=True)
    assert "import the module 'own_metrics'" in done.stderr


@pytest.mark.parametrize("name", ["Chebyshev", "Canberra", "Folded"])
def test_all_candidates_without_a_rerank(name):
    """Of all candidates the nearest by the metric are found."""
    X, Q = rows(), rows(10, seed=1)
    index = own_metrics.index_of(name, X, train_size=100, rerank=None)
    index.add(X)
    ids, found = index.query(Q, 5)
    indptr, candidates = index.candidates(Q)
    metric = index.builder.metric
    for i, q in enumerate(Q):
        want = np.sort(metric.exact(q, X[candidates[indptr[i]:indptr[i + 1]]]))[:5]
        np.testing.assert_allclose(found[i], want, rtol=1e-5)
        np.testing.assert_allclose(metric.exact(q, X[ids[i]]), found[i], rtol=1e-5)


def test_radius_by_a_metric_of_ones_own():
    X, Q = rows(), rows(10, seed=1)
    index = own_metrics.index_of("Chebyshev", X)
    index.add(X)
    indptr, ids, found = index.radius(Q, 1.5)
    for i, q in enumerate(Q):
        want = np.abs(X - q).max(axis=1)
        assert set(ids[indptr[i]:indptr[i + 1]].tolist()) == set(np.flatnonzero(want <= 1.5).tolist())
        np.testing.assert_allclose(found[indptr[i]:indptr[i + 1]], np.sort(want[want <= 1.5]), rtol=1e-6)


def test_sets_by_a_metric_of_ones_own():
    S = sp.random(300, 60, 0.1, format="csr", dtype=np.float32, random_state=0)
    index = LSHIndex(own_metrics.Dice(), 60, train_size=50)
    index.add(S)
    found, far = index.query(S[:20], 1)
    assert found[:, 0].tolist() == list(range(20)) and not far.any()


def test_an_index_is_tuned_for_a_metric_of_ones_own():
    X = rows(1500)
    index = LSHIndex(own_metrics.Chebyshev(), 24)
    tuned = index.tune(X, recall=0.5, k=3)
    assert tuned.reached and index.L == tuned.L


def test_what_a_metric_may_not_be():
    with pytest.raises(TypeError, match="Scaled has a transform"):
        class Scaled(Jaccard):
            def transform(self, X):
                return X

    class Wrong(Metric):
        def distances(self, q, X):
            return np.zeros(3)

    index = LSHIndex(Wrong(), 4)
    index.add(np.eye(4))
    with pytest.raises(ValueError, match=r"distances of Wrong returned an array of shape \(3,\) for 4 rows"):
        index.query(np.eye(4), 1)

    class Forgetful(own_metrics.Chebyshev):
        def __init__(self, power):
            self._power = power

    index = LSHIndex(Forgetful(2), 4)
    for save in (lambda: index.save("nowhere"), lambda: pickle.dumps(index)):
        with pytest.raises(TypeError, match="metric cannot be saved: .*Forgetful does not keep its argument 'power'"):
            save()


# --- hash families ----------------------------------------------------------------------------------------------------


FAMILIES = {"name": "pstable", "class": hashing.CrossPolytope, "description": {"name": "simhash", "projection": "sparse"},
            "own class": own_metrics.Inverted, "own name": "shifted signs", "function": own_metrics.sparse_signs}


@pytest.mark.parametrize("given", FAMILIES)
@pytest.mark.parametrize("mapped", [False, True], ids=["read", "mapped"])
def test_a_family_is_given_saved_and_made_again(given, mapped, tmp_path):
    X = rows()
    index = LSHIndex("l2", 24, K=3, family=FAMILIES[given], train_size=100, seed=3)
    index.add(X)
    assert (index.query(X[:50], 1)[0][:, 0] == np.arange(50)).all()
    index.add(X[:7] + 1)  # few rows are placed as many are
    assert (index.query(X[:7] + 1, 1)[0][:, 0] == 600 + np.arange(7)).all()
    index.save(tmp_path / "index")
    loaded = LSHIndex.load(tmp_path / "index", mmap=mapped)
    same(loaded.query(X[:50], 5), index.query(X[:50], 5))
    if not mapped:
        before = loaded.builder.tables.family
        loaded.rebuild()
        after, want = loaded.builder.tables.family, index.rebuild().builder.tables.family
        assert type(after) is type(want) is type(before)
        for one, two in zip(after.state().values(), want.state().values(), strict=True):
            np.testing.assert_array_equal(one, two)


def test_options_of_a_description():
    X = rows()
    index = LSHIndex("l2", 24, family={"name": "pstable", "width": 7.5}, train_size=100)
    index.add(X)
    assert index.builder.tables.family.state()["width"] == 7.5
    with pytest.raises(TypeError, match="nonsense"):
        LSHIndex("l2", 24, family={"name": "pstable", "nonsense": 1}, train_size=10).add(X)


def test_a_function_without_a_name_is_refused_when_it_is_saved(tmp_path):
    X = rows()
    index = LSHIndex("l2", 24, family=lambda dim, K, L, seed: hashing.SimHash(dim, K, L, seed=seed), train_size=100)
    index.add(X)
    for save in (lambda: index.save(tmp_path / "index"), lambda: pickle.dumps(index)):
        with pytest.raises(TypeError, match="family_maker, or give a subclass of HashFamily"):
            save()
    assert not (tmp_path / "index").exists()
    index.rebuild()
    assert (index.query(X[:50], 1)[0][:, 0] == np.arange(50)).all()


def test_families_that_do_not_fit():
    X = rows()
    for family, text in (("minhash", "metric 'l2' needs a hash family with similarity .*'euclidean'.*; got 'minhash'"),
                         ("nothing", "'nothing' is unknown"), ({"name": "minhash"}, "got 'minhash'"),
                         (hashing.BitSampling, "got 'bitsampling'; use one of .*'simhash'")):
        with pytest.raises(ValueError, match=text):
            LSHIndex("l2", 24, family=family)
    for family in (3, hashing.SimHash(24, 4, 4)):
        with pytest.raises(TypeError, match="family must be one of"):
            LSHIndex("l2", 24, family=family)
    for family, text in ((lambda dim, K, L, seed: hashing.SimHash(dim, K, L + 1, seed=seed), "L=8"),
                         (lambda dim, K, L, seed: hashing.MinHash(dim, 2, L, seed=seed), "got 'minhash'"),
                         (lambda dim, K, L, seed: None, "returned None")):
        with pytest.raises(ValueError, match=text):
            LSHIndex("l2", 24, family=family, train_size=100).add(X)
    with pytest.raises(ValueError, match=r"got 'wta'; use one of \['minhash'\]"):
        LSHIndex("jaccard", 24, family="wta")


def test_a_function_that_a_file_of_version_1_does_not_name(tmp_path):
    """Such an index is searched and changed with the functions that it has; other ones are not made."""
    X = rows()
    index = own_metrics.index_of("sparse_signs", X, K=4, train_size=100)
    index.add(X[:400])
    index.save(tmp_path / "index")
    write_as_v1(tmp_path / "index")
    loaded = LSHIndex.load(tmp_path / "index")
    same(loaded.query(X[:50], 5), index.query(X[:50], 5))
    loaded.add(X[400:])
    index.add(X[400:])
    for n in range(3):  # beyond fourfold growth
        loaded.add(rows(600, seed=n + 5))
    assert loaded.stats()["trained"] == 400 and (loaded.query(X[:50], 1)[0][:, 0] == np.arange(50)).all()
    with pytest.raises(ValueError, match="version 1 do not name"):
        loaded.rebuild()
    assert (loaded.query(X[:50], 1)[0][:, 0] == np.arange(50)).all()
    loaded.save(tmp_path / "again")
    same(LSHIndex.load(tmp_path / "again").query(X[:50], 5), loaded.query(X[:50], 5))


def write_as_v1(path):
    """Write a file of version 2 as version 1 did, without a name for the family."""
    settings, arrays = files.load(path, storage.KIND)
    builder, projection, tables = settings["builder"], settings["builder"]["projection"], settings["builder"]["tables"]
    old = {**settings["arguments"], "metric": settings["arguments"]["metric"]["name"], "family": None, "kind": builder["rows"]["store"],
           "next_id": settings["ids"]["next_id"], "trained": builder["trained"], "long": 0, "tables": tables,
           "projection": projection, "stats": builder["stats"]}
    arrays = {name.removeprefix("builder."): array for name, array in arrays.items()}
    arrays["sketches"] = arrays["sketches"].view(np.uint8)
    files.save(path, storage.KIND, old, arrays)


def test_a_file_of_a_later_version_is_refused(tmp_path):
    files.save(tmp_path / "index", storage.KIND, {"version": 3}, {})
    with pytest.raises(files.FormatError, match="version 3"):
        LSHIndex.load(tmp_path / "index")
