"""The bulk build: equal to inserting row by row, for any number of threads."""

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_buckets import NaiveBuckets, arrays, assert_same, build

from mongoose_nb._ext import BucketStore
from mongoose_nb.kernels.tables import buckets as kernel


@pytest.mark.parametrize("policy", ["fifo", "reservoir"])
@settings(deadline=None, max_examples=40)
@given(tables=st.integers(1, 4), buckets=st.sampled_from([1, 3, 50, 256]), capacity=st.sampled_from([None, 1, 2, 9, 1000]),
       n=st.integers(0, 300), seed=st.integers(0, 2**64 - 1), dtype=st.sampled_from([np.uint8, np.uint16, np.uint32]),
       own_ids=st.booleans())
def test_bulk_equals_row_by_row(policy, tables, buckets, capacity, n, seed, dtype, own_ids):
    rng = np.random.default_rng(seed)
    codes = (rng.integers(0, buckets, (tables, n)) // rng.integers(1, 4, (tables, n))).astype(dtype)
    ids = rng.integers(0, 2**31, n) if own_ids else None
    options = {"capacity": capacity, "policy": policy, "seed": seed}
    naive = NaiveBuckets(tables, buckets, **options)
    naive.build(codes, ids)
    store = BucketStore(tables, buckets, **options)
    store.insert([3], np.zeros((tables, 1), np.uint8))  # whatever was there is gone
    build(store, codes, ids)
    assert_same(store, naive)
    one_by_one = BucketStore(tables, buckets, **options)
    one_by_one.insert(np.arange(n) if ids is None else ids, codes)
    built, inserted = store.state(), one_by_one.state()
    for name in built:
        np.testing.assert_array_equal(built[name], inserted[name])


@pytest.mark.parametrize("policy", ["fifo", "reservoir"])
@pytest.mark.parametrize("dtype, buckets", [(np.uint16, 300), (np.uint32, kernel.NEAR + 1), (np.uint32, 400_000)])
def test_coarse_sort_and_threads_change_nothing(policy, dtype, buckets):
    rng = np.random.default_rng(8)
    codes = (buckets * rng.random((5, 4000)) ** 3).astype(dtype)
    results = []
    before = numba.get_num_threads()
    try:
        for threads in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
            numba.set_num_threads(threads)
            store = BucketStore(5, buckets, capacity=4, policy=policy, seed=1)
            build(store, codes, np.arange(4000)[::-1])
            results.append(store)
    finally:
        numba.set_num_threads(before)
    for a, b in zip(arrays(results[0]), arrays(results[1])):
        np.testing.assert_array_equal(a, b)
    inserted = BucketStore(5, buckets, capacity=4, policy=policy, seed=1)
    inserted.insert(np.arange(4000)[::-1], codes)
    built, expected = results[0].state(), inserted.state()
    for name in built:
        np.testing.assert_array_equal(built[name], expected[name])


def test_a_build_that_never_comes_leaves_a_store_that_works():
    store = BucketStore(2, 5)
    store.begin_build(np.zeros((2, 100), np.uint8))
    assert store.rows == 0
    store.insert([1], [[0], [4]])
    assert store.bucket(1, 4).tolist() == [1]
