"""Rows of float16 and int8: the contract of an index, what is kept, and what is refused."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from mongoose_nb.search import LSHIndex
from mongoose_nb.search.metrics import Cosine, Euclidean, InnerProduct
from mongoose_nb.search.rows.compact import ByteRows, HalfRows
from mongoose_nb.testing import check_index, check_shapes

STORAGES = ["float16", "int8"]
DIGITS = {"float16": 2.0**-11, "int8": 0.5 / 127}  # largest error, of a number or of the largest number of its row
X = np.random.default_rng(0).standard_normal((1500, 24)).astype(np.float32)


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("metric", ["cosine", "l2", "sqeuclidean", "ip"])
def test_contract(metric, storage):
    """Distances are those of rounded rows, so they differ from those of the rows that were given."""
    tolerance = {"rtol": 0.05, "atol": 0.02 if metric == "cosine" else 1.0}
    report = check_index(lambda: LSHIndex(metric, 32, train_size=40, storage=storage), metric=metric, dim=32, n=160, n_queries=30, k=5,
                         operations=15, slack=0.1, **tolerance)
    assert set(report.skipped) <= {"threads"}


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("metric", ["cosine", "l2", "ip"])
def test_recall_on_shapes(metric, storage):
    """Of some shapes the ten nearest rows are nearer to each other than rounding is; those of float32 are the bound."""
    shapes = ["low rank", "dominant direction", "clusters"]
    check_shapes(lambda: LSHIndex(metric, dim=64, storage=storage), metric=metric, recall=0.75, shapes=shapes)


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("metric", ["cosine", "l2", "ip"])
def test_answers_are_those_of_float32_on_the_rounded_rows(metric, storage):
    compact, plain = LSHIndex(metric, 24, storage=storage), LSHIndex(metric, 24)
    compact.add(X)
    kept = compact.get(compact.ids)
    plain.add(kept)
    for exact in (True, False):
        mine, theirs = compact.query(kept[:300], 5, exact=exact), plain.query(kept[:300], 5, exact=exact)
        assert (mine[0] == theirs[0]).mean() > 0.99
        assert np.isclose(mine[1], theirs[1], rtol=1e-4, atol=2e-3).mean() > 0.99
    if metric != "ip":
        assert (compact.query(X, 1)[0].ravel() == np.arange(1500)).all()


@pytest.mark.parametrize("storage, part", [("float16", 0.5), ("int8", 1 / 4 + 1 / 96)])
def test_memory(storage, part):
    compact, plain = LSHIndex("l2", 96, storage=storage), LSHIndex("l2", 96)
    for index in (compact, plain):
        index.add(np.tile(X, 4))
    mine, theirs = compact.stats(), plain.stats()
    assert mine["row_nbytes"] == pytest.approx(part * theirs["row_nbytes"], rel=1e-3) and mine["kind"] == storage
    saved = theirs["row_nbytes"] - mine["row_nbytes"]
    assert theirs["nbytes"] - mine["nbytes"] == pytest.approx(saved, rel=0.01)
    assert compact.memory_usage(1500) >= compact.nbytes - 1000
    assert plain.memory_usage(10**6) - compact.memory_usage(10**6) == pytest.approx(1.25e6 * 96 * 4 * (1 - part), rel=0.01)


@pytest.mark.parametrize("storage", STORAGES)
def test_saved_mapped_pickled_and_merged(storage, tmp_path):
    index = LSHIndex("l2", 24, storage=storage)
    index.add(X)
    index.remove([3, 5])
    index.update([7], X[3])
    want = index.query(X[:50], 5)
    index.save(tmp_path / "index")
    for again in (LSHIndex.load(tmp_path / "index"), LSHIndex.load(tmp_path / "index", mmap=True), pickle.loads(pickle.dumps(index))):
        assert again.storage == storage
        for mine, theirs in zip(again.query(X[:50], 5), want):
            np.testing.assert_array_equal(mine, theirs)
    again = LSHIndex.load(tmp_path / "index")
    again.add(X[3])
    assert sorted(again.query(X[3], 2)[0].ravel().tolist()) == [7, 1500]
    for other in (None, *STORAGES):
        both = LSHIndex("l2", 24, storage=other)
        both.add(X[:3] + 9)
        both.merge(index, renumber=True)
        near = both.query(X[40], 1)
        assert near[0].item() == 3 + 38 and near[1].item() < 0.2
        np.testing.assert_array_equal(both.query(both.get([41]), 1)[1], 0)


@pytest.mark.parametrize("store", [HalfRows, ByteRows])
@pytest.mark.parametrize("metric", [Cosine(), Euclidean(), InnerProduct()], ids=lambda m: m.name)
@given(seed=st.integers(0, 2**32 - 1), size=st.floats(-4, 3), n=st.integers(0, 4))
def test_rounding_twice_is_rounding_once(store, metric, seed, size, n):
    rows = store(metric, 7)
    given_rows = (np.random.default_rng(seed).standard_normal((n, 7)) * 10**size).astype(np.float32)
    once = rows.arrive(given_rows)
    np.testing.assert_array_equal(rows.taken_over(once), once)
    slots = np.arange(n)
    rows.put(slots, once, n)
    np.testing.assert_array_equal(rows.take(slots), once)
    rows.put(slots[::-1], once, n)
    np.testing.assert_array_equal(rows.take(slots[::-1]), once)
    if metric.unit:
        given_rows = given_rows / np.linalg.norm(given_rows, axis=1, keepdims=True)
    largest = np.abs(given_rows).max(axis=1, keepdims=True)
    error = np.abs(once - given_rows)
    assert (error <= 1.02 * DIGITS[rows.name] * largest * (1 + 3 * metric.unit) + 1e-7).all()


@pytest.mark.parametrize("store", [HalfRows, ByteRows])
@given(seed=st.integers(0, 2**32 - 1), dim=st.integers(1, 40))
def test_kept_unit_rows_have_length_one(store, seed, dim):
    rows = store(Cosine(), dim)
    kept = rows.arrive(np.random.default_rng(seed).standard_normal((5, dim)).astype(np.float32))
    np.testing.assert_allclose(np.linalg.norm(kept.astype(np.float64), axis=1), 1, atol=2e-7)


def test_unit_rows_of_float16_without_scales_are_read():
    """Files of earlier versions: elements of rows that were rounded at length one, and no scales."""
    elements = (X[:9] / np.linalg.norm(X[:9], axis=1, keepdims=True)).astype(np.float16)
    elements[3] = 0
    rows = HalfRows(Cosine(), 24)
    rows.restore({"X": elements.view(np.uint16)}, 9, False)
    want = elements.astype(np.float64)
    want /= np.maximum(np.linalg.norm(want, axis=1, keepdims=True), 1e-30)
    np.testing.assert_allclose(rows.take(np.arange(9)), want, rtol=2e-7)
    again = HalfRows(Cosine(), 24)
    again.restore(rows.state(9), 9, True)
    np.testing.assert_array_equal(again.take(np.arange(9)), rows.take(np.arange(9)))


def test_rows_of_zeros_and_of_tiny_numbers():
    for storage in STORAGES:
        index = LSHIndex("l2", 3, storage=storage)
        index.add(np.array([[0, 0, 0], [1e-40, 0, 0], [1, -1, 0]], np.float32))
        assert index.query([1, -1, 0], 1)[0].item() == 2 and np.isfinite(index.get([0, 1, 2])).all()


def test_refusals():
    index = LSHIndex("l2", 3, storage="float16")
    index.add(np.ones((2, 3)))
    with pytest.raises(ValueError, match="float16 holds numbers up to 65,504"):
        index.add(np.full((1, 3), 1e5))
    with pytest.raises(ValueError, match="float16"):
        index.update([0], np.full((1, 3), 1e5))
    assert len(index) == 2
    LSHIndex("l2", 3, storage="int8").add(np.full((1, 3), 1e5))
    with pytest.raises(ValueError, match="'int4'.*float16.*int8"):
        LSHIndex("l2", 3, storage="int4")
    for metric in ("hamming", "jaccard"):
        with pytest.raises(ValueError, match="leave storage out"):
            LSHIndex(metric, 3, storage="int8")
    with pytest.raises(ValueError, match="given as CSR"):
        LSHIndex("cosine", 3, storage="int8").add(sp.csr_matrix(np.ones((2, 3))))


def test_damaged_scales_are_refused():
    rows = ByteRows(Euclidean(), 3)
    rows.put(np.arange(2), rows.check(np.eye(3)[:2]), 2)
    state = rows.state(2)
    ByteRows(Euclidean(), 3).restore(state, 2, False)
    for wrong in (np.ones(3, np.float32), np.ones(2), -np.ones(2, np.float32), np.full(2, np.nan, np.float32)):
        with pytest.raises(ValueError, match="saved scales"):
            ByteRows(Euclidean(), 3).restore({**state, "scales": wrong}, 2, False)
