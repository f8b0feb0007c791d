"""Features chosen by the votes of neighbours."""

import numpy as np
import pytest
from scipy import sparse

from mongoose_nb.nn.features import unit_rows
from mongoose_nb.nn.ranking.features import choose_features

rng = np.random.default_rng(0)
LABEL = rng.integers(0, 20, 600)
Y = sparse.csr_matrix((np.ones(600, np.float32), LABEL, np.arange(601)), shape=(600, 20))
HELD = np.arange(100)


def test_common_features_that_say_nothing_ask_for_tfidf():
    """A rare feature names the label; common ones have large counts."""
    rows = (rng.random((600, 60)) < 0.5) * rng.integers(1, 6, (600, 60))
    names = np.zeros((600, 20))
    names[np.arange(600), LABEL] = 1
    counts = sparse.csr_matrix(np.hstack([rows, names]).astype(np.float32))
    assert "TfIdf" in str(choose_features(counts, Y, HELD))


@pytest.mark.parametrize("kind", ["weighted", "negative"])
def test_weighted_and_negative_rows_stay(kind):
    X = sparse.random(600, 50, 0.2, format="csr", random_state=0, dtype=np.float32)
    X = unit_rows(X) if kind == "weighted" else X - 2 * X.multiply(X > 0.5)
    assert str(choose_features(sparse.csr_matrix(X), Y, HELD)) == "UnitRows()"


def test_rows_of_one_click_are_not_weighted():
    X = sparse.csr_matrix((np.ones(600, np.float32), LABEL, np.arange(601)), shape=(600, 20))
    assert "TfIdf" in str(choose_features(X, Y, HELD))


def test_dense_columns_in_different_units_are_standardised():
    """Half of the label is in a column of small numbers, beside one of large ones that says nothing."""
    y = np.random.default_rng(1).integers(0, 2, 600)
    table = np.column_stack([1000 + 300 * rng.standard_normal(600), 5 + 0.1 * (y + 0.1 * rng.standard_normal(600))]).astype(np.float32)
    labels = sparse.csr_matrix((np.ones(600, np.float32), y, np.arange(601)), shape=(600, 2))
    assert str(choose_features(sparse.csr_matrix(table), labels, HELD)) == "StandardColumns()"
