"""Rows with keys: strings in the place of ids, everywhere."""

import pickle

import numpy as np
import pytest

from mongoose_nb.core.files import FormatError
from mongoose_nb.search import LSHIndex
from mongoose_nb.search.ids import IdMap
from mongoose_nb.search.names import KeyTable, names_from_state
from mongoose_nb.testing import check_index

DIM = 16
X = np.random.default_rng(0).standard_normal((300, DIM)).astype(np.float32)
KEYS = [f"row {i}" for i in range(300)]


class Keyed(LSHIndex):
    """Takes and gives integers; inside, rows have keys."""

    def add(self, X, ids=None):
        ids = np.arange(len(self), len(self) + len(X)) if ids is None else ids
        return self.numbers(super().add(X, keys=self.strings(ids)))

    def update(self, ids, X):
        super().update(self.strings(ids), X)

    def remove(self, ids):
        super().remove(self.strings(ids))

    def query(self, Q, k):
        ids, distances = super().query(Q, k)
        return self.numbers(ids), distances

    def candidates(self, Q):
        indptr, ids = super().candidates(Q)
        return indptr, self.numbers(ids)

    def __contains__(self, id):
        return super().__contains__(f"{id}é")

    @staticmethod
    def strings(ids):
        return [f"{id}é" for id in np.asarray(ids).tolist()]

    @staticmethod
    def numbers(keys):
        if keys.dtype != object:  # an index without rows does not know that they will have keys
            return keys
        return np.array([-1 if key is None else int(key[:-1]) for key in keys.ravel()], np.int64).reshape(keys.shape)


@pytest.mark.parametrize("metric", ["cosine", "ip", "jaccard"])
def test_contract(metric):
    report = check_index(lambda: Keyed(metric, 32, train_size=40), metric=metric, dim=32, n=160, n_queries=30, k=5, operations=15)
    assert set(report.skipped) <= {"threads"}


@pytest.fixture
def index():
    index = LSHIndex("l2", DIM, train_size=100)
    index.add(X, keys=KEYS)
    return index


def test_answers_are_the_keys_of_the_ids(index):
    plain = LSHIndex("l2", DIM, train_size=100)
    plain.add(X)
    for mine, theirs in ((index.query(X[:20], 5)[0], plain.query(X[:20], 5)[0]), (index.candidates(X[:20])[1], plain.candidates(X[:20])[1]),
                         (index.radius(X[:20], 4.0)[1], plain.radius(X[:20], 4.0)[1]), (index.keys, plain.ids)):
        assert mine.dtype == object and mine.tolist() == np.array(KEYS, object)[theirs].tolist()
    assert plain.keys is None
    np.testing.assert_array_equal(index.get(["row 5", "row 2"]), X[[5, 2]])
    np.testing.assert_array_equal(index.get("row 5"), X[5:6])
    assert "row 5" in index and "row 300" not in index and 5 not in index
    few = LSHIndex("l2", DIM)
    assert few.add(X[:2], keys=np.array(["a", "b"])).tolist() == ["a", "b"]
    assert few.query(X[1], 3)[0].tolist() == [["b", "a", None]]


def test_update_and_remove_by_key(index):
    index.update(["row 7", "row 3"], X[[3, 7]])
    index.remove(["row 1", "row 2"])
    assert index.query(X[[3, 7]], 1)[0].ravel().tolist() == ["row 7", "row 3"] and len(index) == 298
    assert index.add(X[1], keys="row 2").tolist() == ["row 2"]
    assert index.query(X[1], 1)[0].item() == "row 2" and "row 1" not in index
    for ids, refusal in ((["row 3", "row 1"], KeyError), (["row 3", "row 3"], ValueError), ([3], TypeError)):
        with pytest.raises(refusal):
            index.remove(ids)
        with pytest.raises(refusal):
            index.update(ids, X[:len(ids)])
    assert len(index) == 299 and "row 3" in index


def test_filters(index):
    allowed = ["row 4", "row 9", "unknown"]
    found = index.query(X[:5], 3, allowed=allowed)[0]
    assert set(found.ravel()) == {"row 4", "row 9", None}
    mask = np.isin(index.keys, allowed)
    for other in (mask, np.array(allowed), lambda keys: np.isin(keys.astype(str), allowed), [allowed] * 5):
        np.testing.assert_array_equal(index.query(X[:5], 3, allowed=other)[0], found)


def test_refusals_leave_the_index_as_it_was(index):
    before = pickle.dumps(index)
    for arguments, refusal, message in (
            ({"X": X[:1]}, ValueError, "give keys="), ({"X": X[:1], "ids": [1000]}, ValueError, "give keys="),
            ({"X": X[:1], "ids": [1000], "keys": ["new"]}, ValueError, "both ids and keys"),
            ({"X": X[:2], "keys": ["new", "row 1"]}, ValueError, "key 'row 1' is in the index already"),
            ({"X": X[:2], "keys": ["new", "new"]}, ValueError, "'new' comes more than once"),
            ({"X": X[:2], "keys": ["new"]}, ValueError, "1 keys came with 2 rows"),
            ({"X": X[:1], "keys": [5]}, TypeError, "keys must be strings"),
            ({"X": X[:1] * np.nan, "keys": ["new"]}, ValueError, "NaN")):
        with pytest.raises(refusal, match=message):
            index.add(**arguments)
    assert pickle.dumps(index) == before
    plain = LSHIndex("l2", DIM)
    plain.add(X[:3])
    with pytest.raises(ValueError, match="3 rows of this index have ids"):
        plain.add(X[:1], keys=["a"])
    with pytest.raises(TypeError, match="keys="):
        plain.remove(["a"])


def test_what_fails_inside_forgets_the_keys(index, monkeypatch):
    before = pickle.dumps(index)

    def fail(*args, **more):
        raise MemoryError

    monkeypatch.setattr(index.builder.tables, "insert", fail)
    with pytest.raises(MemoryError):
        index.add(X[:1], keys=["new"])
    monkeypatch.undo()
    assert "new" not in index and index.keys.tolist() == KEYS and len(before) > 0
    index.add(X[:1], keys=["new"])


def test_merge(index):
    other = LSHIndex("l2", DIM)
    other.add(X[:2] + 1, keys=["a", "b"])
    assert index.merge(other).tolist() == ["a", "b"] and index.query(X[1] + 1, 1)[0].item() == "b"
    with pytest.raises(ValueError, match="'a' is in the index already"):
        index.merge(other, renumber=True)
    empty = LSHIndex("l2", DIM)
    empty.merge(other)
    assert empty.keys.tolist() == ["a", "b"]
    plain = LSHIndex("l2", DIM)
    plain.add(X[:2])
    for one, another in ((index, plain), (plain, index)):
        n = len(one)
        with pytest.raises(ValueError, match="have ids"):
            one.merge(another)
        assert len(one) == n


def test_files(index, tmp_path):
    index.remove(["row 0"])
    index.add(X[:2], keys=["", "ä\ud800\0"])
    index.save(tmp_path / "index")
    for again in (LSHIndex.load(tmp_path / "index"), LSHIndex.load(tmp_path / "index", mmap=True), pickle.loads(pickle.dumps(index))):
        assert again.keys.tolist() == index.keys.tolist()
        np.testing.assert_array_equal(again.query(X[:9], 5)[0], index.query(X[:9], 5)[0])
    again = LSHIndex.load(tmp_path / "index")
    again.remove("")
    again.add(X[:1], keys="row 0")
    assert len(again) == 301 and "" not in again


def test_damaged_keys_are_refused(index):
    ids = IdMap()
    ids.add(np.arange(3))
    table = KeyTable()
    table.keep(np.arange(3), ["a", "bb", "c"])
    state = table.state()
    assert names_from_state(state, ids).outward(np.array([2, 1, -1])).tolist() == ["c", "bb", None]
    for name, wrong in (("ends", np.array([1, 3], np.int64)),
                        ("ends", np.array([1, 3, 9], np.int64)), ("ends", np.array([3, 1, 4], np.int64)),
                        ("ids", np.array([0, 1, 1], np.int64)), ("text", np.full(4, 255, np.uint8)), ("text", np.full(4, 97, np.int8))):
        with pytest.raises(ValueError):
            names_from_state({**state, name: wrong}, ids)
    with pytest.raises(FormatError):
        LSHIndex.load(__file__)
