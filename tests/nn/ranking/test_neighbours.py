"""Votes of the nearest rows: beside brute force, within a budget, leave one out, threads, saved."""

import numba
import numpy as np
import pytest
from scipy import sparse

from mongoose_nb.core.saving import join, restore, split, state_of
from mongoose_nb.nn.features import unit_rows
from mongoose_nb.nn.ranking import NeighbourVotes

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


@pytest.mark.parametrize("width", [D, (1 << 16) + 1])  # ids of two and of four bytes
def test_saved(width):
    wide = [sparse.csr_matrix((part.data, part.indices, part.indptr), shape=(part.shape[0], width)) for part in (X, Q)]
    votes = NeighbourVotes(5).fit(wide[0], Y)
    again = NeighbourVotes(5)
    state = state_of(votes)
    restore(again, join(*split(state)))
    for a, b in zip(votes.nearest(wide[1]), again.nearest(wide[1]), strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(state["packed_ids"]) == (2 if width == D else 4) * X.nnz
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
