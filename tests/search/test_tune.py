"""tune: what it promises holds on queries that it never saw."""

import naive_search as naive
import numpy as np
import pytest

from mongoose_nb.search import LSHIndex
from mongoose_nb.search.tune import recall_of, worst_tenth

DIM = 24


def test_recall_counts_ties_and_missing_ones():
    truth = np.array([[1, 2, 2], [1, 2, np.inf], [0, 0, 0]], np.float32)
    found = np.array([[1, 2, 9], [1, np.inf, np.inf], [0, 0, 0]], np.float32)
    np.testing.assert_allclose(recall_of(found, truth), [2 / 3, 1 / 2, 1])


@pytest.mark.parametrize("unit", [1.0, 1e-6, 1e-30, 1e30])
@pytest.mark.parametrize("sign", [1, -1])
def test_recall_knows_no_unit(sign, unit):
    """A tie is one up to the rounding of the distance itself; those of inner products are negative."""
    truth = np.array([[1, 2, 3], [1, 2, 3]]) - (4 if sign < 0 else 0)
    found = truth + np.array([[0, 0, 2e-6], [0, 2, 1e-3]])
    np.testing.assert_allclose(recall_of(np.float32(found * unit), np.float32(truth * unit)), [1, 1 / 3])


@pytest.mark.parametrize("metric, spread, unit", [("cosine", 1e-5, 1), ("sqeuclidean", 1, 1e-6), ("ip", 1, 1e-6)])
def test_near_rows_and_small_units_are_no_ties(metric, spread, unit):
    """Neighbours that are all at random have the recall of chance, however near they are."""
    rng = np.random.default_rng(0)
    X = (unit * (np.ones(64) + spread * rng.standard_normal((1200, 64)))).astype(np.float32)
    Q = (unit * (np.ones(64) + spread * rng.standard_normal((20, 64)))).astype(np.float32)
    index = LSHIndex(metric, 64, train_size=10**9)
    index.add(X)
    truth = index.query(Q, 10, exact=True)[1]
    some = LSHIndex(metric, 64, train_size=10**9)
    some.add(X[::10])
    assert recall_of(some.query(Q, 10, exact=True)[1], truth).mean() < 0.25 and (recall_of(truth, truth) == 1).all()


@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_the_promise_holds(metric):
    """Of 1,000 unseen queries: within two points, and three standard errors of both measurements, of what was promised."""
    X, Q = naive.data(metric, 6000, DIM), naive.data(metric, 1000, DIM, seed=1)
    index = LSHIndex(metric, DIM, n_threads=1)
    promised = index.tune(X, recall=0.85, n_queries=600)
    index.add(X)
    shares = recall_of(index.query(Q, 10)[1], index.query(Q, 10, exact=True)[1])
    error = 3 * np.hypot(promised.error, shares.std() / np.sqrt(len(shares)))
    assert promised.reached and promised.recall > 0.85 - 3 * promised.error
    assert abs(shares.mean() - promised.recall) < 0.02 + error
    assert index.stats()["K"] == promised.K and index.stats()["probes"] == promised.probes and index.L == promised.L
    assert np.diff(index.candidates(Q)[0]).mean() < 3000
    assert index.nbytes <= index.memory_usage(6000)


def _uneven(n, seed):
    """Half of the rows in tight clusters, whose neighbours are easy to find; half of them spread out."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(9).standard_normal((n // 40, DIM))
    X = 3 * centres[rng.integers(0, len(centres), n)] + 0.05 * rng.standard_normal((n, DIM))
    spread = rng.random(n) < 0.5
    X[spread] = 2 * rng.standard_normal((spread.sum(), DIM))
    return X.astype(np.float32)


@pytest.mark.slow
def test_the_worst_tenth_is_told_and_can_be_asked_for():
    X, Q = _uneven(5000, 0), _uneven(1000, 1)
    index, plain = LSHIndex("l2", DIM), LSHIndex("l2", DIM)
    usual = plain.tune(X, recall=0.85, n_queries=600)
    asked = index.tune(X, recall=0.85, worst_tenth=0.7, n_queries=600)
    assert usual.reached and usual.worst_tenth < 0.6 and usual.recall - 0.1 > usual.worst_tenth
    assert asked.reached and asked.candidates > usual.candidates
    for ix, tuned, slack in ((plain, usual, 0.1), (index, asked, 0.1)):
        ix.add(X)
        shares = recall_of(ix.query(Q, 10)[1], ix.query(Q, 10, exact=True)[1])
        assert abs(worst_tenth(shares).mean() - tuned.worst_tenth) < slack
    assert asked.worst_tenth > 0.65
    assert LSHIndex("l2", DIM).tune(X, recall=0.85, worst_tenth=1e-9, n_queries=600) == usual
    with pytest.raises(ValueError, match="worst_tenth"):
        index.tune(X, worst_tenth=1.5)


def test_the_worst_tenth_is_the_mean_of_the_lowest():
    shares = np.random.default_rng(0).permutation(25) / 25
    np.testing.assert_allclose(np.sort(worst_tenth(shares)), [0, 1 / 25, 2 / 25])
    assert worst_tenth(np.array([0.5])).tolist() == [0.5]


def test_a_higher_recall_costs_more_and_memory_bounds_the_tables():
    X = naive.data("l2", 3000, DIM)
    low, high = (LSHIndex("l2", DIM).tune(X, recall=r) for r in (0.6, 0.95))
    assert low.recall < high.recall and low.candidates < high.candidates
    memory = LSHIndex("l2", DIM, K=10, L=2).memory_usage(2700)
    index = LSHIndex("l2", DIM)
    small = index.tune(X, recall=0.8, memory=memory)
    assert small.memory <= memory and index.memory_usage(2700) <= memory
    with pytest.raises(ValueError, match="memory=1000"):
        index.tune(X, memory=1000)


def test_queries_of_ones_own_and_rows_already_there():
    X, Q = naive.data("cosine", 2000, DIM, True), naive.data("cosine", 200, DIM, True, seed=1)
    index = LSHIndex("cosine", DIM)
    index.add(X)
    tuned = index.tune(X, queries=Q, recall=0.9, k=5)
    assert index.stats()["L"] == tuned.L and index.stats()["trained"] == 2000
    again = LSHIndex("cosine", DIM).tune(X, queries=Q, recall=0.9, k=5)
    assert again == tuned  # counted, not timed


def _weights_and_activations(n, n_queries, rng):
    """Rows that point everywhere, and queries of one orthant, as output weights and what a layer of ReLUs gives."""
    basis = rng.standard_normal((8, DIM))
    X = rng.standard_normal((n, 8)) @ basis + 0.3 * rng.standard_normal((n, DIM))
    Q = np.maximum(rng.standard_normal((n_queries, 8)) @ basis + 1, 0)
    return X.astype(np.float32), Q.astype(np.float32)


@pytest.mark.slow
def test_functions_that_learn_from_queries(tmp_path):
    """Fewer candidates for the recall; the promise holds on queries that took no part; the index keeps the functions in its file."""
    X, Q = _weights_and_activations(4000, 1900, np.random.default_rng(0))
    index, random = LSHIndex("ip", DIM, n_threads=1), LSHIndex("ip", DIM, n_threads=1)
    promised, without = (i.tune(X, queries=Q[:1500], learn=learn) for i, learn in ((index, None), (random, False)))
    assert promised.learned and not without.learned and promised.reached
    assert promised.candidates < 0.7 * without.candidates
    index.add(X)
    index.save(tmp_path / "index")
    index = LSHIndex.load(tmp_path / "index")
    shares = recall_of(index.query(Q[1500:], 10)[1], index.query(Q[1500:], 10, exact=True)[1])
    error = 3 * np.hypot(promised.error, shares.std() / np.sqrt(len(shares)))
    assert abs(shares.mean() - promised.recall) < 0.02 + error
    again = LSHIndex("ip", DIM, n_threads=2).tune(X, queries=Q[:1500])
    assert again == promised


def test_what_cannot_learn():
    X, Q = _weights_and_activations(400, 100, np.random.default_rng(0))
    with pytest.raises(ValueError, match="needs queries"):
        LSHIndex("ip", DIM).tune(X, learn=True)
    with pytest.raises(ValueError, match="'pstable'"):
        LSHIndex("l2", DIM, family="pstable").tune(X, queries=Q, learn=True)


def test_too_few():
    with pytest.raises(ValueError, match="20 queries"):
        LSHIndex("l2", 4).tune(np.zeros((100, 4)))
    with pytest.raises(ValueError, match="recall"):
        LSHIndex("l2", 4).tune(np.zeros((1000, 4)), recall=1.5)
