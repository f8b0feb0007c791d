"""LSHIndex: one contract for every metric and form of rows."""

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import naive_search as naive
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mongoose_nb import hashing
from mongoose_nb.core import files as io
from mongoose_nb.core.files import FormatError
from mongoose_nb.search import LSHIndex
from mongoose_nb.search.snapshot import Snapshot

DIM = 48
CASES = [("cosine", False), ("l2", False), ("ip", False), ("hamming", False), ("jaccard", True), ("cosine", True), ("ip", True)]
TOLERANCE = {"rtol": 1e-4, "atol": 2e-4}


@pytest.fixture(params=CASES, ids=lambda c: f"{c[0]}-{'csr' if c[1] else 'dense'}", scope="module")
def case(request):
    """(metric, rows, queries, an index over the rows with tables)."""
    metric, sparse = request.param
    X, Q = naive.data(metric, 400, DIM, sparse), naive.data(metric, 30, DIM, sparse, seed=1)
    index = LSHIndex(metric, DIM, train_size=100, n_threads=1)
    index.add(X)
    return metric, X, Q, index


def copy(index):
    """Another index with the same content."""
    return pickle.loads(pickle.dumps(index))


def same(a, b):
    """Equal to the bit."""
    assert all(x.dtype == y.dtype and np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def assert_nearest(metric, ids, found, want, k):
    """Found distances (n, k) are the k least of `want` (n, rows), and `ids` have them; equally near rows may stand for each other."""
    np.testing.assert_allclose(found, np.sort(want, axis=1)[:, :k], **TOLERANCE)
    np.testing.assert_allclose(np.take_along_axis(want, ids, axis=1), found, **TOLERANCE)
    assert all(len(set(row)) == k for row in ids.tolist())


def test_an_exact_query_is_brute_force(case):
    metric, X, Q, index = case
    ids, found = index.query(Q, 7, exact=True)
    assert ids.dtype == np.int64 and found.dtype == np.float32 and ids.shape == found.shape == (30, 7)
    assert_nearest(metric, ids, found, naive.distances(metric, Q, X), 7)


def test_an_exact_query_leaves_out_the_room_for_rows_to_come():
    """Many queries go through a matrix product, of rows alone: not of the room that is left behind them."""
    for metric, sparse in CASES:
        X = naive.data(metric, 2101, DIM, sparse)
        index = LSHIndex(metric, DIM, train_size=10**6)
        index.add(X[:2100])
        index.add(X[2100:])
        assert_nearest(metric, *index.query(X[-40:], 3, exact=True), naive.distances(metric, X[-40:], X), 3)


@pytest.mark.parametrize(("dim", "spread", "apart"), [(2, 0.03, 80.0), (32, 0.03, 100.0), (32, 1e-3, 5.0)])
@pytest.mark.parametrize("storage", [None, "float16"])
def test_an_exact_query_of_blocks_far_apart(dim, spread, apart, storage):
    """The matrix product of many queries rounds away the differences inside of a block: 0.55 of the nearest were found."""
    rng = np.random.default_rng(0)
    X = (rng.normal(0, spread, (4000, dim)) + np.where(np.arange(4000) % 2, apart, -apart)[:, None]).astype(np.float32)
    index = LSHIndex("l2", dim, storage=storage)
    index.add(X)
    stored = index.get(index.ids)
    ids, found = index.query(stored[::40], 5, exact=True)
    want = np.sqrt(np.square(stored[::40, None].astype(np.float64) - stored[None]).sum(axis=2))
    np.testing.assert_allclose(found, np.sort(want, axis=1)[:, :5], rtol=1e-4, atol=1e-6)
    one = [index.query(q, 5, exact=True)[0][0] for q in stored[:400:40]]
    np.testing.assert_array_equal(ids[:10], one)


def test_an_exact_query_of_equal_rows_gives_the_first():
    """More equal rows than a matrix product proposes."""
    index = LSHIndex("cosine", 8)
    index.add(np.repeat(np.eye(8, dtype=np.float32)[:2], 1500, axis=0))
    ids, found = index.query(np.repeat(np.eye(8, dtype=np.float32)[:2], 20, axis=0), 3, exact=True)
    np.testing.assert_array_equal(ids, np.repeat([[0, 1, 2], [1500, 1501, 1502]], 20, axis=0))
    assert (found == 0).all()


def test_nearly_parallel_rows_have_no_distance_below_zero():
    X = (1 + 1e-4 * np.random.default_rng(0).standard_normal((300, 32))).astype(np.float32)
    index = LSHIndex("cosine", 32)
    index.add(X)
    assert index.query(X, 5, exact=True)[1].min() >= 0 and index.query(X[:3], 5)[1].min() >= 0


def test_a_directory_is_no_file_of_an_index(tmp_path):
    with pytest.raises(FormatError, match="is a directory.*distributed.LSHIndex.load"):
        LSHIndex.load(tmp_path)


def test_more_places_than_memory_are_refused():
    index = LSHIndex("l2", 2)
    index.add(np.eye(2, dtype=np.float32))
    assert index.query(np.eye(2), 1000)[0].shape == (2, 1000)
    with pytest.raises(ValueError, match=r"k=1,000,000,000 is more than the 2 rows of the index, .* give k=2 or less"):
        index.query(np.eye(2), 10**9)


def test_few_rows_are_searched_exactly():
    for metric, sparse in CASES:
        X, Q = naive.data(metric, 60, DIM, sparse), naive.data(metric, 5, DIM, sparse, seed=1)
        index = LSHIndex(metric, DIM)
        index.add(X)
        ids, found = index.query(Q, 60)
        assert_nearest(metric, ids, found, naive.distances(metric, Q, X), 60)
        assert index.stats()["buckets"] is None


def test_what_is_found_has_its_distance_and_is_a_candidate(case):
    metric, X, Q, index = case
    ids, found = index.query(Q, 10)
    want = naive.distances(metric, Q, X)
    indptr, candidates = index.candidates(Q)
    assert indptr[0] == 0 and indptr[-1] == len(candidates) and indptr.dtype == candidates.dtype == np.int64
    for i, (row, values) in enumerate(zip(ids, found)):
        mine = candidates[indptr[i]:indptr[i + 1]]
        assert (np.diff(mine) > 0).all()
        there = row >= 0
        assert set(row[there].tolist()) <= set(mine.tolist()) and (values[~there] == np.inf).all()
        assert there.sum() == min(10, len(mine)) and (np.diff(values[there]) >= 0).all()
        np.testing.assert_allclose(values[there], want[i, row[there]], **TOLERANCE)


def test_all_candidates_reranked_give_their_nearest(case):
    metric, X, Q, index = case
    index = copy(index)
    index.rerank = None
    ids, found = index.query(Q, 5)
    want = naive.distances(metric, Q, X)
    indptr, candidates = index.candidates(Q)
    for i in range(len(ids)):
        mine = np.sort(want[i, candidates[indptr[i]:indptr[i + 1]]])[:5]
        np.testing.assert_allclose(found[i][:len(mine)], mine, **TOLERANCE)


def test_recall(case):
    """Clusters are found: at least three quarters of the true neighbours. (Without hashing that works, a twentieth.)"""
    metric, X, Q, index = case
    ids, _ = index.query(Q, 10)
    truth, far = index.query(Q, 10, exact=True)
    want = naive.distances(metric, Q, X)
    hits = [np.mean(want[i, row[row >= 0]] <= far[i, -1] + 1e-4) * np.mean(row >= 0) for i, row in enumerate(ids)]
    assert np.mean(hits) > 0.75
    assert np.diff(index.candidates(Q)[0]).mean() < 350


def test_a_batch_equals_single_queries_and_threads_do_not_matter(case):
    metric, X, Q, index = case
    Q = sp.vstack([Q] * 4, "csr") if sp.issparse(Q) else np.concatenate([Q] * 4)
    want = index.query(Q, 6)
    for n_threads in (2, 3):
        same(index.query(Q, 6, n_threads=n_threads), want)
    singles = [index.query(Q[i:i + 1], 6) for i in range(30)]
    same([np.concatenate([s[j] for s in singles]) for j in (0, 1)], [w[:30] for w in want])
    if not sp.issparse(Q):
        same(index.query(Q[0], 6), [w[:1] for w in want])


def test_forms_of_input(case):
    metric, X, Q, index = case
    want = index.query(Q, 6)
    if sp.issparse(Q):
        shuffled = sp.csr_matrix((Q.data[::-1], Q.indices[::-1], [0, Q.nnz]), shape=(1, DIM))  # unsorted, with repeats
        plain = shuffled.copy()
        plain.sum_duplicates()
        same(index.query(shuffled, 6), index.query(plain, 6))
        same(index.query(Q.toarray(), 6), want)
        same(index.query(sp.csr_array(Q), 6), want)
        with pytest.raises(TypeError, match="csc"):
            index.query(Q.tocsc(), 6)
        return
    frozen = Q.copy()
    frozen.setflags(write=False)
    same(index.query(frozen, 6), want)
    same(index.query(np.asfortranarray(Q), 6), want)
    same(index.query(Q.astype(np.float64), 6), want)
    same(index.query(Q.tolist(), 6), want)
    same(index.query(sp.csr_matrix(Q), 6), want)


def test_no_queries_and_no_rows(case):
    metric, X, Q, index = case
    assert index.query(Q[:0], 3)[0].shape == (0, 3)
    indptr, ids, found = index.radius(Q[:0], 1.0)
    assert indptr.tolist() == [0] and not len(ids)
    empty = LSHIndex(metric, DIM)
    ids, found = empty.query(Q, 2)
    assert (ids == -1).all() and (found == np.inf).all() and len(empty) == 0 and 0 not in empty
    assert empty.candidates(Q)[0].tolist() == [0] * 31 and empty.radius(Q, 1)[0].tolist() == [0] * 31
    assert len(empty.add(X[:0])) == 0
    empty.add(X)
    empty.remove(empty.ids)
    assert (empty.query(Q, 2)[0] == -1).all()


def test_more_neighbours_than_rows(case):
    metric, X, Q, index = case
    small = LSHIndex(metric, DIM, train_size=5)
    small.add(X[:20])
    ids, found = small.query(Q, 50, exact=True)
    assert (np.sort(ids[:, :20]) == np.arange(20)).all() and (ids[:, 20:] == -1).all() and np.isinf(found[:, 20:]).all()
    ids, found = small.query(Q, 50)
    assert ((ids >= 0) == np.isfinite(found)).all()


def test_radius(case):
    metric, X, Q, index = case
    want = naive.distances(metric, Q, X)
    r = float(np.quantile(want, 0.1)) + 1e-3
    indptr, ids, found = index.radius(Q, r, exact=True)
    assert indptr.dtype == ids.dtype == np.int64 and found.dtype == np.float32
    for i in range(30):
        mine, values = ids[indptr[i]:indptr[i + 1]], found[indptr[i]:indptr[i + 1]]
        assert set(mine.tolist()) >= set(np.flatnonzero(want[i] < r - 1e-3).tolist())
        assert set(mine.tolist()) <= set(np.flatnonzero(want[i] < r + 1e-3).tolist())
        assert (values <= r).all() and (np.diff(values) >= 0).all()
    indptr, ids, _ = index.radius(Q, r)
    bounds, candidates = index.candidates(Q)
    for i in range(30):
        mine = candidates[bounds[i]:bounds[i + 1]]
        assert set(mine[want[i, mine] < r - 1e-3].tolist()) <= set(ids[indptr[i]:indptr[i + 1]].tolist()) <= set(mine.tolist())


def test_changes(case):
    metric, X, Q, index = case
    index = copy(index)
    ids = index.add(Q, np.arange(30) * -7 - 5)
    assert ids.tolist() == (np.arange(30) * -7 - 5).tolist() and len(index) == 430 and -5 in index and -6 not in index
    found, _ = index.query(Q, 1)
    assert found[0, 0] == -5 or metric == "ip"
    index.update([-5], X[:1])
    np.testing.assert_allclose(naive.dense(index.get([-5])), naive.dense(index.get([0])), rtol=1e-6)
    index.remove(ids)
    assert len(index) == 400 and -5 not in index
    assert index.add(Q[:2]).tolist() == [400, 401]
    index.remove([400, 401])
    same(index.query(Q, 8), case[3].query(Q, 8))
    with pytest.raises(KeyError, match="400"):
        index.remove([400])
    with pytest.raises(KeyError, match="-5"):
        index.update([-5], X[:1])
    same(index.query(Q, 8), case[3].query(Q, 8))


def test_rows_one_by_one_are_found_like_rows_at_once(case):
    """Tables made at the same row answer alike, however the later rows came."""
    metric, X, Q, _ = case
    whole, single = (LSHIndex(metric, DIM, K=4, train_size=200) for _ in range(2))
    whole.add(X[:200])
    whole.add(X[200:])
    single.add(X[:200])
    for i in range(200, 400):
        single.add(X[i:i + 1], [i])
    a, b = whole.query(Q, 5), single.query(Q, 5)
    assert np.mean(a[0] == b[0]) > 0.99  # a sign of a projection near zero may differ


def test_errors_leave_the_index_as_it_was(case):
    metric, X, Q, index = case
    for bad, error in (([1, 1], ValueError), ([5, 1000], ValueError), ([1.5, 2], TypeError), ([1], ValueError), ([[1, 2]], TypeError),
                       (np.array([1, 2**63], np.uint64), ValueError)):
        with pytest.raises(error):
            index.add(X[:2], bad)
    with pytest.raises(ValueError, match="dim=48"):
        index.query(X[:, :5])
    with pytest.raises(ValueError, match="k must be"):
        index.query(Q, 0)
    with pytest.raises(ValueError, match="probes"):
        index.query(Q, 1, probes=0)
    assert len(index) == 400
    if metric in ("l2", "cosine", "ip"):
        worse = X[:2].copy().astype(np.float32)
        (worse.data if sp.issparse(worse) else worse)[0] = np.nan
        with pytest.raises(ValueError, match="NaN"):
            index.add(worse)
        assert len(index) == 400


def test_saving(case, tmp_path):
    metric, X, Q, index = case
    index = copy(index)
    index.remove([7, 8])
    index.add(X[:1], [-5])
    index.save(tmp_path / "index")
    loaded, mapped = LSHIndex.load(tmp_path / "index"), LSHIndex.load(tmp_path / "index", mmap=True)
    for other in (loaded, mapped, copy(index)):
        same(other.query(Q, 9), index.query(Q, 9))
        same(other.query(Q, 9, exact=True), index.query(Q, 9, exact=True))
        same(other.candidates(Q), index.candidates(Q))
        assert len(other) == 399 and -5 in other and 7 not in other and repr(other) == repr(index)
        assert other.stats()["buckets"]["entries"] == index.stats()["buckets"]["entries"]
    for change in (lambda: mapped.add(X[:1]), lambda: mapped.remove([0]), lambda: mapped.update([0], X[:1]), mapped.rebuild):
        with pytest.raises(ValueError, match="read-only"):
            change()
    assert loaded.add(X[:1]).tolist() == index.add(X[:1]).tolist()
    loaded.remove([0])
    index.remove([0])
    loaded.update([3], X[4:5])
    index.update([3], X[4:5])
    same(loaded.query(Q, 9), index.query(Q, 9))
    loaded.rebuild()


def test_damaged_files_are_refused(tmp_path):
    index = LSHIndex("l2", 8, train_size=20)
    index.add(np.random.default_rng(0).standard_normal((50, 8)))
    index.save(tmp_path / "index")
    settings, arrays = io.load(tmp_path / "index", "lsh_index")
    for name in arrays:
        io.save(tmp_path / "less", "lsh_index", settings, {k: v for k, v in arrays.items() if k != name})
        if name not in ("tables.family.center",):
            with pytest.raises(io.FormatError):
                LSHIndex.load(tmp_path / "less")
    raw = bytearray((tmp_path / "index").read_bytes())
    raw[-100] ^= 1
    (tmp_path / "flipped").write_bytes(raw)
    with pytest.raises(io.FormatError):
        LSHIndex.load(tmp_path / "flipped")
    with pytest.raises(io.FormatError):
        io.load(tmp_path / "index", "network")


def test_memory_is_known_before(case):
    metric, X, Q, _ = case
    index = LSHIndex(metric, DIM, train_size=100)
    stored = X.nnz / X.shape[0] if sp.issparse(X) else None
    bound = index.memory_usage(400, stored=stored)
    index.add(X[:300])
    index.add(X[300:])
    assert index.nbytes <= bound <= 4 * index.nbytes
    assert index.memory_usage(0, stored=stored) < index.memory_usage(50, stored=stored) < bound


def test_rebuild_after_growth(case):
    metric, X, Q, _ = case
    index = LSHIndex(metric, DIM, train_size=50)
    sizes = []
    for lo in range(0, 400, 10):
        index.add(X[lo:lo + 10])
        sizes.append(index.stats()["trained"])
    assert sizes[3] == 0 and sizes[4] == 50 and sizes[-1] >= 200 and len(set(sizes)) <= 5
    before = index.query(Q, 5, exact=True)
    index.remove(index.ids[::2])
    kept = index.query(Q, 5, exact=True)
    index.rebuild(seed=5)
    same(index.query(Q, 5, exact=True), kept)
    assert index.seed == 5 and index.stats()["trained"] == 200 and len(index) == 200 and not np.array_equal(before[0], kept[0])


def test_more_probes_than_buckets_are_all_buckets():
    X = naive.data("l2", 400, DIM)
    index = LSHIndex("l2", DIM, K=3, L=1, train_size=100, rerank=None)
    index.add(X)
    assert np.diff(index.candidates(X[:5], probes=1000)[0]).tolist() == [400] * 5
    assert_nearest("l2", *index.query(X[:5], 3, probes=1000), naive.distances("l2", X[:5], X), 3)
    one = LSHIndex("hamming", DIM, train_size=100)
    one.add(X > 0)
    same(one.query(X[:5] > 0, 3, probes=9), one.query(X[:5] > 0, 3))


def test_fallback(case):
    metric, X, Q, _ = case
    index = LSHIndex(metric, DIM, K=8, L=1, probes=1, train_size=100, exact_fallback=True)
    index.add(X)
    assert (np.diff(index.candidates(Q)[0]) < 100).any()
    ids, found = index.query(Q, 100)
    assert (ids >= 0).all()
    few = np.diff(index.candidates(Q)[0]) < 100
    np.testing.assert_array_equal(found[few], index.query(Q, 100, exact=True)[1][few])


@pytest.mark.parametrize("policy", ["fifo", "reservoir"])
def test_bounded_buckets_bound_the_work(policy):
    X = np.repeat(naive.data("l2", 1, DIM), 500, axis=0) + np.random.default_rng(0).normal(0, 1e-3, (500, DIM)).astype(np.float32)
    index = LSHIndex("l2", DIM, K=4, L=4, capacity=8, policy=policy, train_size=100)
    index.add(X[:300])
    for i in range(300, 500):
        index.add(X[i])
    assert index.stats()["buckets"]["max_load"] <= 8
    assert np.diff(index.candidates(X, probes=1)[0]).max() <= 4 * 8
    if policy == "fifo":
        assert 499 in index.candidates(X[499], probes=1)[1]


def test_votes_bound_the_candidates(case, monkeypatch):
    monkeypatch.setattr(Snapshot, "_complete", lambda *arguments: None)
    metric, X, Q, index = case
    index = copy(index)
    index.max_candidates, index.rerank = 20, None
    everything = index.candidates(Q)
    ids, _ = index.query(Q, 400)
    found = (ids >= 0).sum(axis=1)
    assert (found <= np.diff(everything[0])).all() and found.mean() < np.diff(everything[0]).mean()


def test_many_threads_and_a_writer(case):
    """Readers beside a writer see every row that stays, and never one half."""
    metric, X, Q, index = case
    index = copy(index)
    want = index.query(Q, 5, exact=True)
    stop = threading.Event()

    def write():
        while not stop.is_set():
            ids = index.add(Q[:3])
            index.update(ids, X[:3])
            index.remove(ids)

    def read(_):
        for _ in range(5):
            ids, found = index.query(Q, 8, exact=True)
            for i in range(len(ids)):
                kept = ids[i][(ids[i] >= 0) & (ids[i] < 400)]
                assert list(kept[:5]) == list(want[0][i][:len(kept[:5])])
            index.query(Q, 3)
            index.candidates(Q[:2])
        return True

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with ThreadPoolExecutor(6) as pool:
            assert all(pool.map(read, range(12)))
    finally:
        stop.set()
        writer.join()
    same(index.query(Q, 5, exact=True), want)


def test_arguments():
    for arguments, error in (({"metric": "l1"}, "metric"), ({"K": 0}, "K"), ({"L": 0}, "L"), ({"probes": 0}, "probes"),
                             ({"policy": "lifo"}, "policy"), ({"family": "minhash"}, "family"), ({"rerank": 0}, "rerank"),
                             ({"train_size": 1}, "train_size"), ({"capacity": 0}, "capacity"), ({"dim": 0}, "dim")):
        with pytest.raises(ValueError, match=error):
            LSHIndex(**{"metric": "l2", "dim": 4} | arguments)
    with pytest.raises(TypeError, match="dense"):
        LSHIndex("l2", 4).add(sp.csr_matrix(np.eye(4)))
    with pytest.raises(ValueError, match="zeros and ones"):
        LSHIndex("hamming", 4).add(np.array([[0, 1, 2, 0]]))


def test_zero_rows_and_equal_rows():
    X = np.zeros((300, 8), np.float32)
    X[10:] = 1
    for metric in ("cosine", "l2", "ip"):
        index = LSHIndex(metric, 8, train_size=100)
        index.add(X)
        ids, found = index.query(X[[0, 20]], 5, exact=True)
        np.testing.assert_allclose(found, np.sort(naive.distances(metric, X[[0, 20]], X), axis=1)[:, :5], atol=1e-6)
        assert ids[1].tolist() == [10, 11, 12, 13, 14]  # of equally near rows, the first
        assert np.isfinite(index.query(X[[0, 20]], 5)[1][1]).all()


def test_a_family_of_ones_own():
    X = naive.data("cosine", 300, DIM)
    index = LSHIndex("cosine", DIM, K=3, L=10, probes=1, train_size=100,
                     family=lambda dim, K, L, seed: hashing.SimHash(dim, K, L, seed=seed, projection="sparse", center=np.zeros(dim)))
    index.add(X)
    family = index.stats()
    assert family["family"] == "SimHash" and family["probes"] == 1 and family["K"] == 3
    assert (index.query(X[:50], 1)[0][:, 0] == np.arange(50)).all()  # a row shares all buckets with itself


@pytest.mark.parametrize("metric, family", [("cosine", "crosspolytope"), ("l2", "pstable"), ("cosine", "dwta"), ("jaccard", "minhash"),
                                            ("hamming", "bitsampling"), ("ip", "simhash")])
@pytest.mark.parametrize("mmap", [False, True])
def test_every_family_is_saved_and_read(metric, family, mmap, tmp_path):
    X, Q = naive.data(metric, 300, DIM, metric == "jaccard"), naive.data(metric, 20, DIM, metric == "jaccard", seed=1)
    index = LSHIndex(metric, DIM, K=2, L=4, family=family, train_size=100)
    index.add(X)
    index.save(tmp_path / "index")
    same(LSHIndex.load(tmp_path / "index", mmap=mmap).query(Q, 3), index.query(Q, 3))


class Machine(RuleBasedStateMachine):
    """Any order of changes, beside a dict."""

    def __init__(self):
        super().__init__()
        self.index = LSHIndex("l2", 3, K=2, L=2, train_size=12)
        self.rows = {}
        self.rng = np.random.default_rng(0)

    @rule(m=st.integers(0, 8), own=st.booleans())
    def add(self, m, own):
        """Rows with ids of our own or by default."""
        X = self.rng.standard_normal((m, 3)).astype(np.float32)
        free = [i for i in self.rng.integers(-50, 50, 40).tolist() if i not in self.rows]
        ids = list(dict.fromkeys(free))[:m] if own else None
        if ids is not None:
            X = X[:len(ids)]
        self.rows |= dict(zip(self.index.add(X, ids).tolist(), X))

    @rule(m=st.integers(1, 6))
    def remove(self, m):
        """Some of those that are there."""
        ids = list(self.rows)[::3][:m]
        self.index.remove(ids)
        for i in ids:
            del self.rows[i]

    @rule(m=st.integers(1, 6))
    def update(self, m):
        """Some of those that are there."""
        ids = list(self.rows)[::2][:m]
        X = self.rng.standard_normal((len(ids), 3)).astype(np.float32)
        if ids:
            self.index.update(ids, X)
            self.rows |= dict(zip(ids, X))

    @rule()
    def rebuild(self):
        """New functions."""
        self.index.rebuild()

    @rule()
    def pickle(self):
        """Another process."""
        self.index = copy(self.index)

    @invariant()
    def same_rows(self):
        """Ids, rows, exact neighbours; and in the first bucket of every table a row finds itself."""
        assert len(self.index) == len(self.rows) and self.index.ids.tolist() == sorted(self.rows)
        if not self.rows:
            return
        ids = sorted(self.rows)
        X = np.array([self.rows[i] for i in ids])
        np.testing.assert_array_equal(self.index.get(ids), X)
        found, values = self.index.query(X, 1, exact=True)
        assert found[:, 0].tolist() == ids and (values == 0).all()
        found, values = self.index.query(X, 1)
        assert found[:, 0].tolist() == ids and (values == 0).all()


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=15, stateful_step_count=20, deadline=None, derandomize=True)


@pytest.mark.parametrize("metric", ["cosine", "l2", "ip"])
def test_many_rows_at_once_are_placed_as_one_by_one(metric):
    """A batch is hashed by the same kernel as a row, in parts, so that codes and sketches do not depend on how rows came."""
    X, Y = naive.data(metric, 400, DIM, False), naive.data(metric, 300, DIM, False, seed=1)
    several, single = (LSHIndex(metric, DIM, train_size=100) for _ in range(2))
    for index in (several, single):
        index.add(X)
    several.update(np.arange(200), Y[:200])
    several.add(Y[200:])
    for i in range(200):
        single.update([i], Y[i])
    for y in Y[200:]:
        single.add(y)
    np.testing.assert_array_equal(several.builder.sketches[:500], single.builder.sketches[:500])
    slots = np.arange(500)
    np.testing.assert_array_equal(several.builder.tables.codes_of(slots), single.builder.tables.codes_of(slots))


def entries_of(index, q, probes):
    """Entries of the buckets of one query, by the number of probes (probes,)."""
    builder = index.builder
    codes, spans = builder.snapshot().codes(builder.check(q)[1], probes)[0], builder.tables.flat_views()[2]
    return np.cumsum(sum(spans[t, codes[t], 1] for t in range(builder.L)))


@pytest.mark.parametrize("metric", ["l2", "ip"])
def test_entries_end_the_probes(metric):
    """A query has the candidates of the first number of probes whose buckets hold so many entries."""
    X, Q = naive.data(metric, 600, DIM, False), naive.data(metric, 30, DIM, False, seed=1)
    index, plain = (LSHIndex(metric, DIM, train_size=100, entries=entries) for entries in (400, None))
    index.add(X), plain.add(X)
    taken = set()
    for q in Q:
        seen = entries_of(plain, q, 64)
        probes = int(np.searchsorted(seen, 400)) + 1 if seen[-1] >= 400 else 64
        taken.add(probes)
        for mine, theirs in zip(index.candidates(q), plain.candidates(q, probes=probes)):
            np.testing.assert_array_equal(mine, theirs)
        for mine, theirs in zip(index.query(q, 5), plain.query(q, 5, probes=probes)):
            np.testing.assert_array_equal(mine, theirs)
    assert len(taken) > 3
    again = copy(index)
    assert again.entries == 400 and again.stats()["probes"] == 64
    for mine, theirs in zip(again.query(Q, 5), index.query(Q, 5)):
        np.testing.assert_array_equal(mine, theirs)
    index.tune(X, n_queries=40)
    assert index.entries is None


@pytest.mark.parametrize("name", ["probes", "rerank", "max_candidates", "entries", "n_threads"])
def test_numbers_that_no_kernel_takes_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be"):
        LSHIndex("cosine", 4, **{name: 10**30})
