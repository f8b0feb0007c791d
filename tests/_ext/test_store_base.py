"""State, statistics and memory of the bucket stores; damaged states."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_buckets import IMPLEMENTATIONS, NaiveBuckets, assert_same, assert_sound, build, implementation_names

stores = pytest.mark.parametrize("Store", IMPLEMENTATIONS, ids=implementation_names)


def filled(Store, policy="reservoir", capacity=6, m=80):
    rng = np.random.default_rng(5)
    store = Store(2, 12, capacity=capacity, policy=policy, seed=9)
    store.insert(np.arange(m), rng.integers(0, 12, (2, m)))
    store.remove([3, 4], rng.integers(0, 12, (2, 2)))
    return store


@stores
def test_state_survives_npz(Store):
    store = filled(Store)
    state = store.state()
    file = io.BytesIO()
    np.savez(file, **{k: v for k, v in state.items() if isinstance(v, np.ndarray)})
    file.seek(0)
    loaded = np.load(file, allow_pickle=False)
    other = Store.from_state({**state, **{k: loaded[k] for k in loaded.files}})
    for k, v in other.state().items():
        np.testing.assert_array_equal(v, state[k])
        assert type(v) is type(state[k])
    # the reservoir goes on as if nothing had happened
    codes = np.arange(60).reshape(2, 30) % 12
    store.insert(np.arange(30), codes)
    other.insert(np.arange(30), codes)
    for k, v in other.state().items():
        np.testing.assert_array_equal(v, store.state()[k])


def test_state_goes_from_one_implementation_to_the_other():
    for A in IMPLEMENTATIONS:
        for B in IMPLEMENTATIONS:
            a, b = filled(A), B.from_state(filled(A).state())
            for k, v in b.state().items():
                np.testing.assert_array_equal(v, a.state()[k])


@stores
def test_state_does_not_share_memory(Store):
    store = filled(Store)
    state = store.state()
    for array in state.values():
        if isinstance(array, np.ndarray):
            array[...] = 0
    assert_sound(store)
    assert store.stats()["entries"] > 0


@stores
def test_stats(Store):
    store = Store(2, 4, capacity=5)
    store.insert(np.arange(9), [[0] * 9, [0, 1, 1, 2, 2, 2, 2, 2, 2]])
    assert store.stats() == {
        "rows": 8, "entries": 13, "mean_load": 13 / 8, "max_load": 5, "empty_share": 0.5, "load_histogram": [4, 1, 1, 2],
        "dropped": 5, "nbytes": store.nbytes}
    assert Store(1, 3).stats()["load_histogram"] == [3]
    assert "n_buckets=4, capacity=5, policy='fifo', seed=0" in repr(store)


@stores
@pytest.mark.parametrize("capacity", [None, 2])
def test_memory(Store, capacity):
    """Nothing is proportional to buckets x capacity, and clearing gives the pools back."""
    n, buckets = 5000, 1000
    store = Store(3, buckets, capacity=capacity)
    empty = store.nbytes
    build(store, np.random.default_rng(6).integers(0, buckets, (3, n)).astype(np.uint16))
    held = min(n, buckets * (capacity or n))
    assert store.nbytes == store.memory_bound(n)
    assert store.nbytes <= 3 * (4 * 1.5 * held + 12.25 * buckets + 4 * 64 + 24)
    assert Store.from_state(store.state()).nbytes <= store.memory_bound(store.rows)
    store.clear()
    assert store.nbytes == empty == store.memory_bound(0)


@stores
def test_pools_beyond_int32_are_refused(Store):
    store = Store(1, 4)
    assert store.memory_bound(1_400_000_000) > 8e9
    with pytest.raises(ValueError, match="1500000000 rows need .* at most 2147483647"):
        store.memory_bound(1_500_000_000)
    with pytest.raises(ValueError, match="1500000000 rows"):
        store._check_growth(1_500_000_000)
    assert Store(1, 4, capacity=10).memory_bound(2**40) < 1000


@stores
def test_build_uses_pools_again(Store):
    store = Store(2, 50)
    codes = np.random.default_rng(7).integers(0, 50, (2, 2000)).astype(np.uint8)
    build(store, codes)
    pool = store.views()[0]
    build(store, codes[:, :1990][:, ::-1])
    assert store.views()[0] is not pool  # made for more rows than are loaded now
    pool = store.views()[0]
    build(store, codes)
    assert store.views()[0] is pool  # large enough
    naive = NaiveBuckets(2, 50)
    naive.build(codes)
    assert_same(store, naive)


def damaged(state, name, change):
    return {**state, name: change(state[name])}


@stores
@pytest.mark.parametrize("name, change, match", [
    ("version", lambda v: 2, "version 2, this program reads version 1"),
    ("n_tables", lambda v: v + 1, "shape"),
    ("n_tables", lambda v: 2**19, "shape"),
    ("n_buckets", lambda v: 2**26, "shape"),
    ("n_buckets", lambda v: "12", "n_buckets must be an integer"),
    ("capacity", lambda v: 2, "sizes must be between 0 and 2"),
    ("capacity", lambda v: None, "seen has shape"),
    ("policy", lambda v: "fifo", "seen has shape"),
    ("policy", lambda v: ["fifo"], "policy must be one of"),
    ("seed", lambda v: -1, "seed"),
    ("sizes", lambda v: -v, "sizes must be between"),
    ("sizes", lambda v: v[0], "sizes has shape"),
    ("sizes", lambda v: v * 1.0, "integer array"),
    ("sizes", lambda v: np.where(v == v.max(), v - 1, v), "sizes add up to"),
    ("ids", lambda v: v[1:], "sizes add up to"),
    ("ids", lambda v: v - 50, "ids must be between"),
    ("ids", lambda v: v.astype(np.int64) + 2**31, "ids must be between"),
    ("ids", lambda v: v[None], "ids has shape"),
    ("seen", lambda v: v * 0, "holds more ids than it has seen"),
    ("seen", lambda v: v.astype(np.int64) + 2**32, "seen must be between"),
    ("dropped", lambda v: v - 10**6, "dropped must be between"),
])
def test_damage_is_named(Store, name, change, match):
    with pytest.raises(ValueError, match=match):
        Store.from_state(damaged(filled(Store).state(), name, change))


@stores
def test_missing_parts_are_named(Store):
    state = filled(Store).state()
    for name in state:
        with pytest.raises(ValueError, match=f"lacks '{name}'"):
            Store.from_state({k: v for k, v in state.items() if k != name})
    with pytest.raises(ValueError, match="must be a dict, got list"):
        Store.from_state([])


JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(-2**70, 2**70), st.floats(), st.text(max_size=3),
    st.lists(st.integers(-5, 5), max_size=4),
    st.sampled_from([np.zeros((2, 12)), np.zeros((0, 12), np.int32), np.array([object()]), np.array(5),
                     np.zeros((2, 12), bool)]))


@pytest.mark.slow
@stores
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_damage_never_crashes(Store, data):
    """A damaged state is refused, or makes a sound store that works."""
    policy, capacity = data.draw(st.sampled_from(["fifo", "reservoir"])), data.draw(st.sampled_from([None, 6]))
    state = filled(Store, policy, capacity).state()
    for name in data.draw(st.lists(st.sampled_from(sorted(state)), min_size=1, max_size=2, unique=True)):
        value = state[name]
        if isinstance(value, np.ndarray) and value.size and data.draw(st.booleans()):
            value = value.copy()
            info = np.iinfo(value.dtype)
            at = data.draw(st.integers(0, value.size - 1))
            value.flat[at] = data.draw(st.one_of(st.integers(info.min, info.max), st.integers(max(info.min, -3), 9)))
        else:
            value = data.draw(JUNK)
        state[name] = value
    try:
        store = Store.from_state(state)
    except ValueError:
        return
    assert_sound(store)
    store.insert(np.arange(40), np.arange(80).reshape(2, 40) % 12)
    store.remove(np.arange(20), np.arange(40).reshape(2, 20) % 12)
    assert_sound(store)
