"""Canonical rows, against the words of the definition."""

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from mongoose_nb.core.arrays import read_only
from mongoose_nb.kernels.data.csr import is_canonical


def by_definition(indptr, indices, data, n_columns):
    if indptr[0] != 0 or indptr[-1] != len(indices) or len(data) != len(indices) or sorted(indptr) != list(indptr):
        return False
    rows = [indices[a:b] for a, b in zip(indptr, indptr[1:])]
    return all(np.isfinite(data)) and all(0 <= j < n_columns for row in rows for j in row) and all(
        a < b for row in rows for a, b in zip(row, row[1:]))


@given(indptr=st.lists(st.integers(-1, 7), min_size=1, max_size=5), indices=st.lists(st.integers(-1, 6), max_size=6),
       data=st.lists(st.sampled_from([0.0, 1.0, -2.5, np.nan, np.inf, -np.inf]), max_size=6), n_columns=st.integers(1, 6))
@example(indptr=[0, 2, 2, 5], indices=[0, 3, 1, 2, 5], data=[1.0] * 5, n_columns=6)
@example(indptr=[0, 2, 2, 5], indices=[0, 3, 1, 2, 5], data=[1.0] * 5, n_columns=5)
@example(indptr=[0, 2, 2, 5], indices=[0, 0, 1, 2, 5], data=[1.0] * 5, n_columns=6)
@example(indptr=[0, 2], indices=[0, 1], data=[1.0, np.nan], n_columns=6)
@example(indptr=[0, 2], indices=[0, 1], data=[1.0, -np.inf], n_columns=6)
@example(indptr=[0, 5, 2], indices=[0, 1], data=[1.0, 1.0], n_columns=6)
@example(indptr=[0, 1], indices=[0, 1], data=[1.0, 1.0], n_columns=6)
@example(indptr=[0], indices=[], data=[], n_columns=1)
def test_is_canonical(indptr, indices, data, n_columns):
    """Says so of exactly those; never looks beyond an array."""
    arrays = np.array(indptr, np.int32), np.array(indices, np.int32), np.array(data, np.float32)
    assert is_canonical(*(read_only(a) for a in arrays), n_columns) == by_definition(*arrays, n_columns)
