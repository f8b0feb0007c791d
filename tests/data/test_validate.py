"""What the package accepts, what it refuses, and that it changes nothing it was given."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mongoose_nb.data import check_same_rows, check_X, check_Y

DENSE = np.array([[0, 1.5, 0], [0, 0, 0], [2, 0, -3]], np.float64)
LABELS = np.array([[1, 0, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0]])


def assert_canonical(M):
    assert M.format == "csr" and M.data.dtype == np.float32 and M.indices.dtype == M.indptr.dtype == np.int32
    fresh = sp.csr_matrix((M.data, M.indices, M.indptr), shape=M.shape)
    fresh.check_format(full_check=True)
    assert fresh.has_canonical_format


def freeze(M):
    for part in (M.data, M.indices, M.indptr):
        part.flags.writeable = False
    return M


SPARSE = [sp.csr_matrix, sp.csc_matrix, sp.coo_matrix, sp.lil_matrix, sp.dok_matrix, sp.bsr_matrix, sp.csr_array,
          sp.csc_array, sp.coo_array, sp.dia_array]
NUMERIC = [np.float64, np.float32, np.int8, np.int64]


@pytest.mark.parametrize(("form", "dtype"), [
    *((form, dtype) for form in SPARSE for dtype in NUMERIC),
    *((form, dtype) for form in (np.asarray, np.asfortranarray, np.ndarray.tolist) for dtype in (*NUMERIC, np.float16)),
    (np.asarray, object),
])
def test_X_of_any_form(form, dtype):
    right = DENSE if np.dtype(dtype).kind in "fO" else DENSE.astype(dtype)
    X = check_X(form(DENSE.astype(dtype)), 3)
    assert_canonical(X)
    np.testing.assert_array_equal(X.toarray(), right)


def test_X_bool():
    np.testing.assert_array_equal(check_X(DENSE != 0).toarray(), DENSE != 0)
    np.testing.assert_array_equal(check_X(sp.csr_matrix(DENSE != 0)).toarray(), DENSE != 0)


@pytest.mark.parametrize("kind", [sp.csr_matrix, sp.csr_array])
def test_canonical_X_is_not_copied(kind, tmp_path):
    X = freeze(kind(DENSE.astype(np.float32)))
    assert check_X(X) is X
    for part in ("data", "indices", "indptr"):
        np.save(tmp_path / f"{part}.npy", getattr(X, part))
    mapped = kind(tuple(np.load(tmp_path / f"{part}.npy", mmap_mode="r") for part in ("data", "indices", "indptr")),
                  shape=X.shape)
    checked = check_X(mapped)
    assert np.shares_memory(checked.data, mapped.data) and np.shares_memory(checked.indices, mapped.indices)
    np.testing.assert_array_equal(checked.toarray(), DENSE)


def test_only_values_are_copied_when_only_they_must_change():
    X = sp.csr_matrix(DENSE)
    checked = check_X(X)
    assert np.shares_memory(checked.indices, X.indices) and checked.dtype == np.float32 and X.dtype == np.float64


def test_unused_room_is_cut():
    X = sp.csr_matrix(DENSE.astype(np.float32))
    X.data, X.indices = np.append(X.data, np.float32(np.nan)), np.append(X.indices, np.int32(99))
    checked = check_X(X)
    assert len(checked.data) == 3
    np.testing.assert_array_equal(checked.toarray(), DENSE)


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 5), st.integers(1, 6), st.data())
def test_unsorted_and_duplicate_entries(n, d, data):
    counts = data.draw(st.lists(st.integers(0, 8), min_size=n, max_size=n))
    nnz = sum(counts)
    index_dtype = data.draw(st.sampled_from([np.int32, np.int64]))
    indices = data.draw(hnp.arrays(index_dtype, nnz, elements=st.integers(0, d - 1)))
    values = data.draw(hnp.arrays(data.draw(st.sampled_from([np.float32, np.float64, np.int8])), nnz,
                                  elements=st.integers(-100, 100)))
    indptr = np.cumsum([0, *counts]).astype(indices.dtype)
    right = np.zeros((n, d))
    for r in range(n):
        for p in range(indptr[r], indptr[r + 1]):
            right[r, indices[p]] += values[p]
    X = sp.csr_matrix((values, indices, indptr), shape=(n, d))
    X.has_sorted_indices = X.has_canonical_format = True  # a flag is only a claim
    before = [part.copy() for part in (X.data, X.indices, X.indptr)]
    checked = check_X(freeze(X))
    assert_canonical(checked)
    np.testing.assert_array_equal(checked.toarray(), right)
    for old, new in zip(before, (X.data, X.indices, X.indptr)):
        np.testing.assert_array_equal(old, new)
    rows = np.repeat(np.arange(n), counts)
    for form in (sp.coo_matrix, sp.csc_matrix):
        other = form((values, (rows, indices)), shape=(n, d))
        if values.dtype != np.int8 or other.format == "coo":  # scipy itself wraps while it builds the second
            np.testing.assert_array_equal(check_X(other).toarray(), right)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_not_finite_is_named(bad):
    dense = DENSE.copy()
    dense[2, 1] = bad
    unsorted = sp.csr_matrix((np.array([1.0, bad]), [2, 1], [0, 0, 0, 2]), shape=(3, 3))
    for X in (dense, sp.csr_matrix(dense), sp.csc_matrix(dense), unsorted):
        with pytest.raises(ValueError, match="row 2, column 1"):
            check_X(X)


def broken(data, indices, indptr, shape=(2, 3)):
    X = sp.csr_matrix(shape, dtype=np.float32)
    X.data = np.asarray(data, np.float32)
    X.indices, X.indptr = np.asarray(indices, np.int32), np.asarray(indptr, np.int32)
    return X


@pytest.mark.parametrize(("X", "error", "words"), [
    (np.zeros(3), ValueError, "Reshape your data"),
    (np.zeros((2, 2, 2)), ValueError, "2D"),
    (np.zeros((0, 3)), ValueError, r"0 sample\(s\)"),
    (np.zeros((3, 0)), ValueError, r"0 feature\(s\) \(shape=\(3, 0\)\) while a minimum of 1 is required"),
    (sp.csr_matrix((0, 3)), ValueError, r"0 sample\(s\)"),
    (np.ones((2, 2), complex), ValueError, "Complex data not supported"),
    (sp.csr_matrix(np.ones((2, 2), complex)), ValueError, "Complex data not supported"),
    (np.array([["a", "b"]]), TypeError, "numbers"),
    (np.array([[{}, 1]], object), TypeError, "numbers"),
    (np.array([["x", 1]], object), ValueError, "numbers"),
    ([[1, 2], [3]], ValueError, "ragged"),
    (broken([1], [3], [0, 1, 1]), ValueError, "row 0 has column 3; expected 0 to 2"),
    (broken([1], [-1], [0, 0, 1]), ValueError, "row 1 has column -1"),
    (broken([1, 1], [0, 1], [0, 2, 1]), ValueError, "indptr"),
    (broken([1], [0], [0, 1, 2]), ValueError, "indptr"),
    (broken([1], [0], [1, 1, 1]), ValueError, "indptr"),
    (broken([1, 2], [0], [0, 1, 1]), ValueError, "1 indices and 2 values"),
    (broken([1], [0], [0, 1]), ValueError, "row pointers"),
])
def test_X_refused(X, error, words):
    with pytest.raises(error, match=words):
        check_X(X)


def test_n_features():
    with pytest.raises(ValueError, match="X has 3 features, but Net is expecting 5 features as input"):
        check_X(DENSE, 5, owner="Net")
    with pytest.raises(ValueError, match="model"):
        check_X(sp.csr_matrix(DENSE), 5)


@pytest.mark.parametrize("Y", [
    LABELS, LABELS.astype(float), LABELS.astype(bool), sp.csr_matrix(LABELS), sp.csc_array(LABELS),
                               sp.coo_matrix(LABELS),
    sp.lil_matrix(LABELS), [[2, 0], [], [1]], ([0, 2], (), {1}), [np.array([0, 2]), np.array([], int), np.array([1])],
    [[0, 2, 2, 0], [], [1]], [[0.0, 2.0], [], [1.0]], np.array([[0, 2], [], [1]], dtype=object),
    sp.csr_matrix((np.ones(3, bool), [2, 0, 1], [0, 2, 2, 3]), shape=(3, 4)),
    sp.csr_matrix((np.ones(4), [2, 0, 2, 1], [0, 3, 3, 4]), shape=(3, 4)),
    sp.csr_matrix((np.array([1, 0, 1, 0, 1]), [0, 1, 2, 3, 1], [0, 3, 4, 5]), shape=(3, 4)),
    sp.coo_matrix((np.ones(4), ([0, 0, 0, 2], [0, 2, 2, 1])), shape=(3, 4)),
])
def test_Y_of_any_form(Y):
    checked = check_Y(Y, 4, 3)
    assert_canonical(checked)
    np.testing.assert_array_equal(checked.toarray(), LABELS)


def test_classes_and_inferred_outputs():
    for y in ([2, 0, 1, 2], np.array([2, 0, 1, 2], np.uint8), np.array([2.0, 0, 1, 2])):
        assert check_Y(y).toarray().tolist() == [[0, 0, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert check_Y([[0], [6]]).shape == (2, 7)
    assert check_Y([[], []], 3).shape == (2, 3)
    # nested lists are ids, arrays are indicators
    assert check_Y([[0, 1], [1, 0]]).toarray().tolist() == [[1, 1], [1, 1]]
    assert check_Y(np.array([[0, 1], [1, 0]])).toarray().tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize("kind", [sp.csr_matrix, sp.csr_array])
def test_canonical_Y_is_not_copied(kind):
    Y = freeze(kind(LABELS.astype(np.float32)))
    assert check_Y(Y) is Y


def test_Y_is_not_changed():
    Y = sp.csr_matrix((np.array([1.0, 0, 1]), [2, 1, 0], [0, 3]), shape=(1, 3))
    before = [part.copy() for part in (Y.data, Y.indices, Y.indptr)]
    check_Y(freeze(Y))
    for old, new in zip(before, (Y.data, Y.indices, Y.indptr)):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(("Y", "options", "error", "words"), [
    ([[0], [1.5]], {}, ValueError, r"row 1 has the label 1\.5"),
    ([[0], [], [2, -1]], {}, ValueError, "row 2 has the label -1"),
    ([[0], [4]], {"n_outputs": 4}, ValueError, "row 1 has the label 4; expected whole numbers from 0 to 3"),
    ([[0], [np.nan]], {}, ValueError, "row 1"),
    ([0, 1.5], {}, ValueError, "row 1"),
    (np.array([0, -1]), {}, ValueError, "row 1"),
    ([[0], [2**40]], {}, ValueError, "row 1"),
    (LABELS * 2, {}, ValueError, "value 2 at row 0, label 0"),
    (LABELS * 0.5, {}, ValueError, "value 0.5"),
    (np.where(LABELS == 1, np.nan, 0), {}, ValueError, "value nan"),
    (sp.csr_matrix(LABELS * 3), {}, ValueError, "value 3 at row 0, label 0"),
    (sp.coo_matrix((np.array([1, 2]), ([0, 1], [0, 1]))), {}, ValueError, "value 2 at row 1, label 1"),
    (LABELS, {"n_outputs": 5}, ValueError, "4 outputs, expected 5"),
    (LABELS, {"n_rows": 5}, ValueError, "3 rows, expected 5"),
    ([[0]], {"n_rows": 2}, ValueError, "1 rows, expected 2"),
    ([], {}, ValueError, "0 rows"),
    (np.zeros((0, 3)), {}, ValueError, "0 rows"),
    ([[], []], {}, ValueError, "give rows with labels, or n_outputs"),
    ([[0], 1], {}, ValueError, "lists of label ids"),
    ([[[0]]], {}, ValueError, "shape"),
    (np.zeros((2, 2, 2)), {}, ValueError, "shape"),
    (np.array(3), {}, ValueError, "single value"),
    (3, {}, TypeError, "int"),
    ("abc", {}, TypeError, "str"),
    (["ab", "cd"], {}, TypeError, "row 0"),
    (np.array(["a", "b"]), {}, TypeError, "dtype"),
    (np.array([["a", "b"]]), {}, TypeError, "dtype"),
    (np.array([True, False]), {}, TypeError, "bool"),
    (broken([1], [3], [0, 1, 1]), {}, ValueError, "row 0 has column 3"),
])
def test_Y_refused(Y, options, error, words):
    with pytest.raises(error, match=words):
        check_Y(Y, **options)


def test_same_rows():
    check_same_rows(DENSE, LABELS)
    with pytest.raises(ValueError, match="3 rows, Y has 2"):
        check_same_rows(DENSE, LABELS[:2])
