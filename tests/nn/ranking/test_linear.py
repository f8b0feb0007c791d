"""Linear rankers: the optimality conditions, the duality gap, an oracle, threads, held-out rows."""

import numba
import numpy as np
import pytest
from scipy import sparse
from sklearn.svm import LinearSVC

from mongoose_nb.core.saving import join, restore, split, state_of
from mongoose_nb.nn.features import unit_rows
from mongoose_nb.nn.ranking import LinearRankers, Lists, all_labels
from mongoose_nb.nn.ranking import linear as module

N, D, LABELS = 150, 40, 9
X = unit_rows(sparse.random(N, D, 0.15, format="csr", dtype=np.float32, random_state=2))
rng = np.random.default_rng(0)
PLANTED = X @ rng.standard_normal((D, LABELS - 1)) + 0.1 * rng.standard_normal((N, LABELS - 1))
Y = sparse.csr_matrix(np.column_stack([PLANTED > 0.5, np.zeros(N)]).astype(np.float32))  # the last label never occurs
SOME = sparse.csr_matrix((rng.random((N, LABELS)) < 0.5).astype(np.int8))
CANDIDATES = Lists(SOME.indptr.astype(np.int64), SOME.indices.astype(np.int32))
EXACT = {"prune": 0.0, "tolerance": 1e-5, "passes": 5000}


def rows_of(label, candidates):
    """(rows, signs) of one label's pairs, by definition."""
    listed = np.zeros((N, LABELS), bool)
    listed[candidates.row, candidates.ids] = True
    positive = Y[:, label].toarray().ravel() > 0
    rows = np.flatnonzero(listed[:, label] | positive)
    return rows, np.where(positive[rows], 1.0, -1.0)


def objective(w, C, rows, signs):
    """Primal objective and the dual one at the dual solution that belongs to `w`; the bias is the last weight."""
    A = np.column_stack([X[rows].toarray(), np.ones(len(rows))]).astype(np.float64)
    slack = np.maximum(0, 1 - signs * (A @ w))
    alpha = 2 * C * slack
    v = A.T @ (alpha * signs)
    return 0.5 * w @ w + C * (slack**2).sum(), alpha.sum() - 0.5 * v @ v - (alpha**2).sum() / (4 * C), v


def weights_of(rankers, label):
    return np.append(rankers.weights[label].toarray().ravel(), rankers.bias[label]).astype(np.float64)


@pytest.mark.parametrize("C", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("candidates", [CANDIDATES, all_labels(N, LABELS)], ids=["some", "all"])
def test_the_solution_is_optimal(C, candidates):
    """No gap between primal and dual, and the weights are the sum that the dual solution gives."""
    rankers = LinearRankers(C, **EXACT).fit(X, Y, candidates)
    assert rankers.report["violation"] <= 1e-5
    for label in range(LABELS - 1):
        w = weights_of(rankers, label)
        primal, dual, v = objective(w, C, *rows_of(label, candidates))
        assert 0 <= primal - dual + 1e-4 * primal and primal - dual < 1e-3 * primal
        np.testing.assert_allclose(v, w, atol=1e-3 * max(1, C))  # v multiplies the rounding of float32 margins by 2 C


def test_it_is_that_of_liblinear():
    rankers = LinearRankers(1.0, **EXACT).fit(X, Y, CANDIDATES)
    for label in range(LABELS - 1):
        rows, signs = rows_of(label, CANDIDATES)
        other = LinearSVC(C=1.0, dual=True, tol=1e-8, max_iter=100_000).fit(X[rows].astype(np.float64), signs)
        np.testing.assert_allclose(weights_of(rankers, label), np.append(other.coef_[0], other.intercept_[0]), atol=2e-3)


def test_scores_are_products():
    rankers = LinearRankers(1.0).fit(X, Y, CANDIDATES)
    dense = X.toarray() @ rankers.weights.toarray().T + rankers.bias
    np.testing.assert_allclose(rankers.scores(X, CANDIDATES), dense[CANDIDATES.row, CANDIDATES.ids], rtol=1e-4, atol=1e-5)
    assert rankers.scores(X[:0], Lists(np.zeros(1, np.int64), np.zeros(0, np.int32))).shape == (0,)


def test_pruned_weights_and_labels_without_rows():
    rankers, whole = LinearRankers(1.0, prune=0.2).fit(X, Y, CANDIDATES), LinearRankers(1.0, prune=0.0).fit(X, Y, CANDIDATES)
    kept = np.where(np.abs(whole.weights.toarray()) > np.float32(0.2), whole.weights.toarray(), 0)
    np.testing.assert_array_equal(rankers.weights.toarray(), kept)
    assert rankers.weights[LABELS - 1].nnz == 0 and rankers.bias[LABELS - 1] == -1
    assert rankers.nbytes < whole.nbytes


def test_the_same_for_any_number_of_threads_and_groups(monkeypatch):
    held = np.arange(N) % 7 == 0
    want = LinearRankers(1.0).fit(X, Y, CANDIDATES, held=held)
    threads = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        monkeypatch.setattr(module, "ROOM", 50)
        other = LinearRankers(1.0).fit(X, Y, CANDIDATES, held=held)
    finally:
        numba.set_num_threads(threads)
    for name in LinearRankers.saved_state:
        np.testing.assert_array_equal(getattr(other, name), getattr(want, name))
    assert (other.held_margins != want.held_margins).nnz == 0
    assert not np.array_equal(LinearRankers(1.0, seed=1).fit(X, Y, CANDIDATES).values, want.values)


def test_margins_of_held_out_rows_are_those_of_rankers_that_do_not_know_them():
    held = np.arange(N) % 5 == 0
    rankers = LinearRankers(1.0, **EXACT).fit(X, Y, CANDIDATES, held=held)
    rest = SOME[~held]
    blind = LinearRankers(1.0, **EXACT).fit(X[~held], Y[~held], Lists(rest.indptr.astype(np.int64), rest.indices))
    mine = CANDIDATES.take(np.flatnonzero(held))
    want = blind.scores(X[held], mine)
    known = np.asarray(Y[~held].sum(0)).ravel()[mine.ids] > 0
    np.testing.assert_allclose(mine.look_up(rankers.held_margins[held])[known], want[known], atol=2e-3)
    # training went on with all rows
    whole = LinearRankers(1.0, **EXACT).fit(X, Y, CANDIDATES)
    np.testing.assert_allclose(rankers.weights.toarray(), whole.weights.toarray(), atol=2e-3)


def test_saved():
    rankers = LinearRankers(1.0).fit(X, Y, CANDIDATES)
    again = LinearRankers(1.0)
    restore(again, join(*split(state_of(rankers))))
    np.testing.assert_allclose(again.weights.toarray(), rankers.weights.toarray(), rtol=5e-4)  # half precision
    np.testing.assert_array_equal(again.weights.indices, rankers.weights.indices)
    state = state_of(rankers)
    for change in ({"packed_ids": state["packed_ids"] + np.uint8(D)}, {"halves": state["halves"][:-1]}, {"bias": state["bias"][1:]},
                   {"indptr": state["indptr"][::-1].copy()}):
        with pytest.raises(ValueError, match="do not fit each other"):
            restore(LinearRankers(), {**state, **change})


@pytest.mark.parametrize("options, message", [({"C": 0}, "C must be"), ({"prune": -1}, "prune must be"), ({"tolerance": 0}, "tolerance"),
                                              ({"passes": 0}, "passes must be"), ({"seed": -1}, "seed must be")])
def test_refusals(options, message):
    with pytest.raises(ValueError, match=message):
        LinearRankers(**options)


def test_another_width_is_refused():
    with pytest.raises(ValueError, match="rows have 39 features; these rankers were trained on 40"):
        LinearRankers().fit(X, Y, CANDIDATES).scores(X[:, 1:], CANDIDATES)


def test_a_counterexample_that_stands_for_several():
    """The weights of a counterexample that counts three times are those of three of the same."""
    rng = np.random.default_rng(0)
    X = sparse.csr_matrix(rng.standard_normal((40, 6)).astype(np.float32))
    Y = sparse.csr_matrix((np.arange(40) % 4 == 0).astype(np.float32)[:, None])
    others = np.flatnonzero(np.arange(40) % 4)
    thrice = np.concatenate([np.arange(40), others, others])
    settings = {"tolerance": 1e-4, "passes": 3000, "prune": 0}
    one = LinearRankers(**settings).fit(X, Y, all_labels(40, 1), counterweight=3.0)
    three = LinearRankers(**settings).fit(X[thrice], Y[thrice], all_labels(len(thrice), 1))
    np.testing.assert_allclose(one.weights.toarray(), three.weights.toarray(), atol=2e-3)
    assert abs(one.bias[0] - three.bias[0]) < 2e-3
    with pytest.raises(ValueError, match="counterweight"):
        LinearRankers().fit(X, Y, all_labels(40, 1), counterweight=0)
