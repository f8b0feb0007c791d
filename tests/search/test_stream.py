"""DuplicateFinder against all pairs."""

import pathlib
import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from naive_search import naive_pairs, planted
from scipy.stats import binom

from mongoose_nb import DuplicateFinder, find_duplicates
from mongoose_nb.core import files
from mongoose_nb.core.files import FormatError


def test_a_stream_finds_what_it_promises():
    X = planted(300)
    want = naive_pairs(X, 0.6)
    finder = DuplicateFinder(0.6, recall=0.9)
    ids, similarity = finder.add(X)
    assert finder.expected_recall >= 0.9 and len(finder) == 300 and (ids < np.arange(300)).all()
    found = {(j, i): s for i, (j, s) in enumerate(zip(ids.tolist(), similarity.tolist())) if j >= 0}
    assert all(found[pair] == pytest.approx(want[pair]) for pair in found) and not similarity[ids < 0].any()
    assert len(found) >= binom.ppf(0.001, len(want), 0.9)
    indptr, others, similarity = finder.query(X)
    pairs = [(i, j) for i, j in zip(np.repeat(np.arange(300), np.diff(indptr)).tolist(), others.tolist())]
    first = find_duplicates(X).first  # of equal sets it is given
    assert set(pairs) == {(i, first[i]) for i in range(300)} | {(i, j) for pair in found for i, j in (pair, pair[::-1]) if first[j] == j}
    assert all(s == pytest.approx(1 if first[i] == j else want[min(i, j), max(i, j)]) for (i, j), s in zip(pairs, similarity))


def test_one_by_one_is_all_at_once(tmp_path):
    """Also through a file in the middle, and in other forms."""
    X = planted(120, dim=400, size=30)
    X = sp.vstack([X, X[::3], sp.csr_matrix((2, 400))], format="csr")
    want = DuplicateFinder(0.5).add(X)
    one = DuplicateFinder(0.5)
    parts = []
    for i in range(X.shape[0]):
        if i in (0, 1, 77, 140):
            one.save(tmp_path / "stream")
            one = DuplicateFinder.load(tmp_path / "stream")
            one = pickle.loads(pickle.dumps(one))
        parts.append(one.add(X[i] if i % 2 else X[i].toarray()))
    for a, b in zip(want, (np.concatenate(column) for column in zip(*parts))):
        np.testing.assert_array_equal(a, b)
    assert len(one) == X.shape[0] and one.distinct <= 120
    assert (want[0][120:160] <= np.arange(0, 120, 3)).all() and (want[1][120:160] == 1).all() and (want[0][160:] == -1).all()


def test_copies_take_no_memory():
    finder = DuplicateFinder(0.8)
    finder.add([{"a", "b"}, {"c"}])
    before = finder.nbytes
    for _ in range(20):
        ids, similarity = finder.add([["b", "a"]] * 1000)
        assert (ids == 0).all() and (similarity == 1).all()
    assert finder.distinct == 2 and len(finder) == 20_002 and finder.nbytes < before + 200_000
    assert finder.query([["a", "b"]])[1].tolist() == [0]


def test_lists_are_hashed():
    finder = DuplicateFinder(0.5)
    assert finder.add([["x", 1, b"x"], ["x", 1], [2]])[0].tolist() == [-1, 0, -1]
    assert finder.query([[1, "x"], [3]])[1].tolist() == [1, 0]
    with pytest.raises(TypeError, match="integer"):
        finder.add([[0.5]])
    with pytest.raises(ValueError, match="one form"):
        finder.add(np.eye(3))
    assert len(finder) == 3


def test_files(tmp_path):
    finder = DuplicateFinder(0.7, recall=0.8, n_hashes=64, seed=3)
    finder.save(tmp_path / "empty")
    assert repr(DuplicateFinder.load(tmp_path / "empty")) == repr(finder)
    finder.add(planted(50))
    finder.save(tmp_path / "stream")
    again = DuplicateFinder.load(tmp_path / "stream")
    assert repr(again) == repr(finder) and again.dim == 5000
    for a, b in zip(finder.query(planted(50, seed=1)), again.query(planted(50, seed=1))):
        np.testing.assert_array_equal(a, b)
    data = (tmp_path / "stream").read_bytes()
    (tmp_path / "stream").write_bytes(data[:-40] + b"\1" * 40)
    with pytest.raises(FormatError):
        DuplicateFinder.load(tmp_path / "stream")


DAMAGE = [("indptr", lambda a: a[:0]), ("indptr", lambda a: a[:-1]), ("indptr", lambda a: a * 2), ("indptr", lambda a: -a),
          ("indptr", lambda a: a.astype(np.int32)), ("indices", lambda a: a[::-1].copy()), ("indices", lambda a: a + 5000),
          ("indices", lambda a: a[None]), ("indices", lambda a: a.astype(np.float32)), ("ids", lambda a: a[::-1].copy()),
          ("ids", lambda a: a + 10**6), ("ids", lambda a: a[1:]), ("ids", lambda a: a - 1), ("number", lambda n: 3),
          ("number", lambda n: "3"),
          ("dim", lambda d: None), ("dim", lambda d: 10), ("version", lambda v: 2), ("arguments", lambda v: {}), ("arguments", lambda v: 5)]


@pytest.mark.parametrize("place", range(len(DAMAGE)))
def test_damaged_files_are_refused(place, tmp_path):
    name, change = DAMAGE[place]
    finder = DuplicateFinder(0.7)
    finder.add(planted(20, seed=2))
    finder.save(tmp_path / "stream")
    settings, arrays = files.load(tmp_path / "stream", "duplicate_finder")
    (settings if name in settings else arrays)[name] = change((settings if name in settings else arrays)[name])
    files.save(tmp_path / "stream", "duplicate_finder", settings, arrays)
    with pytest.raises(FormatError, match="stream"):
        DuplicateFinder.load(tmp_path / "stream")


def test_files_of_version_1_are_read():
    """Written by the release that had it first."""
    finder = DuplicateFinder.load(pathlib.Path(__file__).parents[1] / "golden" / "streams" / "v1.sets")
    assert repr(finder) == "DuplicateFinder(threshold=0.5, recall=0.9, n_hashes=64, seed=7, sets=5)"
    indptr, ids, similarity = finder.query([["a", "b", "c"], ["x", 1, b"y"], ["z"]])
    assert indptr.tolist() == [0, 2, 3, 3] and ids.tolist() == [0, 1, 3] and similarity.tolist() == [1.0, 0.5, 1.0]
    assert finder.add([["a", "b", "c", "e"]])[0].tolist() == [0]


def test_arguments():
    for arguments in ({"threshold": 0}, {"recall": 1.0}, {"n_hashes": 0}, {"seed": -1}, {"threshold": float("nan")}):
        with pytest.raises(ValueError):
            DuplicateFinder(**arguments)
    with pytest.raises(ValueError, match="more hashes"):
        DuplicateFinder(0.01, n_hashes=16)


def test_keys_come_back(tmp_path):
    """In answers of `add` and `query`, also after a file in the middle; copies need no key of their own for ever."""
    finder = DuplicateFinder(0.7)
    ids, similarity = finder.add([{"a", "b", "c"}, {"x"}, {"c", "b", "a"}, set()], keys=["one", "x", "copy", "empty"])
    assert ids.tolist() == [None, None, "one", None] and similarity.tolist() == [0, 0, 1, 0]
    finder.save(tmp_path / "stream")
    again = DuplicateFinder.load(tmp_path / "stream")
    for one in (finder, again, pickle.loads(pickle.dumps(again))):
        assert one.add([["a", "b", "c", "d"], ["x"]], keys=np.array(["long", "copy"]))[0].tolist() == ["one", "x"]
        indptr, ids, _ = one.query([{"a", "b", "c"}, {"z"}])
        assert indptr.tolist() == [0, 2, 2] and ids.tolist() == ["one", "long"] and len(one) == 6


def test_keys_that_do_not_fit_change_nothing():
    finder, plain = DuplicateFinder(0.7), DuplicateFinder(0.7)
    finder.add([{"a"}], keys=["one"])
    plain.add([{"a"}])
    for one, keys, error, message in (
            (finder, None, ValueError, "sets of this stream have keys"), (finder, ["one"], ValueError, "'one' is that"),
            (finder, ["two", "three"], ValueError, "2 keys came with 1 sets"), (finder, [2], TypeError, "strings"),
            (plain, ["two"], ValueError, "1 sets that came before have no keys")):
        with pytest.raises(error, match=message):
            one.add([{"b"}], keys=keys)
        assert len(one) == one.distinct == 1
    assert finder.add([{"a"}, {"b"}], keys=["two", "three"])[0].tolist() == ["one", None]
    empty = DuplicateFinder()
    assert len(empty.add([], keys=[])[0]) == 0 and empty.add([{"a"}])[0].tolist() == [-1]  # nothing came that has a key


def test_damaged_keys_are_refused(tmp_path):
    finder = DuplicateFinder(0.7)
    finder.add([{"a"}, {"b"}], keys=["one", "two"])
    finder.save(tmp_path / "stream")
    settings, arrays = files.load(tmp_path / "stream", "duplicate_finder")
    for name, wrong in (("key_ends", arrays["key_ends"][:1]), ("key_text", arrays["key_text"][:2]), ("key_ends", arrays["key_ends"][::-1])):
        files.save(tmp_path / "wrong", "duplicate_finder", settings, {**arrays, name: np.ascontiguousarray(wrong)})
        with pytest.raises(FormatError, match="keys"):
            DuplicateFinder.load(tmp_path / "wrong")
