"""What is taken as sets, and what is refused."""

import pathlib

import numpy as np
import pytest
import scipy.sparse as sp

from mongoose_nb import DuplicateFinder, find_duplicates
from mongoose_nb.search.sets import as_sets, member_column

WRONG = [
    (["the cat sat", "the cat sat"], TypeError, "shingles"), ("the cat sat", TypeError, "shingles"), ([b"abc"], TypeError, "shingles"),
    (np.array(["abc", "abd"]), TypeError, "shingles"), (pathlib.Path("a.txt"), TypeError, "shingles"),
    ([{"a"}, "abc"], TypeError, r"sets\[1\]"), ([pathlib.Path("a.txt")], TypeError, "shingles"), ([1, 2, 3], TypeError, "set is"),
    (np.array([1, 2, 3]), TypeError, "set is"), (np.zeros((2, 2, 2)), TypeError, "set is"), (np.full((2, 2), "a"), TypeError, "set is"),
    ({"a": {1}}, TypeError, "values"), ([{1, float("nan")}], ValueError, "missing"), ([[np.float32("nan")]], ValueError, "missing"),
    ([[None]], ValueError, "missing"), ([[np.datetime64("NaT")]], ValueError, "missing"), ([[[1]]], TypeError, "hashable"),
    (np.array([[0, np.nan]]), ValueError, "NaN"), (sp.csr_matrix(np.array([[0, np.nan]])), ValueError, "NaN"),
    (sp.coo_matrix(np.eye(2)), TypeError, "tocsr"), (np.eye(3, dtype=int).tolist(), ValueError, r"numpy.array\(sets\)"),
    (list(np.eye(3)), ValueError, r"numpy.array\(sets\)"), (list(map(tuple, np.eye(3, dtype=bool))), ValueError, r"numpy.array\(sets\)"),
    (sp.csr_matrix(([1, 1], ([0, 1], [5, 2**32 + 5])), shape=(2, 2**33)), ValueError, "columns")]


@pytest.mark.parametrize("sets, error, words", WRONG)
def test_what_is_not_a_set_is_refused(sets, error, words):
    finder = DuplicateFinder()
    for use in (find_duplicates, finder.add, finder.query):
        with pytest.raises(error, match=words):
            use(sets)
    assert len(finder) == 0 and finder.dim is None


def test_members_of_all_forms():
    dense = np.array([[0, 2, -1], [0, 0, 0]])
    for form in (dense, dense.astype(np.float16), dense != 0, sp.csr_matrix(dense), sp.csr_array(dense)):
        indptr, indices, dim = as_sets(form)
        assert indptr.tolist() == [0, 2, 2] and indices.tolist() == [1, 2] and dim == 3
    for form in ([["b", "a", "b"], []], [("b", "a"), ()], [np.array([5, 7, 5]), np.array([])], iter([iter("ba"), iter("")])):
        indptr, indices, dim = as_sets(form)
        assert indptr.tolist() == [0, 2, 2] and indices.tolist() == [0, 1] and dim == 2
    assert as_sets([[0, 1], [1, 0], [0, 1]])[0].tolist() == as_sets([{0, 1}, {1, 0}, {0, 1}])[0].tolist() == [0, 2, 4, 6]  # ids
    pandas = pytest.importorskip("pandas")
    assert as_sets(pandas.DataFrame(dense, columns=list("abc")))[1].tolist() == [1, 2]
    assert as_sets(pandas.Series([["x"], ["y", "x"]]))[0].tolist() == [0, 1, 3]


def test_hashed_members_are_the_same_in_every_process():
    assert [member_column(m) for m in ("a", b"a", 1, np.int64(1), "1", -1)] == [
        member_column("a"), member_column(b"a"), member_column(1), member_column(1), member_column("1"), member_column(-1)]
    assert len({member_column(m) for m in (1, 1.0, True, np.True_, np.float32(1))}) == 1  # equal in Python
    assert len({member_column(m) for m in ("a", b"a", 1, "1", -1, b"1")}) == 6
    assert member_column("a") == 1395287998
    with pytest.raises(TypeError, match="integer"):
        member_column(1.5)
