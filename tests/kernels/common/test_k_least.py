"""Selection and heap against sorting."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mongoose_nb.kernels.common import k_least


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 5), min_size=2, max_size=80), st.data())
def test_the_least_keys_come_to_the_front(values, data):
    m = data.draw(st.integers(1, len(values) - 1))
    keys = np.array(values + [7, 0], np.uint64)  # what is beyond n stays
    k_least.select(keys, len(values), m)
    assert sorted(keys[:m].tolist()) == sorted(values)[:m]
    assert sorted(keys[:-2].tolist()) == sorted(values) and keys[-2:].tolist() == [7, 0]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 9) | st.just(np.nan), max_size=60), st.integers(1, 12))
def test_the_heap_holds_the_least_of_equals_the_first_row(values, k):
    found, rows, held = np.empty(k, np.float32), np.empty(k, np.int32), 0
    order = np.random.default_rng(k).permutation(len(values))
    for row in order:
        held = k_least.offer(found, rows, held, np.float32(values[row]), np.int32(row))
    assert held == min(k, len(values))
    k_least.finish(found, rows, held)
    want = sorted(range(len(values)), key=lambda row: (np.isnan(values[row]), np.nan_to_num(values[row]), row))[:k]
    numbers = [row for row in want if not np.isnan(values[row])]  # NaN come last, in no order
    assert rows[:len(numbers)].tolist() == numbers and np.isnan(found[len(numbers):held]).all()
    assert len(set(rows[:held].tolist())) == held
    assert (rows[held:] == -1).all() and np.isinf(found[held:]).all()
