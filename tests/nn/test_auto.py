"""`Network.fit_auto`: rows kept aside, what it chooses, the same bits, and what it refuses."""

import numpy as np
import pytest
from nn_problem import planted
from scipy import sparse

from mongoose_nb import nn
from mongoose_nb.nn import Network
from mongoose_nb.nn.auto import HeldOutLook, epochs_of

X, LABEL = planted(n=1500, n_outputs=300)
TRAIN, TEST = slice(0, 1200), slice(1200, 1500)


def network(**settings):
    return Network(X.shape[1], 300, **{"hidden": (16,), "sampler": "auto", "lr": 0.01, "seed": 4, **settings})


@pytest.fixture(scope="module")
def trained():
    net = network()
    return net, net.fit_auto(X[TRAIN], LABEL[TRAIN], epochs=2, batch_size=100)


def test_better_than_the_network_alone_and_says_why(trained):
    net, report = trained
    assert net.evaluate(X[TEST], LABEL[TEST], k=1)["P@1"] > max(0.9, net.evaluate(X[TEST], LABEL[TEST], k=1, ranked=False)["P@1"])
    assert len(report["history"]) == 2 and "by 120 rows kept aside: P@1" in report["choice"]
    assert all(source in report["choice"] for source in net.ranking.mixture.sources)
    assert net.step == 2 * 11  # 1,080 rows in batches of 100


def test_the_same_again_and_saved(trained, tmp_path):
    net, _ = trained
    other = network()
    other.fit_auto(X[TRAIN], LABEL[TRAIN], epochs=2, batch_size=100)
    other.save(tmp_path / "net")
    for twin in (other, Network.load(tmp_path / "net")):
        for a, b in zip(net.predict_topk(X[TEST], 3), twin.predict_topk(X[TEST], 3), strict=True):
            np.testing.assert_array_equal(a, b)


def test_few_rows_have_no_ranking():
    net = network()
    report = net.fit_auto(X[:40], LABEL[:40], epochs=1)
    assert net.ranking is None and "too few" in report["choice"]


def test_a_good_network_may_stay_alone():
    """Dense rows around centres, which no single feature tells apart."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 3000)
    rows = rng.standard_normal((3000, 2)).astype(np.float32)
    y = (rows[:, 0] * rows[:, 1] > 0).astype(int)  # exclusive or
    net = Network(2, 2, hidden=(32, 32), sampler="full", lr=0.01)
    report = net.fit_auto(rows[:2000], y[:2000], epochs=30)
    assert "network" in report["choice"] and net.evaluate(rows[2000:], y[2000:], k=1)["P@1"] > 0.9


def test_early_stopping_looks_at_the_rows_kept_aside():
    report = network().fit_auto(X[TRAIN], LABEL[TRAIN], epochs=3, early_stopping=5)
    assert all("P@1" in entry for entry in report["history"])


def test_epochs():
    assert [epochs_of(n, 256) for n in (1000, 12_000, 30_000, 1_000_000)] == [50, 10, 4, 3]
    assert epochs_of(1000, 256, dense=True) == 150


def test_the_sampler_is_told_and_does_not_look_itself():
    net = network(sampler=nn.Adaptive(50), lr=0.0001)
    sampler = net.output.sampler
    look = HeldOutLook(*net._check(X[TEST], LABEL[TEST]))
    look.on_fit_begin(net, {})
    sampler._look = None  # it would raise
    net.partial_fit(X[TRAIN], LABEL[TRAIN], batch_size=8)
    look.on_batch_end(net, {})
    assert sampler.told and not sampler.hard_negatives
    sampler.judge(0.05, 128)
    assert not sampler.hard_negatives
    sampler.judge(0.15, 128)
    assert sampler.hard_negatives


@pytest.mark.parametrize("options, message", [({"held_out": 0}, "held_out"), ({"epochs": 0}, "epochs"), ({"held_out": 1.5}, "held_out")])
def test_refusals(options, message):
    with pytest.raises(ValueError, match=message):
        network().fit_auto(X[TRAIN], LABEL[TRAIN], **options)


def test_weights_of_rows_are_for_the_network_alone():
    net = network()
    report = net.fit_auto(X[TRAIN], LABEL[TRAIN], epochs=1, sample_weight=np.ones(1200))
    assert net.ranking is None and "rows have weights" in report["choice"]


def test_a_third_of_few_rows_is_kept_aside():
    y = np.arange(120) % 3
    rows = np.eye(3, dtype=np.float32)[y]
    assert "by 40 rows kept aside" in Network(3, 3, lr=0.01).fit_auto(rows, y, epochs=1)["choice"]


def rings(n=600):
    """Two rings in units of thousands beside a column of noise in millionths."""
    rng = np.random.default_rng(0)
    turn, y = rng.random(n) * 2 * np.pi, rng.integers(0, 2, n)
    rows = np.column_stack([np.cos(turn), np.sin(turn)]) * (1 + y + 0.1 * rng.standard_normal(n))[:, None] * 1000 + 5000
    return np.column_stack([rows, 1e-6 * rng.standard_normal(n)]).astype(np.float32), y


def test_dense_columns_are_standardised_for_the_network_and_its_ranking(tmp_path):
    rows, y = rings()
    net = Network(3, 2, seed=1)
    report = net.fit_auto(rows[:400], y[:400])
    assert isinstance(net.features, nn.StandardColumns) and "StandardColumns" in report["choice"]
    assert net.evaluate(rows[400:], y[400:], k=1)["P@1"] > 0.97
    assert net.evaluate(rows[400:], y[400:], k=1, ranked=False)["P@1"] > 0.97
    net.save(tmp_path / "net")
    twin = Network.load(tmp_path / "net")
    for ranked in (None, False):
        np.testing.assert_array_equal(net.predict_topk(rows, 2, ranked=ranked)[1], twin.predict_topk(rows, 2, ranked=ranked)[1])
    np.testing.assert_array_equal(net.grown(1).hidden_activations(rows), net.hidden_activations(rows))
    assert "StandardColumns" in net.summary()


def test_the_network_learns_from_few_dense_rows_that_were_kept_aside():
    rows, y = rings(300)
    net = Network(3, 2, seed=1)
    net.fit_auto(rows, y, epochs=4, batch_size=50)
    assert net.epoch == 4 and net.step == 4 * 5 + 2 * 6  # 240 rows in batches of 50, then all 300


def test_a_training_that_fails_leaves_no_features():
    rows, y = rings()
    net = Network(3, 2)
    with pytest.raises(ValueError, match="callback"):
        net.fit_auto(rows, y, epochs=1, callbacks=[_failing])
    assert net.features is None


def _failing(network, logs):
    raise ValueError("callback")


def test_sparse_rows_and_trained_networks_have_no_step():
    net = network()
    net.fit_auto(X[TRAIN], LABEL[TRAIN], epochs=1)
    assert net.features is None
    rows, y = rings()
    net = Network(3, 2)
    net.fit(rows, y, epochs=1)
    net.fit_auto(sparse.csr_matrix(rows), y, epochs=1)
    assert net.features is None


def test_rows_without_labels_are_not_kept_aside():
    """Half of the rows have no label: what is reported for the others must not be halved."""
    Y = sparse.csr_matrix((np.ones(1200, np.float32), LABEL[TRAIN], np.arange(1201)), shape=(1200, 300))
    half = sparse.csr_matrix(Y.multiply((np.arange(1200) % 2 == 0)[:, None]))
    half.eliminate_zeros()
    net = network()
    report = net.fit_auto(X[TRAIN], half, epochs=2, batch_size=100)
    assert "by 60 rows kept aside" in report["choice"] and report["held_out"]["mixture"]["P@1"] > 0.8


def test_labels_that_all_occur_once_are_warned_of():
    with pytest.warns(UserWarning, match="occurs in one row only"):
        network().fit_auto(X[:200], np.arange(200), epochs=1)
