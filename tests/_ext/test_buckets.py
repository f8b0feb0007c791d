"""Both bucket stores against the oracle and against each other."""

import copy
import importlib.util
import os
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_buckets import IMPLEMENTATIONS, NaiveBuckets, arrays, assert_same, assert_sound, build, implementation_names, key

from mongoose_nb._ext import _buckets_py

stores = pytest.mark.parametrize("Store", IMPLEMENTATIONS, ids=implementation_names)
policies = pytest.mark.parametrize("policy", ["fifo", "reservoir"])
capacities = pytest.mark.parametrize("capacity", [None, 1, 5])


def random_codes(rng, tables, buckets, m, dtype=np.uint32):
    """Codes, half of them crowded into a few buckets."""
    codes = rng.integers(0, buckets, (tables, m))
    return np.where(rng.random((tables, m)) < 0.5, codes, codes % min(3, buckets)).astype(dtype)


def test_mixer_is_the_kernels_one():
    from mongoose_nb.kernels.common.random import key2, mix64

    for x in (0, 1, 2**63 + 5, 2**64 - 1):
        assert int(mix64(np.uint64(x))) == _buckets_py.mix64(x)
        assert int(key2(np.uint64(x), np.uint64(7))) == key(x, 7)


OPERATIONS = ("insert", "insert", "insert", "remove", "move", "move", "build", "clear", "state", "pickle", "copy")


@policies
@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_any_sequence_of_operations(policy, data):
    tables = data.draw(st.integers(1, 3), "tables")
    buckets = data.draw(st.sampled_from([1, 2, 7, 40]), "buckets")
    capacity = data.draw(st.sampled_from([None, 1, 3, 20]), "capacity")
    seed = data.draw(st.integers(0, 2**64 - 1), "seed")
    options = {"capacity": capacity, "policy": policy, "seed": seed}
    naive = NaiveBuckets(tables, buckets, **options)
    made = [cls(tables, buckets, **options) for cls in IMPLEMENTATIONS]
    where = {}  # the codes last used for an id, so that removals find something
    steps = st.lists(st.tuples(st.sampled_from(OPERATIONS), st.integers(0, 120), st.integers(0, 2**32 - 1)), max_size=10)
    for operation, m, draw in data.draw(steps, "steps"):
        rng = np.random.default_rng(draw)
        ids = rng.integers(0, 150, m).astype(np.int32)
        codes = random_codes(rng, tables, buckets, m, rng.choice([np.uint8, np.uint16, np.uint32, np.int64]))
        old = np.array([where.get(int(i), codes[:, k]) for k, i in enumerate(ids)], codes.dtype).reshape(m, tables).T
        before, allocated = naive.rows(), [s._ids for s in made]
        if operation == "insert":
            naive.insert(ids, codes)
            assert [s.insert(ids, codes) for s in made] == [None] * len(made)
        elif operation == "remove":
            assert [s.remove(ids, old) for s in made] == [naive.remove(ids, old)] * len(made)
        elif operation == "move":
            assert [s.move(ids, old, codes) for s in made] == [naive.move(ids, old, codes)] * len(made)
        elif operation == "build":
            naive.build(codes, ids)
            for s in made:
                build(s, codes, ids)
        elif operation == "clear":
            naive.clear()
            for s in made:
                s.clear()
        elif operation == "state":
            made = [type(s).from_state(s.state()) for s in made]
        elif operation == "pickle":
            made = [pickle.loads(pickle.dumps(s)) for s in made]
        else:
            made = [copy.deepcopy(s) for s in made]
        if operation in ("insert", "move", "build"):
            where.update((int(i), codes[:, k].copy()) for k, i in enumerate(ids))
        for s, cls, pool in zip(made, IMPLEMENTATIONS, allocated):
            assert type(s) is cls
            assert_same(s, naive)
            if s._ids is not pool:  # allocated anew: for no more rows than were held, or loaded
                held = m if operation == "build" else max(before, naive.rows())
                assert s.nbytes <= s.memory_bound(held)
        for array, twin in zip(arrays(made[-1]), arrays(made[0])):
            np.testing.assert_array_equal(array, twin)


@stores
@policies
@capacities
def test_grows_from_nothing_within_its_bound(Store, policy, capacity):
    rng = np.random.default_rng(1)
    naive = NaiveBuckets(2, 30, capacity=capacity, policy=policy, seed=3)
    store = Store(2, 30, capacity=capacity, policy=policy, seed=3)
    for step in range(40):
        ids = np.arange(step * 20, step * 20 + 20)
        codes = random_codes(rng, 2, 30, 20)
        naive.insert(ids, codes)
        store.insert(ids, codes)
        assert_sound(store)
        assert store.nbytes <= store.memory_bound(naive.rows())
    assert_same(store, naive)
    per_table = (store.nbytes - store._spans.nbytes - store._room.nbytes - store._seen.nbytes) / 2
    assert per_table <= 1.5 * 4 * naive.rows() + 4 * (64 + 2) + 24


@stores
@pytest.mark.parametrize("buckets", [1, 7, 300, 5000])
def test_grows_evenly(Store, buckets):
    """All buckets gain a row at the same time: the room that packing wants is then largest."""
    store = Store(1, buckets)
    for arrivals in range(1, 13 if buckets > 1 else 400):
        store.insert(np.full(buckets, arrivals), np.arange(buckets)[None])
        assert_sound(store)
        assert store.nbytes <= store.memory_bound(store.rows)
    assert store.bucket(0, buckets - 1).tolist() == list(range(1, arrivals + 1))


@stores
def test_churn_does_not_grow(Store):
    """Rows that come and go leave the pools as they are."""
    rng = np.random.default_rng(2)
    store = Store(2, 64)
    codes = random_codes(rng, 2, 64, 300)
    build(store, codes)
    size = store.nbytes
    for _ in range(10):
        new = random_codes(rng, 2, 64, 300)
        store.move(np.arange(300), codes, new)
        codes = new
    assert store.nbytes == size and store.rows == 300
    assert_sound(store)


@stores
def test_fifo_keeps_the_newest_in_order(Store):
    store = Store(1, 2, capacity=3)
    store.insert([1, 2, 3, 4, 5], [[0, 0, 0, 0, 1]])
    assert store.bucket(0, 0).tolist() == [2, 3, 4]
    assert store.remove([3, 9], [[0, 0]]) == 1
    store.insert([6], [[0]])
    assert store.bucket(0, 0).tolist() == [2, 4, 6]
    assert store.move([2, 5], [[0, 1]], [[1, 1]]) == 1
    assert store.bucket(0, 0).tolist() == [4, 6]
    assert store.bucket(0, 1).tolist() == [5, 2]


@stores
def test_duplicates_are_kept_and_removed_oldest_first(Store):
    store = Store(1, 1)
    store.insert([7, 8, 7], [[0, 0, 0]])
    assert store.remove([7], [[0]]) == 1
    assert store.bucket(0, 0).tolist() == [8, 7]


@stores
def test_remove_finds_every_position(Store):
    for position in range(100):
        store = Store(1, 1)
        store.insert(np.arange(100), np.zeros((1, 100), np.uint8))
        assert store.remove([position], [[0]]) == 1
        assert store.bucket(0, 0).tolist() == [i for i in range(100) if i != position]


@stores
def test_a_dropped_row_that_moves_comes_back(Store):
    store = Store(1, 2, capacity=1)
    store.insert([1, 2], [[0, 0]])
    assert store.move([1], [[0]], [[1]]) == 1
    assert store.bucket(0, 1).tolist() == [1]


@stores
def test_reservoir_retention_is_uniform(Store):
    """Each of 40 arrivals stays in a bucket of 10 with probability 1/4: chi-square, false alarm once in 10^6 runs."""
    from scipy.stats import chi2

    arrivals, capacity, buckets = 40, 10, 600
    store = Store(1, buckets, capacity=capacity, policy="reservoir", seed=11)
    codes = np.tile(np.arange(buckets, dtype=np.uint16), arrivals)[None]
    store.insert(np.repeat(np.arange(arrivals), buckets), codes)
    ids, spans = store.views()
    kept = np.zeros(arrivals)
    for start, size in spans[0]:
        assert size == capacity
        kept[ids[0, start:start + size]] += 1
    share = capacity / arrivals
    # sampling without replacement: the counts are correlated, which the factor (n - 1) / n corrects
    statistic = ((kept - buckets * share) ** 2).sum() / (buckets * share * (1 - share)) * (arrivals - 1) / arrivals
    assert chi2.ppf(1e-6 / 2, arrivals - 1) < statistic < chi2.ppf(1 - 1e-6 / 2, arrivals - 1)


@stores
def test_reservoirs_differ_by_seed_and_table(Store):
    ids, codes = np.arange(200), np.zeros((2, 200), np.uint8)
    a, b = (Store(2, 1, capacity=20, policy="reservoir", seed=s) for s in (0, 1))
    a.insert(ids, codes)
    b.insert(ids, codes)
    assert a.bucket(0, 0).tolist() != a.bucket(1, 0).tolist() != b.bucket(1, 0).tolist()


@stores
def test_input_kinds(Store, tmp_path):
    rng = np.random.default_rng(4)
    codes = random_codes(rng, 3, 50, 30)
    ids = np.arange(30, dtype=np.int32)
    naive = NaiveBuckets(3, 50)
    naive.insert(ids, codes)
    frozen = codes.copy()
    frozen.flags.writeable = False
    mapped = np.memmap(tmp_path / "codes", np.uint32, "w+", shape=codes.shape)
    mapped[:] = codes
    mapped.flush()
    mapped = np.memmap(tmp_path / "codes", np.uint32, "r", shape=codes.shape)
    kinds = [frozen, mapped, np.asfortranarray(codes), codes.astype(">u4"), codes.astype(np.uint64), codes.tolist(),
             np.repeat(codes, 2, axis=1)[:, ::2], codes.astype(np.uint8), codes.astype(np.int8)]
    for kind in kinds:
        for way in ("insert", "build"):
            store = Store(3, 50)
            assert not store.begin_build(kind, ids)[0].flags.writeable  # one type for the kernel, whatever is given
            if way == "insert":
                store.insert(ids[::-1].astype(">i8")[::-1], kind)
            else:
                build(store, kind, ids.astype(np.uint8))
            assert_same(store, naive)
    np.testing.assert_array_equal(mapped, codes)
    np.testing.assert_array_equal(frozen, codes)


@stores
def test_empty_input(Store):
    store = Store(2, 3)
    store.insert([], np.empty((2, 0)))
    assert store.remove([], [[], []]) == 0
    assert store.move([], [[], []], [[], []]) == 0
    build(store, np.empty((2, 0), np.uint8))
    assert store.stats()["entries"] == 0
    assert store.bucket(1, 2).shape == (0,)


@stores
@pytest.mark.parametrize("ids, codes, error, match", [
    ([-1], [[0], [0]], ValueError, "row ids must be between 0 and 2147483647.*-1"),
    ([2**31], [[0], [0]], ValueError, "2147483648"),
    ([1], [[0], [4]], ValueError, "n_buckets - 1 = 3, got 4"),
    ([1], [[0], [-2]], ValueError, "got -2"),
    ([1], np.array([[0], [200]], np.uint8), ValueError, "got 200"),
    ([1], [[0], [2**32]], ValueError, "got 4294967296"),
    ([1], [[0, 0]], ValueError, r"shape \(tables, rows\) = \(2, 1\), got \(1, 2\)"),
    ([1, 2], [[0], [0]], ValueError, r"\(2, 2\), got \(2, 1\)"),
    ([[1]], [[0], [0]], ValueError, r"one axis \(m,\), got shape \(1, 1\)"),
    (1, [[0], [0]], ValueError, "one axis"),
    ([1.0], [[0], [0]], TypeError, "ids must be an integer array, got dtype float64"),
    ([True], [[0], [0]], TypeError, "dtype bool"),
    ([1], [[0.5], [0]], TypeError, "codes must be an integer array"),
    (np.array([5, -3], np.int32), np.zeros((2, 2), np.uint32), ValueError, "-3"),
    (np.array([5, 6], np.int32), np.array([[0, 0], [0, 77]], np.uint32), ValueError, "77"),
])
def test_bad_input_leaves_the_store_unchanged(Store, ids, codes, error, match):
    store = Store(2, 4, capacity=3, policy="reservoir")
    store.insert(np.arange(9), np.arange(18).reshape(2, 9) % 4)
    before = [a.copy() for a in arrays(store)]
    good = np.zeros((2, np.size(ids)), np.uint32)
    calls = [lambda: store.insert(ids, codes), lambda: store.remove(ids, codes), lambda: store.begin_build(codes, ids),
             lambda: store.move(ids, codes, good), lambda: store.move(ids, good, codes)]
    for call in calls:
        with pytest.raises(error, match=match):
            call()
    for array, was in zip(arrays(store), before):
        np.testing.assert_array_equal(array, was)


@stores
def test_bad_parameters(Store):
    for args, options, error, match in [
        ((0, 4), {}, ValueError, "n_tables must be between 1 and .*, got 0"),
        ((1, 2**26 + 1), {}, ValueError, "n_buckets must be between 1 and 67108864"),
        ((1, 2.0), {}, TypeError, "n_buckets must be an integer, got 2.0"),
        ((1, 2), {"capacity": 0}, ValueError, "capacity"),
        ((1, 2), {"capacity": True}, TypeError, "capacity"),
        ((1, 2), {"policy": "lru"}, ValueError, "policy must be one of .*'lru'"),
        ((1, 2), {"seed": -1}, ValueError, "seed"),
    ]:
        with pytest.raises(error, match=match):
            Store(*args, **options)
    store = Store(2, 3)
    for table, code in ((2, 0), (-1, 0), (0, 3), (0, -1)):
        with pytest.raises(ValueError, match="must be between 0 and"):
            store.bucket(table, code)


@stores
def test_bucket_is_a_copy_and_views_are_not(Store):
    store = Store(1, 2)
    store.insert([4], [[1]])
    store.bucket(0, 1)[0] = 9
    assert store.bucket(0, 1).tolist() == [4]
    ids, spans = store.views()
    assert ids is store._ids and spans is store._spans
    assert ids.flags.c_contiguous and spans.flags.c_contiguous


@stores
def test_threads_wait_for_each_other(Store):
    store = Store(2, 5)
    codes = np.arange(400).reshape(2, 200) % 5

    def work(k):
        for lo in range(0, 200, 20):
            store.insert(np.arange(lo, lo + 20) + 1000 * k, codes[:, lo:lo + 20])

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert_sound(store)
    held = np.sort(np.concatenate([store.bucket(0, b) for b in range(5)]))
    np.testing.assert_array_equal(held, np.sort(np.concatenate([np.arange(200) + 1000 * k for k in range(4)])))


@stores
def test_an_object_without_init_is_harmless(Store):
    store = Store.__new__(Store)
    for call in (lambda: store.insert([1], [[0]]), lambda: store.remove([1], [[0]]), lambda: store.bucket(0, 0)):
        with pytest.raises((ValueError, AttributeError)):
            call()


@pytest.mark.parametrize("pure", ["0", "1"])
def test_choice_of_implementation(pure):
    code = ("import sys, mongoose_nb._ext as e; assert not {'numba', 'scipy'} & set(sys.modules); "
            "print(e.COMPILED, e.BucketStore.compiled)")
    result = subprocess.run([sys.executable, "-c", code], env={**os.environ, "MONGOOSE_NB_PURE": pure}, text=True,
                            capture_output=True, check=True)
    expected = pure == "0" and importlib.util.find_spec("mongoose_nb._ext._buckets") is not None
    assert result.stdout.split() == [str(expected)] * 2
