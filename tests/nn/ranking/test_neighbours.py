"""Votes of the nearest rows: beside brute force, within a budget, leave one out, threads, saved."""

import numba
import numpy as np
import pytest
from scipy import sparse

from mongoose_nb.core.saving import join, restore, split, state_of
from mongoose_nb.nn.features import unit_rows
from mongoose_nb.nn.ranking import Lists, NeighbourVotes

N, D = 200, 60
X = sparse.random(N, D, 0.1, format="csr", dtype=np.float32, random_state=3)
X.data[:] = np.random.default_rng(3).standard_normal(X.nnz)  # of both signs: sums may be zero on the way
X = unit_rows(X)
X.data = X.data.astype(np.float16).astype(np.float32)  # as they are kept
Q = unit_rows(sparse.random(30, D, 0.1, format="csr", dtype=np.float32, random_state=4))
Y = sparse.csr_matrix((np.random.default_rng(5).random((N, 12)) < 0.2).astype(np.float32))


def brute_force(queries, k, leave_out=None):
    """The k rows with the largest products among those that share a feature with the query."""
    products = (queries @ X.T).toarray()
    share = (abs(queries).sign() @ abs(X).sign().T).toarray() > 0
    products[~share] = -np.inf
    if leave_out is not None:
        products[np.arange(len(leave_out)), leave_out] = -np.inf
    order = np.argsort(-products, axis=1, kind="stable")[:, :k]
    return np.where(np.take_along_axis(products, order, 1) > -np.inf, order, -1), np.take_along_axis(products, order, 1)


@pytest.mark.parametrize("k", [1, 5, 100])
def test_the_exact_answer(k):
    ids, products = NeighbourVotes(k).fit(X, Y).nearest(Q)
    want, values = brute_force(Q, k)
    there = want >= 0
    np.testing.assert_allclose(products[there], values[there], atol=1e-6)
    assert ((ids >= 0) == there).all() and (products[~there] == 0).all()
    values = np.where(there, values, -9)
    for a, b, v in zip(ids, want, values, strict=True):  # equal products may change places by rounding
        near = np.abs(v[:, None] - v) < 1e-5
        clear = (near.sum(axis=1) == 1) & (b >= 0)
        np.testing.assert_array_equal(a[clear], b[clear])


def test_leave_one_out():
    votes = NeighbourVotes(7).fit(X, Y)
    itself, _ = votes.nearest(X)
    full = np.diff(X.indptr) > 0
    assert (itself[full, 0] == np.flatnonzero(full)).all()
    ids, products = votes.nearest(X, leave_out=np.arange(N))
    assert (ids != np.arange(N)[:, None]).all()
    np.testing.assert_allclose(products, np.where(ids >= 0, brute_force(X, 7, np.arange(N))[1], 0), atol=1e-6)


def test_a_budget_takes_the_strongest_features():
    """With a budget of one entry, a query reads the list of its strongest feature and no other."""
    ids, products = NeighbourVotes(N, budget=1).fit(X, Y).nearest(Q)
    wide = X.toarray()
    for i in range(Q.shape[0]):
        row = Q[i]
        strongest = row.indices[np.argmax(np.abs(row.data))]
        read = np.flatnonzero(wide[:, strongest])
        if all((wide[:, f] != 0).sum() > 0 for f in row.indices):
            assert set(ids[i][ids[i] >= 0]) == set(read)
            np.testing.assert_allclose(np.sort(products[i][ids[i] >= 0]), np.sort(wide[read] @ row.toarray().ravel()), atol=1e-6)


def test_votes():
    votes = NeighbourVotes(4).fit(X, Y)
    ids, products = np.array([[3, 8, -1, -1], [5, 6, 7, -1], [-1, -1, -1, -1]]), np.float32([[.5, .25, 0, 0], [.3, -.2, .3, 0], [0] * 4])
    want = np.zeros((3, 12))
    want[0] = (2 * Y[3].toarray() + Y[8].toarray())[0] / 3
    want[1] = (Y[5].toarray() + Y[7].toarray())[0] / 2  # opposite rows have no vote
    shares = votes.votes(ids, products)
    np.testing.assert_allclose(shares.toarray(), want, rtol=1e-6)
    assert shares.has_sorted_indices


def test_the_same_for_any_number_of_threads():
    want = NeighbourVotes(9, budget=40).fit(X, Y).nearest(Q)
    threads = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        other = NeighbourVotes(9, budget=40).fit(X, Y).nearest(Q)
    finally:
        numba.set_num_threads(threads)
    for a, b in zip(want, other, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("width, size", [(D, 2), ((1 << 16) + 1, 3), ((1 << 24) + 1, 4)])
def test_saved(width, size):
    wide = [sparse.csr_matrix((part.data, part.indices, part.indptr), shape=(part.shape[0], width)) for part in (X, Q)]
    votes = NeighbourVotes(5).fit(wide[0], Y)
    again = NeighbourVotes(5)
    state = state_of(votes)
    restore(again, join(*split(state)))
    for a, b in zip(votes.nearest(wide[1]), again.nearest(wide[1]), strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(state["packed_ids"]) == size * X.nnz
    assert {state[name].dtype.itemsize for name in ("indptr", "label_indptr", "label_ids")} <= {1, 2}
    if size > 2:  # as earlier versions saved it
        restore(again, {**state, "packed_ids": votes.ids.view(np.uint8), "indptr": votes.indptr})
        assert (again.rows != votes.rows).nnz == 0
    for change in ({"packed_ids": state["packed_ids"] | 128}, {"halves": state["halves"][:-1]}, {"label_indptr": state["label_indptr"][1:]},
                   {"label_ids": state["label_ids"] - 1}):
        with pytest.raises(ValueError, match="do not fit each other"):
            restore(NeighbourVotes(5), {**state, **change})


def test_refusals():
    with pytest.raises(ValueError, match="neighbours must be"):
        NeighbourVotes(0)
    with pytest.raises(ValueError, match="budget must be"):
        NeighbourVotes(budget=0)
    with pytest.raises(ValueError, match="rows have 59 features; the training rows have 60"):
        NeighbourVotes().fit(X, Y).nearest(Q[:, 1:])


DENSE = np.random.default_rng(7).standard_normal((N, 5)).astype(np.float16).astype(np.float32)
DENSE[10] = DENSE[3]  # equal ones


def nearest_by_distance(queries, k, leave_out):
    squares = ((queries[:, None].astype(np.float64) - DENSE[None]) ** 2).sum(axis=2)
    squares[np.arange(len(queries)), leave_out] = np.where(leave_out >= 0, np.inf, squares[np.arange(len(queries)), leave_out])
    order = np.argsort(squares, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(squares, order, 1)


@pytest.mark.parametrize("k", [1, 20, 300])
def test_dense_rows_are_near_by_distance(k):
    source = NeighbourVotes(k).fit(sparse.csr_matrix(DENSE), Y)
    assert source.by_distance and len(source.columns) == 3
    queries, leave_out = DENSE[:30], np.where(np.arange(30) % 2, np.arange(30), -1)
    ids, worth = source.nearest(sparse.csr_matrix(queries), leave_out=leave_out)
    want, squares = nearest_by_distance(queries, k, leave_out)
    m, there = want.shape[1], np.isfinite(squares)
    np.testing.assert_array_equal(ids[:, :m][there], want[there])
    assert (ids[:, m:] == -1).all() and (worth[ids < 0] == 0).all() and (worth[ids >= 0] > 0).all()
    farthest = np.maximum(np.where(there, squares, 0).max(axis=1, keepdims=True), 1e-30)
    np.testing.assert_allclose(worth[:, :m][there], np.maximum(1 - squares / farthest, 1e-3)[there], atol=1e-5)


def test_dense_rows_keep_their_length():
    """Two rings: rows of length one would all be alike."""
    turn = np.random.default_rng(2).random(400) * 2 * np.pi
    y = np.arange(400) % 2
    rings = sparse.csr_matrix((np.column_stack([np.cos(turn), np.sin(turn)]) * (1 + y)[:, None]).astype(np.float32))
    labels = sparse.csr_matrix((np.ones(400, np.float32), y, np.arange(401)), shape=(400, 2))
    source = NeighbourVotes(10).fit(rings, labels)
    votes = source.votes(*source.nearest(rings, leave_out=np.arange(400)))
    assert (votes.toarray().argmax(axis=1) == y).all()
    again = NeighbourVotes(10)
    restore(again, join(*split(state_of(source))))
    assert again.by_distance and again.columns == source.columns
    with_threads = numba.get_num_threads()
    numba.set_num_threads(1)
    np.testing.assert_array_equal(again.nearest(rings)[1], source.nearest(rings)[1])
    numba.set_num_threads(with_threads)


@pytest.mark.parametrize("k", [3, 40])
def test_votes_for_listed_labels_are_those_for_all(k):
    source = NeighbourVotes(k).fit(X, Y)
    ids, products = source.nearest(Q)
    some = sparse.random(30, 12, 0.5, format="csr", random_state=1)
    some.sort_indices()
    lists = Lists(some.indptr.astype(np.int64), some.indices.astype(np.int32))
    for threads in (1, numba.get_num_threads()):
        before = numba.get_num_threads()
        numba.set_num_threads(threads)
        values = source.values_of(None, lists, (ids, products))
        numba.set_num_threads(before)
        for found, part in zip(values, (k, max(1, k // 5)), strict=True):
            np.testing.assert_array_equal(found, lists.look_up(source.votes(ids[:, :part], products[:, :part])))


@pytest.mark.parametrize("rows", [X, sparse.csr_matrix(DENSE)])
def test_more_rows_are_as_if_they_had_been_there(rows):
    first, whole = NeighbourVotes(20).fit(rows[:120], Y[:120]), NeighbourVotes(20).fit(rows, Y)
    first.nearest(rows[:2])
    both = first.updated(rows[120:], Y[120:])
    for a, b in zip(both.nearest(rows[:30]), whole.nearest(rows[:30]), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (both.votes(*both.nearest(rows[:30])) != whole.votes(*whole.nearest(rows[:30]))).nnz == 0
    assert first.rows.shape[0] == 120 and first.nearest(rows[:2])[0].max() < 120
