"""Compact rows far from zero: what is found, what is exact, and the warning where neither can be."""

import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mongoose_nb.search import LSHIndex
from mongoose_nb.search.metrics import Euclidean, InnerProduct
from mongoose_nb.search.rows.compact import ByteRows, HalfRows
from mongoose_nb.search.rows.origin import TOGETHER

STORAGES = ["float16", "int8"]
rng = np.random.default_rng(0)
Z = rng.standard_normal((1500, 24))
COLUMNS = 1e4 * rng.standard_normal(24)  # such as years, coordinates of a map, and prices side by side


def nearest(Q, X, k, metric):
    Q, X = Q.astype(np.float64), X.astype(np.float64)
    far = np.square(Q[:, None] - X[None]).sum(axis=2) if metric == "l2" else -Q @ X.T
    return np.argsort(far, axis=1)[:, :k]


def share(found, want):
    return np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found.tolist(), want.tolist())])


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("metric", ["l2", "ip"])
@pytest.mark.parametrize("shift", [1e4, -300, COLUMNS], ids=["far", "near", "by column"])
def test_rows_far_from_zero_are_told_apart(storage, metric, shift):
    X, Q = (Z[50:] + shift).astype(np.float32), (Z[:50] + shift * (metric == "l2")).astype(np.float32)
    index = LSHIndex(metric, 24, storage=storage)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        index.add(X)
    want = nearest(Q, X, 10, metric)
    assert share(index.query(Q, 10, exact=True)[0], want) > 0.93
    assert share(index.query(Q, 10)[0], want) > 0.6 or metric == "ip"
    kept = index.get(index.ids)
    ids, distances = index.query(Q, 5, exact=True)
    far = np.linalg.norm(Q[:, None].astype(float) - kept[None], axis=2) if metric == "l2" else -Q @ kept.T.astype(float)
    exact = np.take_along_axis(far, ids, 1)
    np.testing.assert_allclose(distances, exact, rtol=1e-5, atol=0.2 if metric == "l2" else 1)
    if metric == "l2":
        ids, distances = index.query(X[:50], 1)
        assert (ids.ravel() == np.arange(50)).all() and not distances.any()


@pytest.mark.parametrize("storage", STORAGES)
def test_rows_that_come_one_by_one(storage):
    """The first row alone decides the origin: one number for all columns."""
    index = LSHIndex("l2", 24, storage=storage)
    X = (Z[:300] + 1e4).astype(np.float32)
    for row in X:
        index.add(row)
    assert share(index.query(X[:40], 10, exact=True)[0], nearest(X[:40], X, 10, "l2")) > 0.9


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("metric", ["l2", "ip"])
def test_saved_mapped_pickled_and_merged(storage, metric, tmp_path):
    X = (Z + COLUMNS).astype(np.float32)
    index = LSHIndex(metric, 24, storage=storage)
    index.add(X)
    want = index.query(X[:40], 5)
    index.save(tmp_path / "index")
    for again in (LSHIndex.load(tmp_path / "index"), LSHIndex.load(tmp_path / "index", mmap=True), pickle.loads(pickle.dumps(index))):
        for mine, theirs in zip(again.query(X[:40], 5), want):
            np.testing.assert_array_equal(mine, theirs)
    empty = LSHIndex(metric, 24, storage=storage)
    empty.merge(index)
    assert share(empty.query(X[:40], 5, exact=True)[0], index.query(X[:40], 5, exact=True)[0]) > 0.9
    plain = LSHIndex(metric, 24)
    plain.merge(index)
    np.testing.assert_array_equal(plain.get(plain.ids), index.get(index.ids))
    near, far = index.query(X[:40], 5, exact=True), plain.query(index.get(np.arange(40)), 5, exact=True)
    np.testing.assert_allclose(near[1], far[1], rtol=1e-4, atol=0.1)


@pytest.mark.parametrize("storage", STORAGES)
def test_one_warning_where_rounding_hides_the_rows(storage):
    with pytest.warns(UserWarning, match=r"rounds numbers by .* spread by .* subtract the mean") as seen:
        far = LSHIndex("cosine", 24, storage=storage)  # rows of length one that differ in the fourth digit
        far.add(Z[:500] + 1e4)
        far.add(Z[500:900] + 1e4)
    assert len(seen) == 1
    one_by_one = LSHIndex("l2", 24, storage="int8")
    with pytest.warns(UserWarning, match="leave storage out") as seen:
        for row in Z[:2 * TOGETHER] + COLUMNS:
            one_by_one.add(row)
    assert len(seen) == 1


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("metric", ["cosine", "l2", "ip"])
def test_usual_rows_have_no_origin_and_no_warning(storage, metric):
    for X in (Z, np.abs(Z), np.maximum(Z, 0), Z[:1], np.zeros((40, 24)), np.ones((40, 24)), Z + 1):
        rows = {"float16": HalfRows, "int8": ByteRows}[storage](LSHIndex(metric, 24).builder.metric, 24)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            rows.arrive(X)
        if X is Z or metric == "cosine":
            assert rows.origin.grid == 0 and "origin" not in rows.state(0)


@pytest.mark.parametrize("store", [HalfRows, ByteRows])
@pytest.mark.parametrize("metric", [Euclidean(), InnerProduct()], ids=lambda m: m.name)
@given(seed=st.integers(0, 2**32 - 1), size=st.floats(-4, 6), spread=st.floats(-4, 3), n=st.integers(1, 5), outlier=st.booleans())
def test_rounding_twice_is_rounding_once(store, metric, seed, size, spread, n, outlier):
    random = np.random.default_rng(seed)
    rows, middle = store(metric, 7), 10**size * random.standard_normal(7)
    first = (middle + 10**spread * random.standard_normal((9, 7))).astype(np.float32)
    given_rows = (middle + 10**spread * random.standard_normal((n, 7))).astype(np.float32)
    if outlier:
        given_rows[0] *= 3
    with np.errstate(all="ignore"):
        try:
            rows.arrive(first)
            once = rows.taken_over(given_rows)
        except ValueError as error:
            assert "float16 holds" in str(error)
            return
    np.testing.assert_array_equal(rows.taken_over(once), once)
    rows.put(np.arange(n), once, n)
    np.testing.assert_array_equal(rows.take(np.arange(n)), once)


def test_damaged_origins_are_refused():
    rows = ByteRows(Euclidean(), 3)
    rows.put(np.arange(2), rows.arrive(np.eye(3)[:2] + 1e3), 2)
    state = rows.state(2)
    ByteRows(Euclidean(), 3).restore(state, 2, False)
    for wrong in (np.ones(2, np.float32), np.ones(3), np.full(3, np.nan, np.float32), np.zeros(3, np.float32)):
        with pytest.raises(ValueError, match="saved origin"):
            ByteRows(Euclidean(), 3).restore({**state, "origin": wrong}, 2, False)
