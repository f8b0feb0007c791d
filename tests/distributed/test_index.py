"""The sharded index beside the local one."""

import os
import signal

import numpy as np
import pytest
from scipy import sparse

from mongoose_nb import LSHIndex as LocalIndex
from mongoose_nb.core.files import FormatError
from mongoose_nb.distributed import LSHIndex
from mongoose_nb.distributed.index import shard_of

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
