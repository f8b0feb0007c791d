"""Subsets and sums in order of cost, against sorting all of them."""

import itertools

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mongoose_nb.kernels.hashing.probing import cheapest_sums, drop_set, first_set


@numba.njit
def take_sets(costs, heap_costs, heap_sets, out_costs, out_sets):
    size = first_set(heap_costs, heap_sets, costs)
    taken = 0
    while size and taken < out_sets.shape[0]:
        out_costs[taken], out_sets[taken] = heap_costs[0], heap_sets[0]
        size = drop_set(heap_costs, heap_sets, size, costs, costs.shape[0], True)
        taken += 1
    return taken


ascending = st.lists(st.integers(0, 6), min_size=1, max_size=7).map(sorted)


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(ascending, st.integers(1, 140))
def test_subsets_come_in_order_and_once(costs, most):
    costs = np.array(costs, float)
    out_costs, out_sets = np.empty(most), np.empty(most, np.uint64)
    taken = take_sets(costs, np.empty(most + 2), np.empty(most + 2, np.uint64), out_costs, out_sets)
    everything = sorted(sum(c) for r in range(1, len(costs) + 1) for c in itertools.combinations(costs, r))
    assert taken == min(most, len(everything))
    np.testing.assert_array_equal(out_costs[:taken], everything[:taken])
    sets = [int(s) for s in out_sets[:taken]]
    assert len(set(sets)) == taken and all(0 < s < 1 << len(costs) for s in sets)
    for mask, cost in zip(sets, out_costs):
        assert sum(c for i, c in enumerate(costs) if mask >> i & 1) == cost


@settings(deadline=None, max_examples=60)
@given(ascending, ascending, st.integers(1, 60))
def test_sums_come_in_order_and_once(a, b, most):
    a, b = np.array(a, float), np.array(b, float)
    out, first, second = np.empty(most), np.empty(most, np.int64), np.empty(most, np.int64)
    taken = cheapest_sums(a, len(a), b, len(b), most, np.empty(len(a), np.int64), np.empty(len(a)), out, first, second)
    everything = sorted((x + y, i, j) for i, x in enumerate(a) for j, y in enumerate(b))
    assert taken == min(most, len(everything))
    assert list(zip(out[:taken], first[:taken], second[:taken])) == everything[:taken]
