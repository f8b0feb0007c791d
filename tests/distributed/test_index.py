"""The sharded index beside the local one."""

import os
import signal
import threading

import numpy as np
import pytest
from scipy import sparse

from mongoose_nb import LSHIndex as LocalIndex
from mongoose_nb.core import files
from mongoose_nb.core.files import FormatError
from mongoose_nb.distributed import LSHIndex
from mongoose_nb.distributed.index_shard import IndexShard, shard_of

pytest.importorskip("dask.distributed")
rng = np.random.default_rng(0)
CENTRES = rng.standard_normal((200, 24))
X = (CENTRES[rng.integers(0, 200, 6000)] + 0.5 * rng.standard_normal((6000, 24))).astype(np.float32)
Q = (CENTRES[rng.integers(0, 200, 100)] + 0.5 * rng.standard_normal((100, 24))).astype(np.float32)


def recall(found, true):
    return np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found.tolist(), true.tolist())])


def test_shards_are_even_and_stay():
    shard = shard_of(np.arange(-5000, 5000), 4)
    assert np.bincount(shard).min() > 2300 and (shard == shard_of(np.arange(-5000, 5000), 4)).all()


def test_answers_are_those_of_the_local_index(threads):
    local, sharded = LocalIndex("l2", 24, seed=1), LSHIndex("l2", 24, client=threads, seed=1)
    assert (local.add(X) == sharded.add(X)).all() and len(sharded) == 6000 and sharded.n_shards == 4
    for index in (local, sharded):
        index.remove(np.arange(0, 1000))
        index.update(np.arange(1000, 1200), X[:200])
        index.add(X[200:300], ids=np.arange(-300, -200))
    (true, far), (found, near) = (index.query(Q, 10, exact=True) for index in (local, sharded))
    assert (true == found).all() and (far == near).all()
    assert recall(sharded.query(Q, 10)[0], true) >= recall(local.query(Q, 10)[0], true)
    assert (sharded.ids == local.ids).all()
    some = [5000, -201, 1100]
    assert (sharded.get(some) == local.get(some)).all()
    assert sum(stats["rows"] for stats in sharded.stats()) == len(sharded) == len(local)


def test_equally_near_rows(threads):
    """Counted ids: the rows that were added first, as in the local index. Own ids: what each shard got first, and of these the lower id;
    after rows were removed, some of the equally near ones."""
    local, sharded = LocalIndex("l2", 24), LSHIndex("l2", 24, client=threads, shards=2)
    for index in (local, sharded):
        index.add(np.repeat(X[:1], 6, 0))
        index.add(np.repeat(X[:1], 4, 0))
    for k in (1, 3, 7):
        assert (local.query(X[:1], k, exact=True)[0] == sharded.query(X[:1], k, exact=True)[0]).all()
    own, ids = LSHIndex("l2", 24, client=threads, shards=2), np.array([60, 50, 40, 30, 20, 10])
    own.add(np.repeat(X[:1], 6, 0), ids=ids)
    for k in (1, 2, 3, 6):
        first = np.concatenate([ids[shard_of(ids, 2) == i][:k] for i in range(2)])
        assert own.query(X[:1], k, exact=True)[0].tolist() == [np.sort(first)[:k].tolist()]
    assert own.radius(X[:1], 0.1)[1].tolist() == np.sort(ids).tolist()
    sharded.remove([0, 3])
    sharded.add(np.repeat(X[:1], 2, 0))
    found, far = sharded.query(X[:1], 5, exact=True)
    assert (np.diff(found[0]) > 0).all() and found.min() > 0 and (far == far[0, 0]).all()


def test_a_closed_index_says_so(threads, tmp_path):
    for options in ({}, {"checkpoint": tmp_path}):
        index = LSHIndex("l2", 24, client=threads, shards=2, **options)
        index.add(X[:50])
        index.close()
        index.close()
        for name, *arguments in (("query", Q, 3), ("add", X[:5]), ("remove", [1]), ("update", [1], X[:1]), ("get", [1]), ("radius", Q, 1.0),
                                 ("candidates", Q), ("save", tmp_path / "a"), ("stats",), ("__contains__", 1), ("rebuild",), ("tune", X)):
            with pytest.raises(RuntimeError, match="was closed, and its shards have left"):
                getattr(index, name)(*arguments)
        assert len(index) == 50
    again = LSHIndex.load(tmp_path, client=threads)
    assert len(again) == 50 and len(again.query(Q, 3)[0]) == len(Q)


def test_queries_beside_changes(threads):
    """A thread adds, changes and removes rows; another sees all rows that stay, and never a part of a change."""
    index, stop, seen = LSHIndex("l2", 24, client=threads, shards=3), threading.Event(), []
    kept = index.add(X[:300])
    want = index.query(Q[:10], 5, exact=True)

    def change():
        while not stop.is_set():
            ids = index.add(Q[:10])
            index.update(ids, X[:10] + 100)
            index.remove(ids)
            seen.append(len(ids))

    writer = threading.Thread(target=change)
    writer.start()
    try:
        for _ in range(8):
            ids, far = index.query(Q[:10], 15, exact=True)
            found = far[:, 0] < 1e-3
            assert found.all() or not found.any()
            for row, first in zip(ids, want[0]):
                assert row[np.isin(row, kept)][:5].tolist() == first.tolist()
    finally:
        stop.set()
        writer.join()
    assert seen and len(index) == 300
    assert (index.query(Q[:10], 5, exact=True)[0] == want[0]).all()


@pytest.fixture(scope="module")
def pair(threads):
    """A local index and one in shards, with two replicas."""
    local, sharded = LocalIndex("l2", 24, seed=1), LSHIndex("l2", 24, client=threads, seed=1, shards=2, replicas=2)
    for index in (local, sharded):
        index.add(X[:3000])
        index.remove(np.arange(0, 500))
    assert len(set(sharded.workers)) == 4 and sum(stats["rows"] for stats in sharded.stats()) == 2 * len(local)
    return local, sharded


@pytest.mark.parametrize("allowed", [
    np.arange(400, 900), [], list(range(600, 640)), lambda ids: ids % 7 == 0, np.arange(2500) % 3 == 0,
    [np.arange(i, 3000, 11) for i in range(100)], [None if i % 2 else (lambda ids: ids > 2900) for i in range(100)],
    np.arange(2500) % np.arange(1, 101)[:, None] == 0], ids=["ids", "none", "list", "function", "mask", "each", "mixed", "masks"])
def test_filters_are_those_of_the_local_index(pair, allowed):
    (true, far), (found, near) = (index.query(Q, 5, exact=True, allowed=allowed) for index in pair)
    assert (true == found).all() and (far == near).all()


def test_radius_is_that_of_the_local_index(pair):
    for r in (0.0, 3.0, np.linspace(0, 6, 100)):
        true, found = (index.radius(Q, r, exact=True) for index in pair)
        assert (true[0] == found[0]).all() and (true[2] == found[2]).all() and true[0][-1] >= 0
        order = np.lexsort((true[1], true[2], np.repeat(np.arange(100), np.diff(true[0]))))
        assert (true[1][order] == found[1]).all()
    one, _, _ = pair[1].radius(Q[0], 3.0, exact=True)
    assert len(one) == 2
    for wrong, error in ((-1.0, "r"), (np.nan, "r"), (np.ones(3), "r")):
        with pytest.raises((ValueError, TypeError), match=error):
            pair[1].radius(Q, wrong)
    for wrong, error in ((np.ones(7, bool), "one for each of the 2500 ids"), ([np.arange(3)] * 4, "4 filters for 100 queries")):
        with pytest.raises(ValueError, match=error):
            pair[1].query(Q, 3, allowed=wrong)


def test_replicas_share_queries_and_take_changes(threads, tmp_path):
    index = LSHIndex("cosine", 24, client=threads, shards=2, replicas=2, checkpoint=tmp_path, seed=3)
    plain = LSHIndex("cosine", 24, client=threads, shards=2, seed=3)
    for one in (index, plain):
        one.add(X[:800])
        one.update([5, 6], X[900:902])
        one.remove([7])
    for n in (0, 1, 3, 100):
        assert all((a == b).all() for a, b in zip(index.query(Q[:n], 4), plain.query(Q[:n], 4)))
    assert (index.get([5, 9]) == plain.get([5, 9])).all() and (index.ids == plain.ids).all()
    index.save(tmp_path)
    again = LSHIndex.load(tmp_path, client=threads, replicas=3)
    assert all((a == b).all() for a, b in zip(again.query(Q, 4), plain.query(Q, 4))) and len(again.workers) == 6


def test_tuning(threads, tmp_path):
    """All shards have the setting; a shard that comes back, too."""
    index = LSHIndex("l2", 24, client=threads, shards=2, checkpoint=tmp_path, seed=1)
    tuned = index.tune(X, recall=0.9, k=5)
    index.add(X)
    found = {(stats["K"], stats["L"], stats["probes"]) for stats in index.stats()}
    assert found == {(tuned.K, tuned.L, tuned.probes)} and tuned.reached
    truth, before = index.query(Q, 5, exact=True)[0], index.query(Q, 5)
    assert recall(before[0], truth) > 0.85
    index._shards.move(0, index.workers[1])
    assert all((a == b).all() for a, b in zip(before, index.query(Q, 5)))
    with pytest.raises(ValueError, match="recall"):
        index.tune(X, recall=2.0)


def test_errors_change_nothing(threads):
    index = LSHIndex("cosine", 24, client=threads, shards=3)
    one = LSHIndex("cosine", 24, client=threads, shards=8)
    assert one.add(X[0]).tolist() == [0] and len(one.add(sparse.csr_matrix(X[:30]))) == 30  # the first row decides the form
    assert one.get(np.arange(31)).shape == (31, 24)
    assert index.query(Q[:2], 3)[0].tolist() == [[-1] * 3] * 2
    index.add(X[:50])
    before = index.query(Q, 5, exact=True)
    for call, error, text in [
            (lambda: index.add(X[:3, :5]), ValueError, "24"), (lambda: index.add(np.full((1, 24), np.nan)), ValueError, "NaN|finite"),
            (lambda: index.add(X[:2], ids=[49, 900]), ValueError, "id 49 is in the index"),
            (lambda: index.add(X[:2], ids=[900, 900]), ValueError, "repeat"), (lambda: index.add(X[:2], ids=[900]), ValueError, "1 ids"),
            (lambda: index.add(X[:1], ids=[-1]), ValueError, "-1"), (lambda: index.remove([3, 77]), KeyError, "77"),
            (lambda: index.update([3, 77], X[:2]), KeyError, "77"), (lambda: index.get([77]), KeyError, "77"),
            (lambda: index.query(Q, 0), ValueError, "k"), (lambda: index.checkpoint(), ValueError, "checkpoint=")]:
        with pytest.raises(error, match=text):
            call()
    after = index.query(Q, 5, exact=True)
    assert len(index) == 50 and all((a == b).all() for a, b in zip(before, after))
    assert index.add(X[:0]).tolist() == []
    with pytest.raises(TypeError, match="client must be"):
        LSHIndex("l2", 3, client=7)


KEYS = np.array([f"row {i}" for i in range(len(X))], object)


def test_keys_are_those_of_the_local_index(threads, tmp_path):
    """The same answers, errors and files, with strings in the place of ids."""
    local, sharded = LocalIndex("l2", 24, seed=1), LSHIndex("l2", 24, client=threads, shards=3, checkpoint=tmp_path / "own")
    assert sharded.keys is None and "row 1" not in sharded
    for index in (local, sharded):
        assert index.add(X[:600], keys=KEYS[:600]).tolist() == KEYS[:600].tolist()
        index.remove(KEYS[:50])
        index.update(["row 99", "row 77"], X[[0, 1]])
        assert index.add(X[0], keys="row 0").tolist() == ["row 0"]
    sharded.save(tmp_path / "other")
    again = [LSHIndex.load(tmp_path / name, client=threads, checkpoint=False) for name in ("own", "other")]
    odd = np.isin(local.keys, KEYS[1::2])
    for index in (sharded, again[1]):
        assert index.keys.tolist() == local.keys.tolist() and (index.ids == local.ids).all()
        for allowed in (None, odd, KEYS[100:900], lambda keys: np.isin(keys, KEYS[:70]), [KEYS[i:700:9] for i in range(20)]):
            (true, far), (found, near) = (one.query(Q[:20], 5, exact=True, allowed=allowed) for one in (local, index))
            assert true.tolist() == found.tolist() and (far == near).all()
        assert index.query(Q[0], 600, exact=True)[0][0, -1] is None
        true, found = (one.radius(Q[:9], 4.0, exact=True) for one in (local, index))
        assert (true[0] == found[0]).all() and set(true[1]) == set(found[1]) and len(true[1])
        assert (index.get(["row 99", "row 0"]) == local.get(["row 99", "row 0"])).all()
        assert "row 99" in index and "row 3" not in index and 5 not in index
    assert len(again[0]) >= 0.7 * len(local)
    before, far = sharded.query(Q, 3, exact=True)
    for call in (lambda index: index.add(X[:2], keys=["new", "row 99"]), lambda index: index.add(X[:2], keys=["a", "a"]),
                 lambda index: index.add(X[:1], keys=[1]), lambda index: index.add(X[:1]), lambda index: index.add(X[:1], keys=["a", "b"]),
                 lambda index: index.add(X[:1], ids=[7], keys=["a"]), lambda index: index.remove(["row 99", "gone"]),
                 lambda index: index.update(["gone"], X[:1]), lambda index: index.update(["row 99"], X[:2]), lambda index: index.get([1])):
        errors = []
        for index in (local, sharded):
            with pytest.raises((ValueError, TypeError, KeyError)) as error:
                call(index)
            errors.append((error.type, str(error.value)))
        assert errors[0] == errors[1]
    assert sharded.query(Q, 3, exact=True)[0].tolist() == before.tolist() and "new" not in sharded
    numbered = LSHIndex("l2", 24, client=threads, shards=2)
    numbered.add(X[:3])
    with pytest.raises(ValueError, match="the 3 rows of this index have ids"):
        numbered.add(X[:1], keys=["a"])


def test_files_with_keys_have_a_version_of_their_own(threads, tmp_path):
    """Earlier releases read what has none; keys that do not fit the rows are refused."""
    for name, keys in (("ids", None), ("keys", ["a", "ä", "\ud800"])):
        index = LSHIndex("l2", 24, client=threads, shards=2)
        index.add(X[:3], keys=keys)
        index.save(tmp_path / name)
        saved, arrays = files.load(tmp_path / name / "index.mongoose", "distributed index")
        assert saved["version"] == (1 if keys is None else 2)
        assert (LSHIndex.load(tmp_path / name, client=threads).keys is None) == (keys is None)
    files.save(tmp_path / "keys" / "index.mongoose", "distributed index", saved, {**arrays, "ids": arrays["ids"] + 1})
    with pytest.raises(FormatError, match="the saved keys do not fit"):
        LSHIndex.load(tmp_path / "keys", client=threads)


def test_merge_candidates_and_rebuild(threads):
    local, other, sharded = LocalIndex("l2", 24, seed=1), LocalIndex("l2", 24), LSHIndex("l2", 24, client=threads, shards=3, seed=1)
    other.add(X[500:700], ids=np.arange(500, 700))
    for index in (local, sharded):
        index.add(X[:500])
        assert index.merge(other).tolist() == list(range(500, 700))
        assert index.merge(other, renumber=True)[0] == 700
        with pytest.raises(ValueError, match="id 500 is in the index already"):
            index.merge(other)
        index.rebuild(seed=3)
    assert 700 in sharded and 900 not in sharded and "700" not in sharded and (sharded.metric, sharded.dim) == ("l2", 24)
    assert all((a == b).all() for a, b in zip(local.query(Q, 5, exact=True), sharded.query(Q, 5, exact=True)))
    (bounds, ids), (true, all_ids) = sharded.candidates(Q[:9]), local.candidates(Q[:9])
    assert (bounds == true).all() and (ids == all_ids).all()  # few rows: all of them
    for wrong in (LocalIndex("l2", 23), LocalIndex("ip", 24)):
        wrong.add(np.ones((1, wrong.dim)))
        with pytest.raises(ValueError, match="this index has metric"):
            sharded.merge(wrong)
    with pytest.raises(TypeError, match="one machine"):
        sharded.merge(sharded)
    keyed = LocalIndex("l2", 24)
    keyed.add(X[:5], keys=KEYS[:5])
    with pytest.raises(ValueError, match="have ids"):
        sharded.merge(keyed)
    empty = LSHIndex("l2", 24, client=threads, shards=3)
    assert empty.merge(keyed).tolist() == KEYS[:5].tolist() and empty.query(X[3], 1)[0].tolist() == [["row 3"]]


@pytest.mark.parametrize("what", ["add", "update", "remove"])
def test_a_change_that_fails_in_one_shard_is_taken_back(threads, what, monkeypatch):
    index = LSHIndex("l2", 24, client=threads, shards=4)
    index.add(X[:200])
    before, ids = index.query(Q, 5, exact=True), np.arange(200, 240) if what == "add" else np.arange(40)
    kept, calls = IndexShard._change, []

    def fail(self, *change):
        calls.append(change)
        if len(calls) == 3:
            raise MemoryError("no room")
        kept(self, *change)

    monkeypatch.setattr(IndexShard, "_change", fail)
    with pytest.raises(MemoryError, match="no room"):
        getattr(index, what)(*([X[200:240], ids] if what == "add" else [ids, X[200:240]] if what == "update" else [ids]))
    monkeypatch.undo()
    assert len(calls) > 4 and len(index) == 200 and (index.ids == np.arange(200)).all()
    assert all((a == b).all() for a, b in zip(before, index.query(Q, 5, exact=True)))


@pytest.mark.parametrize("storage", ["float16", "int8"])
def test_compact_rows(threads, storage):
    """Far from zero, too, where each shard has an origin of its own: answers are those of the local index up to rounding."""
    for shift in (0, 1000):
        local, sharded = LocalIndex("l2", 24, storage=storage), LSHIndex("l2", 24, client=threads, shards=3, storage=storage)
        for index in (local, sharded):
            index.add(X[:500] + shift)
        (true, far), (found, near) = (index.query(Q + shift, 5, exact=True) for index in (local, sharded))
        assert recall(found, true) > 0.95 and np.allclose(far, near, atol=0.05)
        assert {stats["kind"] for stats in sharded.stats()} == {storage}


def test_sparse_rows_files_and_rebalancing(threads, tmp_path):
    rows = sparse.random(500, 40, 0.2, "csr", np.float32, np.random.RandomState(0))
    index = LSHIndex("jaccard", 40, client=threads, shards=8, checkpoint=tmp_path / "a", checkpoint_rows=100)
    index.add(rows)
    index.remove([3])
    index.save(tmp_path / "b")
    with pytest.raises(FileExistsError, match="already"):
        LSHIndex("jaccard", 40, client=threads, checkpoint=tmp_path / "a")
    index.checkpoint()
    for name in ("a", "b"):
        again = LSHIndex.load(tmp_path / name, client=threads)
        assert len(again) == 499 and again.rebalance() == 0
        assert all((x == y).all() for x, y in zip(again.query(rows[:20], 3), index.query(rows[:20], 3)))
        assert again.add(rows[:1]).tolist() == [500]
    assert len(list((tmp_path / "b").iterdir())) == 9  # older files are gone
    with pytest.raises((FormatError, FileNotFoundError)):
        LSHIndex.load(tmp_path, client=threads)


@pytest.mark.slow
def test_most_rows_survive_the_client(threads, tmp_path):
    """The files hold four fifths of the rows or more, whatever the steps in which rows came, and all of them after `close`."""
    index = LSHIndex("l2", 24, client=threads, shards=2, checkpoint=tmp_path / "index")
    for part in np.split(X[:60], [40, 41, 42, 55]):
        index.add(part)
        there = len(LSHIndex.load(tmp_path / "index", client=threads, checkpoint=False))
        assert 0.8 * len(index) <= there <= len(index)
    index.close()
    assert len(LSHIndex.load(tmp_path / "index", client=threads)) == 60


def test_replicas_need_workers(threads):
    with pytest.raises(ValueError, match="replicas=5 needs as many workers; the cluster has 4"):
        LSHIndex("l2", 24, client=threads, replicas=5)


def test_a_shard_comes_back(processes, tmp_path):
    index = LSHIndex("l2", 24, client=processes, checkpoint=tmp_path, checkpoint_rows=2500)
    bare = LSHIndex("l2", 24, client=processes, shards=2)
    bare.add(X[:10])
    index.add(X[:3000])
    index.add(X[3000:4000])
    index.remove([1, 2])
    before = index.query(Q, 10)
    pids = processes.run(os.getpid)
    os.kill(pids[index.workers[0]], signal.SIGKILL)
    ids = index.add(X[4000:5000])
    assert ids[0] == 4000 and index.lost == 1 and len(index) == 4998
    index.remove(ids)
    assert all((a == b).all() for a, b in zip(before, index.query(Q, 10)))
    with pytest.raises(RuntimeError, match="checkpoint=DIRECTORY"):
        bare.query(Q, 3)
