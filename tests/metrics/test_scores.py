"""Scores against loops, and against numbers worked out by hand."""

import math

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from mongoose_nb.metrics import inverse_propensity, ndcg_at_k, precision_at_k, psndcg_at_k, psp_at_k, recall_at_k

LOG3 = 1 / math.log2(3)  # the discount of rank 2
Y = [[0, 2], [1], []]
PRED = np.array([[2, 1, 0], [0, 1, 3], [0, 1, 2]])
Y_MATRIX = np.array([[1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]])
WEIGHTS = [1.0, 2.0, 3.0, 4.0]


def test_by_hand():
    np.testing.assert_allclose(precision_at_k(Y_MATRIX, PRED, 3), [1 / 3, 1 / 3, 1 / 3])
    np.testing.assert_allclose(recall_at_k(Y_MATRIX, PRED, 3), [1 / 6, 1 / 2, 2 / 3])
    np.testing.assert_allclose(ndcg_at_k(Y_MATRIX, PRED, 3), [1 / 3, 0.41469231, 0.51688351], rtol=1e-7)
    np.testing.assert_allclose(psp_at_k(Y_MATRIX, PRED, WEIGHTS, 3), [3 / 5, 5 / 6, 1])
    right = [3 / 5, (3 / (1 + LOG3) + 2 * LOG3) / ((3 + LOG3) / (1 + LOG3) + 2),
             ((3 + 0.5) / (1 + LOG3) + 2 * LOG3) / ((3 + LOG3) / (1 + LOG3) + 2)]
    np.testing.assert_allclose(psndcg_at_k(Y_MATRIX, PRED, WEIGHTS, 3), right)


def test_drop_empty_by_hand():
    np.testing.assert_allclose(precision_at_k(Y_MATRIX, PRED, 3, drop_empty=True), [1 / 2, 1 / 2, 1 / 2])
    np.testing.assert_allclose(recall_at_k(Y_MATRIX, PRED, 3, drop_empty=True), [1 / 4, 3 / 4, 1])
    np.testing.assert_allclose(ndcg_at_k(Y_MATRIX, PRED, 3, drop_empty=True), [1 / 2, 0.62203847, 0.77532527],
                               rtol=1e-7)
    for score in (psp_at_k, psndcg_at_k):
        dropped = score(Y_MATRIX, PRED, WEIGHTS, 3, drop_empty=True)
        np.testing.assert_allclose(dropped, score(Y_MATRIX, PRED, WEIGHTS, 3))


@pytest.mark.parametrize("labels", [[[0]], [[0], [1]], [[0, 1], []], [[0]] * 2])
def test_inverse_propensity_of_tiny_sets(labels):
    """ln N - 1 is negative: a weight below 1, which is no inverse of a probability, would turn the scores over."""
    indicator = sp.csr_matrix(np.array([[float(j in row) for j in range(3)] for row in labels]))
    np.testing.assert_array_equal(inverse_propensity(indicator), 1.0)
    assert (inverse_propensity(sp.vstack([indicator] * 3)) >= 1).all()


def test_inverse_propensity_by_hand():
    # N = 4, A = B = 1: C = 2 (ln 4 - 1) = 0.7725887, w = 1 + C / (N_l + 1)
    weights = inverse_propensity([[0], [0, 1], [0], [3]], A=1, B=1)
    np.testing.assert_allclose(weights, [1.1931471806, 1.3862943611, 1.7725887222, 1.3862943611])
    # the defaults, 1,000 rows: C = 5.9077553 * 2.5^0.55 = 9.778888; 1001.5^-0.55 = 0.0223688, 11.5^-0.55 = 0.2609854
    indicator = sp.csr_matrix(np.stack([np.ones(1000), np.arange(1000) < 10], axis=1))
    np.testing.assert_allclose(inverse_propensity(indicator), [1.218742, 3.552147], rtol=1e-6)


def naive(Y, pred, weights, k, drop_empty):
    """All five scores by loops over rows and ranks; pred are lists of ids."""
    rows = [(set(y), p) for y, p in zip(Y, pred) if y or not drop_empty]
    out = {name: np.zeros(k) for name in ("p", "r", "n", "psp", "psn")}
    for j in range(1, k + 1):
        whole = {"psp": 0.0, "psn": 0.0}
        for y, p in rows:
            best = sorted((weights[i] for i in y), reverse=True)
            ideal = sum(1 / math.log2(r + 1) for r in range(1, min(j, max(len(y), 1)) + 1))
            for r in range(1, j + 1):
                if p[r - 1] in y:
                    out["p"][j - 1] += 1 / j
                    out["r"][j - 1] += 1 / len(y)
                    out["n"][j - 1] += 1 / math.log2(r + 1) / ideal
                    out["psp"][j - 1] += weights[p[r - 1]] / j
                    out["psn"][j - 1] += weights[p[r - 1]] / math.log2(r + 1) / ideal
                if r <= len(best):
                    whole["psp"] += best[r - 1] / j
                    whole["psn"] += best[r - 1] / math.log2(r + 1) / ideal
        for name in whole:
            out[name][j - 1] = out[name][j - 1] / whole[name] if whole[name] else 0
    for name in "prn":
        out[name] /= len(rows)
    return out


@settings(deadline=None, max_examples=150)
@given(st.lists(st.tuples(st.sets(st.integers(0, 7), max_size=8), st.permutations([0, 1, 2, 3, 4, 5, 6, 7, -1, -1])),
                min_size=1,
                max_size=6), st.integers(1, 8), st.booleans())
def test_against_loops(cases, k, drop_empty):
    Y, pred = [list(y) for y, _ in cases], [p[:8] for _, p in cases]
    indicator = np.zeros((len(Y), 8), int)
    for r, y in enumerate(Y):
        indicator[r, y] = 1
    weights = np.linspace(1, 4, 8)[::-1] ** 2
    ids = np.array(pred)
    if drop_empty and not indicator.any():
        with pytest.raises(ValueError, match="no row"):
            precision_at_k(indicator, ids, k, drop_empty=True)
        return
    right = naive(Y, pred, weights, k, drop_empty)
    options = {"k": k, "drop_empty": drop_empty}
    np.testing.assert_allclose(precision_at_k(indicator, ids, **options), right["p"])
    np.testing.assert_allclose(recall_at_k(indicator, ids, **options), right["r"])
    np.testing.assert_allclose(ndcg_at_k(indicator, ids, **options), right["n"])
    np.testing.assert_allclose(psp_at_k(indicator, ids, weights, **options), right["psp"])
    np.testing.assert_allclose(psndcg_at_k(indicator, ids, weights, **options), right["psn"])


def test_forms_of_predictions_agree():
    rng = np.random.default_rng(0)
    scores = rng.random((40, 30)).astype(np.float32)
    truth = rng.random((40, 30)) < 0.1
    ids = np.argsort(-scores, axis=1)
    right = ndcg_at_k(truth, scores)
    for pred in (ids, ids[:, :5].astype(np.int32), (ids, np.take_along_axis(scores, ids, 1)), sp.csr_matrix(scores),
                 scores.astype(float)):
        np.testing.assert_array_equal(ndcg_at_k(sp.csr_matrix(truth), pred), right)


def test_perfect_and_hopeless():
    truth = np.eye(4)
    assert psp_at_k(truth, truth, np.ones(4), 1).tolist() == [1]
    np.testing.assert_array_equal(psndcg_at_k(truth, np.full((4, 3), -1), np.ones(4), 3), np.zeros(3))
    np.testing.assert_array_equal(psp_at_k(np.zeros((2, 4)), np.array([[0], [1]]), np.ones(4), 1), [0])


@pytest.mark.parametrize(("call", "words"), [
    (lambda: precision_at_k(Y_MATRIX, PRED[:2], 3), "3 rows, the predictions have 2"),
    (lambda: precision_at_k(Y_MATRIX, PRED, 5), "hold 3 ids"),
    (lambda: precision_at_k([[5]], np.array([[6]]), 1), "label id 6"),
    (lambda: psp_at_k(Y_MATRIX, PRED, [1.0, 2], 3), "each of 4 labels"),
    (lambda: psp_at_k(Y_MATRIX, PRED, [1.0, 2, np.nan, 1], 3), "finite"),
    (lambda: inverse_propensity(Y_MATRIX, B=-1), "B"),
    (lambda: inverse_propensity(Y_MATRIX, A=np.nan), "A"),
])
def test_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()
