"""Calls that fail, at whatever step, leave an index as it was."""

import numpy as np
import pytest
import scipy.sparse as sp

import mongoose_nb.search.builder as builder_module
from mongoose_nb.search import LSHIndex
from mongoose_nb.search.projection import Projection
from mongoose_nb.search.rows.dense import ArrayRows
from mongoose_nb.search.rows.sparse import SparseRows
from mongoose_nb.tables import LSHTables
from mongoose_nb.testing import METRICS
from mongoose_nb.testing.pairs import rows_of

DIM = 24


class Broken(RuntimeError):
    """Raised by what is made to fail."""


def fail(*arguments, **options):
    raise Broken


def fail_late(original):
    """Do the work, then fail: half of a change is done."""
    def late(*arguments, **options):
        original(*arguments, **options)
        raise Broken
    return late


def picture(index, Q):
    """What can be seen of an index."""
    ids = index.ids
    X = index.get(ids) if len(index) else np.zeros(0)
    found = index.query(Q, 5), index.query(Q, 5, exact=True)
    state = {name: value for name, value in index.stats().items() if name not in ("nbytes", "row_nbytes", "buckets")}
    entries = None if index.stats()["buckets"] is None else index.stats()["buckets"]["entries"]
    return ids, X.toarray() if sp.issparse(X) else X, *found[0], *found[1], state, entries, repr(index)


def same(one, two):
    for a, b in zip(one, two):
        np.testing.assert_equal(a, b)


STEPS = [(LSHTables, "insert"), (LSHTables, "move"), (LSHTables, "remove"), (LSHTables, "build"), (Projection, "_learn"),
         (builder_module.Builder, "load"), (builder_module.Builder, "learn_projection"), (ArrayRows, "put"), (SparseRows, "put"),
         (builder_module.Builder, "_hashed")]


def calls(X, Y):
    """Every call that changes an index, by name."""
    m = X.shape[0]
    return {
        "add": lambda index: index.add(X[:40]),
        "add with ids": lambda index: index.add(X[:3], [10**6, -9, 77777]),
        "add one": lambda index: index.add(X[:1]),
        "add others": lambda index: index.add(Y),
        "add many": lambda index: index.add(sp.vstack([X] * 4, "csr") if sp.issparse(X) else np.concatenate([X] * 4)),
        "update": lambda index: index.update(np.arange(10, 40), Y[:30]),
        "update one": lambda index: index.update([11], Y[:1]),
        "update all": lambda index: index.update(index.ids, Y[:len(index)]),
        "remove": lambda index: index.remove(np.arange(10, 40)),
        "remove most": lambda index: index.remove(index.ids[:m - 60]),
        "rebuild": lambda index: index.rebuild(seed=3),
        "tune": lambda index: index.tune(X, n_queries=40),
        "merge": lambda index: index.merge(_other(index, Y), renumber=True),
    }


def _other(index, Y):
    other = LSHIndex(index.metric, DIM)
    other.add(Y)
    return other


@pytest.mark.parametrize("late", [False, True], ids=["at once", "half way"])
@pytest.mark.parametrize("kind", ["l2", "ip", "cosine-csr", "jaccard", "hamming"])
def test_a_step_that_fails(kind, late, monkeypatch):
    metric, _, form = kind.partition("-")
    rng = np.random.default_rng(0)
    X, Y = (rows_of(METRICS[metric], 300, DIM, rng).astype(np.float32) for _ in range(2))
    if metric in ("l2", "ip"):
        Y = Y * 7 + 3  # another kind: functions are learned again
    if form:
        X, Y = sp.csr_matrix(X), sp.csr_matrix(Y)
    broken = 0
    for call in calls(X, Y).values():
        index = LSHIndex(metric, DIM, train_size=50)
        index.add(X)
        index.remove([3, 4])
        before = picture(index, X[:20])
        for cls, method in STEPS:
            with monkeypatch.context() as patch:
                original = getattr(cls, method)
                patch.setattr(cls, method, fail_late(original) if late and method not in ("put", "build") else fail)
                try:
                    call(index)
                    failed = False
                except Broken:
                    failed = True
            broken += failed
            if failed:
                same(picture(index, X[:20]), before)
            else:  # this step was not taken
                index = LSHIndex(metric, DIM, train_size=50)
                index.add(X)
                index.remove([3, 4])
        index.add(X[:2])  # and it still works
        assert len(index) == before[0].size + 2
    assert broken > 20


def test_rows_that_cannot_be_squared_are_refused():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((2000, 8)).astype(np.float32)
    for metric in ("l2", "ip"):
        index = LSHIndex(metric, 8)
        for bad in (X * 1e20, X * 1e38, np.where(X > 3, np.inf, X), np.where(X > 3, np.nan, X), X.astype(np.float64) * 1e300):
            with pytest.raises(ValueError, match="longer than|NaN or infinity"):
                index.add(bad)
            assert len(index) == 0
        index.add(X)
        before = picture(index, X[:5])
        with pytest.raises(ValueError, match="longer than"):
            index.update([5], X[:1] * 1e20)
        with pytest.raises(ValueError, match="longer than"):
            index.query(X[:1] * 1e25)
        same(picture(index, X[:5]), before)
    with pytest.raises(ValueError, match="longer than"):
        LSHIndex("ip", 8).add(sp.csr_matrix(X * 1e20))


@pytest.mark.parametrize("scale", [1e-35, 1e-25, 1e-18, 1e-6, 1e6, 1e17])
@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
def test_numbers_of_every_size(metric, scale):
    """Whatever the size of the numbers, rows are found as they are at size one; squared differences below 1e-38 are 0 in float32."""
    rng = np.random.default_rng(0)
    X = (rng.standard_normal((20, 16))[rng.integers(0, 20, 3000)] + 0.3 * rng.standard_normal((3000, 16))).astype(np.float32)
    Q = X[:50] + np.float32(0.01)
    index = LSHIndex(metric, 16)
    with np.errstate(all="raise", under="ignore"):
        index.add(X * np.float32(scale))
        Q = Q * np.float32(scale) if metric == "l2" else Q
        ids, far = index.query(Q, 5)
        best = index.query(Q, 5, exact=True)[1]
    assert (ids >= 0).all() and np.isfinite(far).all()
    assert (far <= best[:, -1:] + 1e-4 * np.abs(best[:, -1:])).mean() > 0.8


def test_mixed_sizes_in_one_index():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((4000, 16)).astype(np.float32) * (10.0 ** rng.integers(-15, 15, (4000, 1))).astype(np.float32)
    for metric in ("l2", "ip", "cosine"):
        index = LSHIndex(metric, 16)
        index.add(X)
        ids, far = index.query(X[:20], 5)
        assert (ids >= 0).all() and np.isfinite(far).all()


def test_the_id_that_means_no_row():
    index = LSHIndex("l2", 2)
    with pytest.raises(ValueError, match="-1 stands for no row"):
        index.add([[0, 1], [1, 2]], [5, -1])
    assert len(index) == 0 and index.add([[0, 1]], [-2]).tolist() == [-2]
    index.add([[9, 9]], [-1], any_id=True)
    ids, far = index.query([9, 9], 3)
    assert ids.tolist() == [[-1, -2, -1]] and np.isfinite(far).tolist() == [[True, True, False]]


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int8, np.uint8, np.int64, bool])
@pytest.mark.parametrize("sparse", [False, True])
def test_rows_of_other_types(dtype, sparse):
    if sparse and dtype == np.float16:
        pytest.skip("SciPy has no such matrices")
    rng = np.random.default_rng(0)
    X = rng.integers(0, 2, (300, 12)).astype(dtype)
    given = sp.csr_matrix(X) if sparse else X
    for metric in ("ip", "cosine", "jaccard", *(() if sparse else ("l2", "hamming"))):
        one, two = LSHIndex(metric, 12, train_size=50), LSHIndex(metric, 12, train_size=50)
        one.add(given)
        two.add(sp.csr_matrix(X.astype(np.float32)) if sparse else X.astype(np.float32))
        for a, b in zip(one.query(given[:10], 4), two.query(X[:10].astype(np.float32), 4)):
            np.testing.assert_array_equal(a, b)


def test_repeated_entries_of_small_integers_do_not_overflow():
    X = sp.csr_matrix((np.array([100, 100], np.int8), np.array([1, 1]), np.array([0, 2])), shape=(1, 3))
    index = LSHIndex("ip", 3)
    index.add(X)
    assert index.get([0]).toarray().tolist() == [[0, 200, 0]]
