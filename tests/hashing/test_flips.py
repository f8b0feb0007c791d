"""The order of flips against sorting all sets of ranks."""

import itertools

import numpy as np
import pytest

from mongoose_nb.hashing.flips import flip_order


@pytest.mark.parametrize("K", [1, 2, 5, 9])
def test_sets_come_in_order_of_their_costs_and_once(K):
    order = flip_order(K, 1 << K)
    assert order[0] == 0 and len(set(order.tolist())) == 1 << K == len(order) and not order.flags.writeable
    ranks = [[r for r in range(K) if one >> r & 1] for one in order.tolist()]
    costs = [sum((r + 0.5) ** 2 for r in some) for some in ranks]
    everything = sorted(sum((r + 0.5) ** 2 for r in some) for n in range(K + 1) for some in itertools.combinations(range(K), n))
    np.testing.assert_allclose(costs, everything)


def test_fewer_are_the_first_of_more():
    np.testing.assert_array_equal(flip_order(32, 20), flip_order(32, 500)[:20])
    assert len(flip_order(3, 100)) == 8
