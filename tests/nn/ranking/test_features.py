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


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["measured", "whole"])
def test_dense_rows_of_numbers_never_get_tfidf(seed, kind):
    """Small tables whose labels have little to do with any form of the rows: chance decided."""
    random = np.random.default_rng(seed)
    table = random.gamma(4, 1, (60, 13)) * np.exp(random.normal(0, 2, 13)) + 0.1
    X = sparse.csr_matrix(np.ceil(table) if kind == "whole" else table, dtype=np.float32)
    y = random.integers(0, 3, 60)
    labels = sparse.csr_matrix((np.ones(60, np.float32), y, np.arange(61)), shape=(60, 3))
    assert "TfIdf" not in str(choose_features(X, labels, np.arange(20)))


def test_rows_that_decide_come_from_everywhere():
    """Rows in the order of time: of the first held-out rows alone, every feature would be as good."""
    n, half = 4000, 2000
    later = np.arange(n) >= half
    label = np.random.default_rng(2).integers(0, 20, n)
    noise = (np.random.default_rng(3).random((n, 60)) < 0.5) * np.random.default_rng(4).integers(1, 6, (n, 60))
    names = np.zeros((n, 20))
    names[np.arange(n), label] = later  # the first half has nothing to go by
    counts = sparse.csr_matrix(np.hstack([noise, names]).astype(np.float32))
    labels = sparse.csr_matrix((np.ones(n, np.float32), label, np.arange(n + 1)), shape=(n, 20))
    held = np.arange(0, n, 2)
    assert str(choose_features(counts, labels, held)) == str(choose_features(counts, labels, held[held >= half][:1000]))
