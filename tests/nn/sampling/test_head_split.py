"""The split of head and tail: the variance against its definition, and the way of the share."""

import copy

import numpy as np
import pytest
import scipy.sparse as sp

from mongoose_nb import nn
from mongoose_nb.core.saving import restore, state_of
from mongoose_nb.nn.sampling.candidate_sets import ActiveSets
from mongoose_nb.nn.sampling.head_split import FIRST, SHARES, STEPS, HeadSplit, tail_variance


def test_variance_is_of_the_filler_alone():
    """Three lists with room between them, where nothing finite stands; the second has no filler."""
    delta = np.full(20, np.nan, np.float32)
    sets = ActiveSets(np.array([1, 8, 12]), np.array([5, 3, 4]), np.zeros(20, np.int32), None, np.array([2, 3, 0]), None, None)
    delta[1:6], delta[8:11], delta[12:16] = [9, 9, 1, 2, 3], 9, [0.5, 0, 0, 1]
    assert tail_variance(sets, delta) == pytest.approx(3 * (14 + 0 + 1.25))


@pytest.mark.parametrize("best", range(len(SHARES)))
def test_the_share_goes_where_the_variance_is_least(best):
    split = HeadSplit()
    assert split.share == SHARES[FIRST]
    rng = np.random.default_rng(best)
    for _ in range(8 * STEPS):
        split.observe(np.exp(abs(SHARES.index(split.next()) - best) + 0.3 * rng.standard_normal()))
    assert split.share == SHARES[best]


def test_what_is_not_finite_is_left_out_and_states_go_on():
    rng = np.random.default_rng(0)
    one, other = HeadSplit(), HeadSplit()
    for step in range(200):
        if step == 77:
            other = HeadSplit()
            restore(other, copy.deepcopy(state_of(one)))
        assert one.next() == other.next()
        value = float(rng.random())
        for split in (one, other):
            split.observe(np.nan)
            split.observe(value)
    with pytest.raises(ValueError, match="split"):
        restore(one, {"place": 0, "sums": np.zeros(3), "turns": np.full(3, STEPS)})


def _problem():
    rng = np.random.default_rng(0)
    label = rng.integers(0, 300, 2000)
    X = sp.csr_matrix((np.ones(4000, np.float32), np.stack([label, 300 + rng.integers(0, 50, 2000)], 1).ravel(), np.arange(2001) * 2))
    return X, label


@pytest.mark.slow
def test_a_network_adapts_and_is_resumed(tmp_path):
    """The share moves, is in the history, and a network that was saved on the way ends with the same bits."""
    X, y = _problem()

    def network():
        sampler = nn.LSH(40, head="auto", tables=nn.Tables(K=4, L=10))
        return nn.Network(X.shape[1], 300, hidden=(16,), sampler=sampler, optimizer=nn.Adam(5e-3))

    whole, part = network(), network()
    whole.fit(X, y, epochs=6, batch_size=32)
    part.fit(X, y, epochs=3, batch_size=32)
    part.save(tmp_path / "net")
    part = nn.Network.load(tmp_path / "net")
    history = part.fit(X, y, epochs=3, batch_size=32)
    shares = [entry["head_share"] for entry in history]
    assert all(SHARES[0] <= share <= SHARES[-1] for share in shares) and set(shares) != {SHARES[FIRST]}
    np.testing.assert_array_equal(whole.output.weights.value, part.output.weights.value)
    assert whole.sampler.head == part.sampler.head == "auto"
    assert state_of(whole.output.sampler)["split"]["place"] == state_of(part.output.sampler)["split"]["place"]


def test_auto_needs_a_tail():
    for wrong in ({"shape": "batch"}, {"correction": "none"}, {"fill": False}):
        with pytest.raises(ValueError, match="head='auto'"):
            nn.LSH(100, head="auto", **wrong)
    with pytest.raises((TypeError, ValueError), match="head"):
        nn.LSH(100, head="most")
