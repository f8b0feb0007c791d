"""Counts of labels by feature, beside a naive version."""

import numpy as np
import pytest
from scipy import sparse

from mongoose_nb.core.saving import restore, state_of
from mongoose_nb.nn.ranking import Cooccurrence, Query, Training
from mongoose_nb.nn.ranking.cooccurrence import POWERS, Asked, _listed_shares, _shares
from mongoose_nb.nn.ranking.lists import all_labels, union

rng = np.random.default_rng(0)
X = sparse.random(60, 20, 0.2, format="csr", random_state=1, dtype=np.float32)
Y = sparse.csr_matrix((rng.random((60, 9)) < 0.2).astype(np.float32))
TRAINING = Training(X, X, None, Y, np.arange(10), False)


def naive(rows, labels, powers, most):
    counts = rows.toarray().T.astype(float) @ labels.toarray()
    of_feature, of_label = np.maximum(rows.toarray().sum(axis=0), 1e-9), np.maximum(labels.toarray().sum(axis=0), 1)
    counts = counts / of_feature[:, None] ** powers[0] / of_label ** powers[1]
    for row in counts:
        order = np.lexsort((np.arange(len(row)), -row))
        row[order[most:]] = 0
    return counts


@pytest.mark.parametrize("most", [3, 100])
def test_the_table(most):
    source = Cooccurrence(most)
    source.learn(TRAINING)
    assert tuple(source.powers) in POWERS
    table = naive(X, Y, source.powers, most)
    np.testing.assert_allclose(source.table.toarray(), table, rtol=1e-5)
    np.testing.assert_allclose(source._without.toarray(), naive(X[10:], Y[10:], source.powers, most), rtol=1e-5)
    shares = X.toarray() @ table
    shares /= np.maximum(shares.sum(axis=1, keepdims=True), 1e-30)
    np.testing.assert_allclose(source.ask(Query(X, X, None)).toarray(), shares, rtol=1e-5, atol=1e-7)
    again = Cooccurrence(most)
    restore(again, state_of(source))
    assert (again.table != source.table).nnz == 0


def test_negative_features_do_not_give_negative_shares():
    table = sparse.csr_matrix(np.ones((20, 9), np.float32))
    table[0, 0] = -5
    rows = sparse.csr_matrix(np.eye(20, dtype=np.float32)[:2] * [[1], [-1]])
    shares = _shares(rows, Asked.of(table.tocsr()), 9).toarray()
    np.testing.assert_allclose(shares, [[0] + [1 / 8] * 8, [0] * 9])
    np.testing.assert_array_equal(_listed_shares(rows, Asked.of(table.tocsr()), all_labels(2, 9)).reshape(2, 9), shares)


def test_the_highest_shares_are_named():
    table = sparse.csr_matrix(rng.random((20, 9), dtype=np.float32))
    whole = X.toarray() @ table.toarray()
    whole /= np.maximum(whole.sum(axis=1, keepdims=True), 1e-30)
    lists = union(np.empty((60, 0), np.int32), sparse.csr_matrix(whole), 4)
    best = _shares(X, Asked.of(table), 4)
    assert (np.diff(best.indptr) == np.where(X.getnnz(axis=1) > 0, 4, 0)).all()
    np.testing.assert_array_equal(best.indices, lists.ids)
    np.testing.assert_allclose(best.data, whole[lists.row, lists.ids], rtol=1e-5)
    np.testing.assert_allclose(_listed_shares(X, Asked.of(table), lists), best.data, rtol=1e-6)


def test_a_damaged_state_is_refused():
    source = Cooccurrence()
    source.learn(TRAINING)
    with pytest.raises(ValueError, match="does not fit together"):
        restore(Cooccurrence(), {**state_of(source), "values": source.values[1:]})
