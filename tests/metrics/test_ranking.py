"""Predictions of any form become the same ranked ids."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mongoose_nb.metrics import ranking, top_k


def naive_top(pairs, k):
    """Ids of the best (id, score) pairs: score falling, then id rising; padded with -1."""
    ids = [i for i, _ in sorted(pairs, key=lambda p: (-p[1], p[0]))][:k]
    return ids + [-1] * (k - len(ids))


SCORES = hnp.arrays(np.float32, st.tuples(st.integers(1, 5), st.integers(1, 9)),
                    elements=st.sampled_from([-1, 0, 0.5, 1, 2, np.inf]))


@settings(deadline=None, max_examples=150)
@given(SCORES, st.integers(1, 11), st.integers(1, 30))
def test_dense_scores(scores, k, block):
    right = [naive_top(list(enumerate(row)), k) for row in scores]
    old, ranking._BLOCK = ranking._BLOCK, block
    try:
        assert top_k(scores, k).tolist() == right
    finally:
        ranking._BLOCK = old
    ids = np.tile(np.arange(scores.shape[1]), (len(scores), 1))
    assert top_k((ids[:, ::-1], scores[:, ::-1]), k, scores.shape[1]).tolist() == right


@pytest.mark.slow
@settings(deadline=None, max_examples=100)
@given(SCORES, st.integers(1, 11), st.data())
def test_sparse_scores_count_what_is_stored(scores, k, data):
    stored = data.draw(hnp.arrays(bool, scores.shape))
    rows, columns = np.nonzero(stored)
    M = sp.csr_matrix((scores[rows, columns], (rows, columns)), shape=scores.shape)
    right = [naive_top([(i, s) for i, s in enumerate(row) if stored[r, i]], k) for r, row in enumerate(scores)]
    assert top_k(M, k, scores.shape[1]).tolist() == right
    assert top_k(sp.coo_array(M), k).tolist() == right
    ids = np.where(stored, np.arange(scores.shape[1]), -1)
    if scores.shape[1] >= k:
        assert top_k((ids, scores), k).tolist() == right


def test_ids_are_taken_as_ranked():
    ids = np.array([[4, 1, -1], [0, -1, -1]], np.int32)
    assert top_k(ids, 2).tolist() == [[4, 1], [0, -1]]
    assert top_k(np.array([[1, 0]]), 5, 2).tolist() == [[1, 0, -1, -1, -1]]


def test_nan_behind_a_missing_id_is_fine():
    assert top_k((np.array([[1, -1]]), np.array([[0.5, np.nan]])), 2).tolist() == [[1, -1]]


def test_unsorted_sparse_scores_are_not_changed():
    M = sp.csr_matrix((np.array([1.0, 2, 3]), [2, 0, 1], [0, 3]), shape=(1, 3))
    assert top_k(M, 2).tolist() == [[1, 0]]
    assert M.indices.tolist() == [2, 0, 1]


@pytest.mark.parametrize(("pred", "k", "options", "error", "words"), [
    (np.array([[0, 1]]), 3, {}, ValueError, "hold 2 ids a row"),
    (np.array([[0, 1]]), 0, {}, ValueError, "k must be"),
    (np.array([[0, 1]]), 1.5, {}, ValueError, "k must be"),
    (np.array([[0, 5]]), 2, {"n_labels": 5}, ValueError, "row 0 has the label id 5"),
    (np.array([[0, 1], [0, -2]]), 2, {}, ValueError, "row 1 has the label id -2"),
    (np.array([[0, 1], [3, 3]]), 2, {}, ValueError, "row 1 has the label id 3 twice"),
    (np.array([[0.5, np.nan]]), 1, {}, ValueError, "NaN"),
    (np.array([[0.5, 0.1]]), 1, {"n_labels": 3}, ValueError, "2 columns, but there are 3 labels"),
    (sp.csr_matrix(np.ones((1, 2))), 1, {"n_labels": 3}, ValueError, "2 columns"),
    (sp.csr_matrix(np.array([[np.nan]])), 1, {}, ValueError, "NaN"),
    ((np.array([[0, 1]]), np.array([[0.5]])), 1, {}, ValueError, "one shape"),
    ((np.array([[0.5]]), np.array([[0]])), 1, {}, TypeError, "order is"),
    ((np.array([[0]]),), 1, {}, ValueError, "1 items"),
    (np.array([0, 1]), 1, {}, TypeError, "shape"),
    (np.array([[True]]), 1, {}, TypeError, "bool"),
    ("abc", 1, {}, TypeError, "shape"),
])
def test_refused(pred, k, options, error, words):
    with pytest.raises(error, match=words):
        top_k(pred, k, **options)
