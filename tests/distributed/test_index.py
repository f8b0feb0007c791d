"""The sharded index beside the local one."""

import os
import signal
import threading

import numpy as np
import pytest
from scipy import sparse

from mongoose_nb import LSHIndex as LocalIndex
from mongoose_nb.core.files import FormatError
from mongoose_nb.distributed import LSHIndex
from mongoose_nb.distributed.index_shard import shard_of

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
    for wrong, error in ((np.ones(7, bool), "one boolean for each"), ([np.arange(3)] * 4, "4 filters for 100 queries")):
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
