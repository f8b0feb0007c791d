"""What samples look up: their activations, or the weights of their labels."""

import numpy as np
import pytest

from mongoose_nb.core.arrays import Parameter, Rows
from mongoose_nb.nn import LSH, Network, Tables
from mongoose_nb.nn.training.timing import PhaseTimer
from mongoose_nb.testing import check_sampler

N, WIDTH = 300, 6


def bound(**settings):
    rng = np.random.default_rng(0)
    W, b = Parameter(rng.standard_normal((N, WIDTH)).astype(np.float32)), Parameter(rng.standard_normal(N).astype(np.float32))
    sampler = LSH(20, query="label", fill=False, head=1.0, **settings)
    return sampler.bind(W, b, 5), rng.standard_normal((20, WIDTH)).astype(np.float32)


@pytest.mark.parametrize("center", [True, False])
def test_a_label_finds_what_shares_its_buckets(center):
    sampler, h = bound(tables=Tables(K=4, L=5, center=center))
    labels = Rows(np.arange(20), np.ones(20, np.int64), np.arange(20, dtype=np.int32) * 7, None)
    sets = sampler.per_sample(h, labels, 0, PhaseTimer())
    codes = sampler.hash_tables.codes_of(np.arange(N))
    for i in range(20):
        members = [np.flatnonzero(of_table == of_table[labels.ids[i]]) for of_table in codes]
        found = sets.ids[sets.start[i]:sets.start[i] + sets.count[i]]
        votes = np.bincount(np.concatenate(members), minlength=N)
        assert found[0] == labels.ids[i] and set(found[1:]) <= set(np.flatnonzero(votes)) - {labels.ids[i]}
        left_out = np.setdiff1d(np.flatnonzero(votes), found)
        assert not len(left_out) or votes[left_out].max() <= votes[found[1:]].min()


def test_samples_without_labels_look_up_their_activations():
    sampler, h = bound(tables=Tables(K=4, L=5))
    with_labels = Rows(np.arange(20), np.r_[np.ones(10, np.int64), np.zeros(10, np.int64)], np.arange(20, dtype=np.int32), None)
    views = sampler.query.views(sampler.manager, h, with_labels, 0, PhaseTimer())
    plain = sampler.manager.views(h, PhaseTimer())
    np.testing.assert_array_equal(views.codes[:, 10:], plain.codes[:, 10:])
    assert (views.codes[:, :10] != plain.codes[:, :10]).any()


def test_several_labels_take_turns():
    sampler, h = bound(tables=Tables(K=4, L=5))
    two = Rows(np.zeros(1, np.int64), np.array([2]), np.array([3, 8], np.int32), None)
    first, second = (sampler.query.views(sampler.manager, h[:1], two, step, PhaseTimer()).codes for step in (0, 1))
    assert (first != second).any()
    np.testing.assert_array_equal(first, sampler.query.views(sampler.manager, h[:1], two, 2, PhaseTimer()).codes)


@pytest.mark.parametrize("shape", ["sample", "batch"])
def test_the_contract(shape):
    check_sampler(lambda: LSH(20, shape=shape, query="label", tables=Tables(L=4, rehash=3)))


def test_a_network_trains_and_is_saved(tmp_path):
    X = np.eye(40, dtype=np.float32)[np.arange(200) % 40]
    net = Network(40, 40, hidden=(8,), sampler=LSH(8, query="label", tables=Tables(K=3, L=4)), lr=0.02)
    net.fit(X, np.arange(200) % 40, epochs=40, batch_size=20)
    assert net.evaluate(X, np.arange(200) % 40, k=1)["P@1"] > 0.9
    net.save(tmp_path / "net")
    again = Network.load(tmp_path / "net")
    assert repr(again.sampler) == repr(net.sampler) and "query" in repr(net.sampler)


def test_importance_is_refused():
    with pytest.raises(ValueError, match="query='embedding'"):
        LSH(20, query="label", correction="importance")
