"""Lists of a batch that ask the tables only where labels stand out."""

import numpy as np
import pytest
from nn_problem import assert_same_arrays, planted

from mongoose_nb.core.arrays import Rows
from mongoose_nb.core.saving import restore, split, state_of
from mongoose_nb.nn import Adam, Adaptive, Auto, Checkpoint, Diagnostics, Network
from mongoose_nb.nn.sampling.adaptive import FIRST_LOOK, SAMPLES, count_hits
from mongoose_nb.nn.saving_v1 import sampler_state_v1


@pytest.fixture(scope="module")
def data():
    return planted()


@pytest.fixture
def few(monkeypatch):
    """`Auto` takes it for few outputs too, with few candidates."""
    monkeypatch.setattr(Auto, "choose", lambda self, n_outputs: Adaptive(20))


def network(X):
    return Network(X.shape[1], 120, hidden=(16,), sampler="auto", optimizer=Adam(0.02), seed=1)


def test_hits_are_those_of_all_outputs():
    rng = np.random.default_rng(0)
    h, W, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((40, 6), (30, 6), 30))
    best = np.argmax(h @ W.T + b, axis=1)
    labels = [[], [int(best[1])], [3, int(best[2])], *([int(rng.integers(30))] for _ in range(37))]
    labels = [sorted(set(ids)) for ids in labels]
    count = np.array([len(ids) for ids in labels])
    rows = Rows(np.cumsum(count) - count, count, np.concatenate(labels).astype(np.int32), None)
    assert count_hits(best, rows) == sum(best[i] in ids for i, ids in enumerate(labels))


def test_tables_are_asked_once_labels_stand_out(data, few):
    X, label = data
    net = network(X)
    net.fit(X, label, epochs=1, batch_size=10)  # 120 steps, and no look yet
    sampler = net.output.sampler
    assert not sampler.hard_negatives and not sampler.hash_tables.built and sampler.counts()["retrieved"] == 0 < sampler.counts()["uniform"]
    assert (sampler.peek(np.zeros((2, 16), np.float32)).n_exact == 0).all()
    net.fit(X, label, epochs=1, batch_size=10)
    assert net.step > FIRST_LOOK + SAMPLES // 10 and sampler.hard_negatives and sampler.hash_tables.built
    assert sampler.counts()["retrieved"] > 0
    assert sampler.peek(np.zeros((2, 16), np.float32)).n_exact > 0
    assert net.evaluate(X, label, k=1)["P@1"] > 0.9


def test_tables_are_never_asked_where_labels_are_chance(data, few):
    X, _ = data
    label = np.random.default_rng(3).integers(0, 120, X.shape[0])
    net = network(X)
    net.fit(X, label, epochs=3, batch_size=10)
    assert net.step > 2 * FIRST_LOOK and not net.output.sampler.hard_negatives and not net.output.sampler.hash_tables.built


def test_what_else_a_network_does_before_tables_are_asked(data, few, tmp_path):
    X, label = data
    net = network(X)
    history = net.fit(X, label, epochs=1, batch_size=10, callbacks=[Diagnostics()])
    assert not net.output.sampler.hard_negatives
    assert "bucket_mean" not in history[0] and history[0]["firings"] == 0 and 0 <= history[0]["topk_recall"] <= 1
    ids, scores = net.predict_topk(X[:5], k=3, exact=False)
    assert ids.shape == (5, 3) and not net.output.sampler.hash_tables.built
    net.save(tmp_path / "net")
    np.testing.assert_array_equal(Network.load(tmp_path / "net").predict_topk(X[:5], k=3)[0], net.predict_topk(X[:5], k=3)[0])
    history = net.fit(X, label, epochs=1, batch_size=10, callbacks=[Diagnostics()])
    assert net.output.sampler.hard_negatives and history[-1]["bucket_mean"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("step", [FIRST_LOOK - 3, FIRST_LOOK + 3, FIRST_LOOK + 60], ids=["before", "in a look", "after"])
def test_gone_on_with(data, few, tmp_path, step):
    X, label = data
    path = tmp_path / "run.ckpt"

    class Ended(BaseException):
        pass

    class End:
        def on_batch_end(self, net, logs):
            if net.step == step:
                raise Ended

    settings = {"epochs": 2, "batch_size": 10}
    whole = network(X)
    whole.fit(X, label, **settings, callbacks=[Checkpoint(tmp_path / "whole.ckpt")])
    with pytest.raises(Ended):
        network(X).fit(X, label, **settings, callbacks=[Checkpoint(path, every=1), End()])
    again = network(X)
    again.fit(X, label, **settings, callbacks=[Checkpoint(path)], resume=path)
    assert_same_arrays(again, whole)
    assert again.output.sampler.hard_negatives and split(state_of(again.output.sampler))[0] == split(state_of(whole.output.sampler))[0]


def test_auto_takes_it_and_is_saved_by_name(tmp_path):
    net = Network(5, Auto.ALL_UP_TO + 1, sampler="auto", seed=1)
    assert type(net.output.sampler) is Adaptive
    net.save(tmp_path / "net")
    assert type(Network.load(tmp_path / "net").output.sampler) is Adaptive


def test_the_schedule_counts_from_the_first_asking(data, few):
    X, label = data
    net = network(X)
    net.fit(X, label, epochs=2, batch_size=10)
    sampler = net.output.sampler
    assert sampler.hard_negatives and sampler.manager.rehashes == 1 and sampler.fired == 0  # built once; the first gap is 300 steps
    assert repr(sampler) == "Adaptive(candidates=20, threshold=0.2)"


def test_a_state_of_before_there_were_looks_goes_on_asking(data, few):
    X, label = data
    net = network(X)
    restore(net.output.sampler, sampler_state_v1({"observed": 0, "length": 0.0, "extra": 1.0, "rehashes": 0, "moved": 0, "fired": 0,
                                                  "reinserted": 0, "tables": None, "mean": np.zeros(16, np.float32),
                                                  "query_mean": np.zeros(16, np.float32),
                                                  "schedule": state_of(net.output.sampler.schedule)}))
    assert net.output.sampler.hard_negatives
