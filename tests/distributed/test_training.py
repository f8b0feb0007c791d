"""Training with an output layer in shards, beside training in one process."""

import concurrent.futures as pool
import json
import os
import signal
import threading

import numpy as np
import pytest
from scipy import sparse

from mongoose_nb import Network, nn
from mongoose_nb.compress import Compress
from mongoose_nb.core import files
from mongoose_nb.core.registry import make
from mongoose_nb.distributed import checkpoints, fit, fit_auto
from mongoose_nb.distributed import output as module
from mongoose_nb.nn import auto
from mongoose_nb.nn.layers.gradients import RowGradient
from mongoose_nb.nn.sampling import adaptive
from mongoose_nb.nn.training import backprop
from mongoose_nb.nn.training.lr import Constant

pytest.importorskip("dask.distributed")
rng = np.random.default_rng(0)
N, OUTPUTS = 300, 1000
X = sparse.random(N, 60, 0.2, "csr", np.float32, np.random.RandomState(0))
Y = sparse.csr_matrix((np.ones(2 * N, np.float32), (np.repeat(np.arange(N), 2), rng.integers(0, OUTPUTS, 2 * N))), shape=(N, OUTPUTS))
Y.sum_duplicates()
Y.data[:] = 1


def network(**settings):
    return Network(60, OUTPUTS, **{"hidden": (16,), "sampler": "full", "seed": 3, **settings})


def local(**settings):
    net = network(**settings)
    return net, net.fit(X, Y, epochs=3, batch_size=64)


def weights(net):
    return net.to_arrays()


def same(a, b):
    return all((x == y).all() for x, y in zip(weights(a).values(), weights(b).values()))


CASES = [{}, {"sampler": nn.Uniform(100)}, {"loss": "logistic", "sampler": nn.Uniform(100), "compress": Compress(only=["hidden0"])},
         {"clip_norm": 0.1, "optimizer": "sgd"}]


@pytest.mark.parametrize("settings", CASES, ids=str)
def test_as_in_one_process(threads, settings):
    """One shard has the same bits; 2 and 4 agree to the rounding of float32, where Adam's first steps are the least stable."""
    reference, expected = local(**settings)
    for shards in (1, 2, 4):
        net = network(**settings)
        history = fit(net, X, Y, client=threads, shards=shards, epochs=3, batch_size=64)
        assert net.step == reference.step == 15 and net.epoch == 3 and history[-1]["shards"] == shards
        if shards == 1:
            assert same(net, reference) and history[-1]["loss"] == pytest.approx(expected[-1]["loss"], rel=1e-6)
        for name, array in weights(net).items():
            assert np.abs(array - weights(reference)[name]).max() < 1e-3, name
        assert history[-1]["loss"] == pytest.approx(expected[-1]["loss"], rel=1e-5)
        assert (net.predict_topk(X, 1)[0] == reference.predict_topk(X, 1)[0]).mean() > 0.99
    again = network(**settings)
    fit(again, X, Y, client=threads, epochs=3, batch_size=64)
    assert same(again, net)  # moments came back, too
    again.fit(X, Y, epochs=1)


PARTS = {"full": {}, "uniform": {"sampler": nn.Uniform(100), "clip_norm": 0.1}, "logistic": {"loss": "logistic", "sampler": nn.Uniform(9)},
         "lsh": {"sampler": nn.LSH(200, shape="batch", tables=nn.Tables(K=4, L=8, rehash=5))},
         "sample": {"sampler": nn.Uniform(50, shape="sample")}}


@pytest.mark.parametrize("name", PARTS)
def test_batches_in_parts(threads, name):
    """Gradient accumulation: one shard has the bits of one process; more agree to the rounding of float32."""
    options = {"epochs": 2, "batch_size": 110, "micro_batch_size": 32}
    reference, one, three = (network(**PARTS[name]) for _ in range(3))
    expected = reference.fit(X, Y, **options)
    found = fit(one, X, Y, client=threads, shards=1, **options)
    assert same(one, reference) and one.step == 6 and found[-1]["loss"] == pytest.approx(expected[-1]["loss"], rel=1e-6)
    found = fit(three, X, Y, client=threads, shards=3, **options)
    assert found[-1]["loss"] == pytest.approx(expected[-1]["loss"], rel=1e-5 if name in ("full", "uniform", "logistic") else 0.05)
    for key, array in weights(three).items():
        assert name in ("lsh", "sample") or np.abs(array - weights(reference)[key]).max() < 1e-3, key


def test_messages_of_a_batch_in_parts(threads):
    """Activations are sent once, and a few numbers for a part."""
    bytes_of = [fit(network(), X, Y, client=threads, shards=2, epochs=1, batch_size=100, micro_batch_size=size)[-1]["bytes_sent"]
                for size in (None, 20)]
    assert bytes_of[0] <= bytes_of[1] < 1.1 * bytes_of[0]
    with pytest.raises(ValueError, match="micro_batch_size"):
        fit(network(), X, Y, client=threads, micro_batch_size=0)


def test_rows_of_shards_are_stepped_while_the_client_goes_on(threads, monkeypatch):
    """The message is sent before the hidden layers are updated, and the answer waited for when the next batch has gone through them."""
    order, forward, settle = [], backprop.forward, module.ShardedOutput.settle
    begin, apply = module.ShardedOutput.begin_apply, RowGradient.apply

    def noted(name, function):
        def call(self, *args, **given):
            if name != "settle" or self._pending is not None:
                order.append(name)
            return function(self, *args, **given)
        return call

    monkeypatch.setattr(backprop, "forward", noted("forward", forward))
    monkeypatch.setattr(module.ShardedOutput, "settle", noted("settle", settle))
    monkeypatch.setattr(module.ShardedOutput, "begin_apply", noted("begin", begin))
    monkeypatch.setattr(RowGradient, "apply", noted("hidden", apply))
    fit(network(), X, Y, client=threads, shards=2, epochs=1, batch_size=100)
    assert order == ["forward", "begin", "hidden"] + 2 * ["forward", "settle", "begin", "hidden"] + ["settle"]


def test_rows_go_through_the_features(threads):
    """The first layer sees the same rows; scores leave out rows without labels, as in one process."""
    nets = [network() for _ in range(2)]
    few = Y[:60].copy()
    few.data[:few.indptr[10]] = 0
    few.eliminate_zeros()
    for net in nets:
        net.features = nn.StandardColumns().fit(X)
    options = {"epochs": 2, "batch_size": 64, "validation": (X[:60], few)}
    with pytest.warns(UserWarning, match="10 of 60"):
        expected = nets[0].fit(X, Y, **options)
        found = fit(nets[1], X, Y, client=threads, shards=1, **options)
    assert same(*nets)
    assert [entry["P@5"] for entry in found] == [entry["P@5"] for entry in expected]


@pytest.mark.parametrize("block", [1, 1 << 12])
def test_rows_are_sent_in_blocks(threads, monkeypatch, block):
    """Moments that are zero are not sent at all."""
    monkeypatch.setattr(module, "BLOCK", block * 12 * 16)
    nets = [network(sampler=nn.Uniform(100)) for _ in range(2)]
    for net, client in zip(nets, (None, threads)):
        for epochs in (1, 1):
            net.fit(X, Y, epochs=epochs, batch_size=150) if client is None else fit(net, X, Y, client=threads, shards=1, epochs=epochs,
                                                                                    batch_size=150)
    assert same(*nets)


def test_bytes_of_a_step(threads):
    """Activations, their gradients, and a few numbers a sample: no weights."""
    history = fit(network(), X, Y, client=threads, shards=2, epochs=1, batch_size=50)
    steps, entry = 6, history[-1]
    assert entry["bytes_received"] / steps / 2 < 50 * (16 * 4 + 20)
    assert entry["bytes_sent"] / steps / 2 < 50 * (16 * 4 + 60)


class Own(nn.Uniform):
    """Draws from all rows."""

    of_shard = nn.Sampler.of_shard


def test_what_is_refused(threads):
    net = network()
    before = weights(net)
    with pytest.raises(ValueError, match="sampler='full'"):
        fit(network(sampler=Own()), X, Y, client=threads)
    for only in (None, ["output"]):
        with pytest.raises(TypeError, match="output layer is on a hashed array, .*Network.fit"):
            fit(network(compress=Compress("robe", 4, only=only)), X, Y, client=threads)
    with pytest.raises(ValueError, match="SpreadOut.*Network.fit"):
        fit(network(regularizer="spread-out"), X, Y, client=threads)
    with pytest.raises(ValueError, match="shards"):
        fit(net, X, Y, client=threads, shards=OUTPUTS + 1)
    with pytest.raises(ValueError, match="rows"):
        fit(net, X, Y[:-1], client=threads)
    with pytest.raises(ValueError, match="none of the 300 rows has a label"):
        fit(net, X, sparse.csr_matrix(Y.shape, dtype=np.float32), client=threads)

    class Fails:
        def on_batch_end(self, network, logs):
            if network.step == 2:
                raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        fit(net, X, Y, client=threads, callbacks=[Fails()])
    assert net.step == 0 and all((weights(net)[name] == array).all() for name, array in before.items())


class Interrupts:
    def __init__(self, steps, act):
        self.steps, self.act = list(steps), act

    def on_batch_end(self, network, logs):
        if self.steps and network.step == self.steps[0]:
            self.steps.pop(0)
            self.act()


def test_a_client_that_dies_goes_on(threads, tmp_path):
    expected, net, options = network(), network(), {"client": threads, "epochs": 3, "batch_size": 64, "micro_batch_size": 24}
    fit(expected, X, Y, shards=2, **options)

    def die():
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        fit(net, X, Y, shards=2, **options, checkpoint=tmp_path, checkpoint_steps=3, callbacks=[Interrupts([8], die)])
    again = network()
    history = fit(again, X, Y, **options, checkpoint=tmp_path, checkpoint_steps=3)
    assert same(again, expected) and len(history) == 3 and again.step == 15
    with pytest.raises(ValueError, match="another directory"):
        fit(Network(60, OUTPUTS, hidden=(8,), sampler="full"), X, Y, client=threads, checkpoint=tmp_path)
    with pytest.raises(ValueError, match="rows in a batch"):
        fit(network(), X, Y, client=threads, checkpoint=tmp_path, batch_size=65)


def test_a_checkpoint_of_other_settings_is_refused(threads, tmp_path):
    """Every setting counts, as for `Network.fit(resume=)`; a file of an earlier version, which has a description only, is gone on from."""
    options = {"client": threads, "shards": 2, "batch_size": 150, "checkpoint": tmp_path}
    fit(network(), X, Y, epochs=1, **options)
    for name, value in {"loss": "logistic", "activation": "tanh", "seed": 4, "clip_norm": 0.1, "lr_schedule": "linear", "init_std": 0.5,
                        "lr": 0.5, "hidden": (8,)}.items():
        other = network(**{name: value})
        before = weights(other)
        with pytest.raises(ValueError, match=f"written by a network with {'optimizer' if name == 'lr' else name}=.*another directory"):
            fit(other, X, Y, epochs=2, **options)
        assert other.step == 0 and all((before[key] == array).all() for key, array in weights(other).items())
    path = checkpoints.training_file(tmp_path)
    saved, arrays = files.load(path, checkpoints.KIND)
    del saved["settings"]
    files.save(path, checkpoints.KIND, saved, arrays)
    with pytest.raises(ValueError, match="another directory"):
        fit(network(hidden=(8,)), X, Y, epochs=2, **options)
    assert len(fit(network(), X, Y, epochs=2, **options)) == 2


def test_other_threads_wait_for_a_training(threads, tmp_path):
    """A prediction, a file and arrays of another thread are those of the trained network, and never of half of it; a second training is
    refused and changes nothing."""
    expected, net, found = network(), network(), {}
    fit(expected, X, Y, client=threads, shards=2, epochs=1, batch_size=100)

    def look():
        found["ids"] = net.predict_topk(X, 3)[0]
        net.save(tmp_path / "net")
        found["arrays"] = net.to_arrays()

    def act():
        other.start()
        other.join(0.05)
        assert other.is_alive() and not found
        with pytest.raises(RuntimeError, match="another call of distributed.fit"):
            fit(net, X, Y, client=threads)
        with pool.ThreadPoolExecutor(1) as executor, pytest.raises(RuntimeError, match="another call of distributed.fit"):
            executor.submit(fit, network=net, X=X, Y=Y, client=threads).result(10)

    other = threading.Thread(target=look, daemon=True)
    fit(net, X, Y, client=threads, shards=2, epochs=1, batch_size=100, callbacks=[Interrupts([2], act)])
    other.join(10)
    assert same(net, expected) and (found["ids"] == expected.predict_topk(X, 3)[0]).all()
    assert same(Network.load(tmp_path / "net"), expected)
    assert all((found["arrays"][name] == array).all() for name, array in weights(expected).items())
    fit(net, X, Y, client=threads, shards=2, epochs=1, batch_size=100)  # it is free again
    assert net.step == 6


def test_what_is_no_network_is_refused(threads):
    for function in (fit, fit_auto):
        with pytest.raises(TypeError, match="network must be a Network.*got 'x'"):
            function("x", X, Y, client=threads)


@pytest.mark.slow
def test_workers_that_die(processes, tmp_path):
    """The bits are those of a training in which no worker died."""
    expected, net, bare = network(), network(), network()
    options = {"client": processes, "shards": 2, "epochs": 3, "batch_size": 64, "micro_batch_size": 24}
    fit(expected, X, Y, **options)

    def kill():
        pids = processes.run(os.getpid)
        os.kill(next(iter(pids.values())), signal.SIGKILL)

    history = fit(net, X, Y, **options, checkpoint=tmp_path, checkpoint_steps=4, callbacks=[Interrupts([3, 10], kill)])
    assert same(net, expected) and history[-1]["lost_shards"] >= 1
    processes.wait_for_workers(2)
    with pytest.raises(RuntimeError, match="checkpoint=DIRECTORY"):
        fit(bare, X, Y, **options, callbacks=[Interrupts([3], kill)])
    assert same(bare, network()) and bare.step == 0


TABLES = nn.Tables(K=4, L=8, rehash=5)
SAMPLERS = [nn.LSH(200, shape="batch", tables=TABLES), nn.Adaptive(200, threshold=0.0)]


@pytest.mark.parametrize("sampler", SAMPLERS, ids=["lsh", "adaptive"])
def test_samplers_with_tables(threads, sampler, monkeypatch):
    """One shard has the bits of one process, tables included; of several, each has tables of its own rows, and its part of the
    candidates."""
    monkeypatch.setattr(adaptive, "FIRST_LOOK", 4)
    reference, expected = local(sampler=sampler)
    for shards in (1, 4):
        net = network(sampler=sampler)
        entry = fit(net, X, Y, client=threads, shards=shards, epochs=3, batch_size=64)[-1]
        if shards == 1:
            assert same(net, reference) and entry["retrieved"] == expected[-1]["retrieved"]
        assert entry["retrieved"] > 50 and entry["active"] == pytest.approx(expected[-1]["active"], rel=0.05)
        assert entry["loss"] == pytest.approx(expected[-1]["loss"], rel=0.05)
        assert getattr(net.output.sampler, "hard_negatives", True)
        net.predict_topk(X, 3, exact=False)


LISTS = [{"sampler": nn.Uniform(200, shape="sample"), "clip_norm": 0.1},
         {"sampler": nn.Uniform(200, shape="sample", proposal="mixture"), "loss": "logistic"},
         {"sampler": nn.LSH(200, tables=TABLES, head="auto", proposal="mixture")}, {"sampler": nn.LSH(200, tables=TABLES, query="label")}]


@pytest.mark.parametrize("settings", LISTS, ids=["uniform", "logistic", "lsh", "label"])
def test_candidates_of_each_sample(threads, settings):
    """One shard has the bits of one process; of several, each lists its part of the candidates from its own rows."""
    reference, expected = local(**settings)
    for shards in (1, 4):
        net = network(**settings)
        entry = fit(net, X, Y, client=threads, shards=shards, epochs=3, batch_size=64)[-1]
        if shards == 1:
            assert same(net, reference) and entry["active"] == pytest.approx(expected[-1]["active"])
        assert entry["active"] == pytest.approx(expected[-1]["active"], rel=0.05)
        assert entry["loss"] == pytest.approx(expected[-1]["loss"], rel=0.05)
        assert 0 <= entry["label_recall"] <= 1
        net.fit(X, Y, epochs=1)


def test_all_outputs_as_candidates_are_the_full_softmax(threads):
    """Normalisers of shards are put together, and so are gradients: also of samples whose labels are on one shard, or that have none."""
    few = Y[:100].copy()
    few.data[:few.indptr[9]] = 0
    few.eliminate_zeros()
    nets = [network(sampler=sampler) for sampler in ("full", nn.Uniform(OUTPUTS, shape="sample"))]
    nets[0].fit(X[:100], few, epochs=2, batch_size=30)
    fit(nets[1], X[:100], few, client=threads, shards=3, epochs=2, batch_size=30)
    for name, array in weights(nets[1]).items():
        assert np.abs(array - weights(nets[0])[name]).max() < 1e-3, name


def test_lists_learn_as_well_on_shards(threads):
    """P@1 of a problem that can be learned, beside one process."""
    rows = np.eye(60, dtype=np.float32)[np.arange(600) % 60]
    label, scores = np.arange(600) % 60 * 16, []
    for shards in (0, 3):
        net = network(sampler=nn.LSH(100, tables=TABLES), lr=0.02)
        options = {"epochs": 6, "batch_size": 50}
        net.fit(rows, label, **options) if not shards else fit(net, rows, label, client=threads, shards=shards, **options)
        scores.append(net.evaluate(rows, label)["P@1"])
    assert min(scores) > 0.9 and abs(scores[0] - scores[1]) < 0.05


def test_counts_of_an_output_are_those_of_its_shard():
    """A proposal with counts is cut as the outputs are; counts of shards are put together."""
    sampler = network(sampler=nn.Uniform(9, shape="sample", proposal=nn.Frequency(counts=np.arange(OUTPUTS)))).output.sampler
    parts = [sampler.of_shard(i, 3) for i in range(3)]
    cut = [make("proposal", part["sampler"]["proposal"]).counts for part in parts]
    assert (np.concatenate(cut) == np.arange(OUTPUTS)).all()
    assert {part["sampler"]["candidates"] for part in parts} == {3} and len({part["seed"] for part in parts}) == 3
    joined = sampler.joined_counts([{"labels": 3.0, "active": 10, "label_recall": 1.0}, {"labels": 1.0, "active": 5, "label_recall": 0.0}])
    assert joined == {"labels": 4.0, "active": 15, "label_recall": 0.75}
    assert sampler.joined_counts([{"labels": 0.0, "label_recall": 0.0}] * 2) == {"labels": 0.0, "label_recall": 0.0}


def test_validation_and_early_stopping(threads):
    """The scores are those of the network, and the best weights come back."""
    held = X[:100], Y[:100]
    reference, net = network(lr_schedule="constant"), network(lr_schedule="constant")
    options = {"epochs": 6, "batch_size": 64, "validation": held, "early_stopping": nn.EarlyStopping("loss", 0, min_delta=1.5)}
    expected, found = reference.fit(X, Y, **options), fit(net, X, Y, client=threads, shards=1, **options)
    assert same(net, reference) and len(found) == len(expected) < 6
    assert [entry["P@1"] for entry in found] == [entry["P@1"] for entry in expected]
    several = network(lr_schedule="constant")
    history = fit(several, X, Y, client=threads, shards=4, **options)
    assert len(history) == len(expected)
    for name, array in weights(several).items():
        assert np.abs(array - weights(reference)[name]).max() < 1e-3, name
    with pytest.raises(ValueError, match="give validation="):
        fit(net, X, Y, client=threads, early_stopping=1)
    for callback in (nn.Checkpoint("x"), nn.Diagnostics(), nn.HardnessTracker(X, Y)):
        with pytest.raises(ValueError, match=f"{type(callback).__name__} takes the output weights"):
            fit(net, X, Y, client=threads, callbacks=[callback])


@pytest.mark.parametrize("settings", [{"sampler": SAMPLERS[1]}, LISTS[2]], ids=["adaptive", "lists"])
def test_all_of_the_state_is_in_the_checkpoint(threads, tmp_path, settings, monkeypatch):
    """Tables, the look of the sampler, and kept weights: a training that is gone on with, on shards from files, has the same end."""
    monkeypatch.setattr(adaptive, "FIRST_LOOK", 4)
    expected, net, again = (network(**settings) for _ in range(3))
    options = {"client": threads, "shards": 2, "epochs": 3, "batch_size": 64, "validation": (X[:50], Y[:50])}
    fit(expected, X, Y, **options, early_stopping=nn.EarlyStopping("loss", 5, min_delta=100.0))

    def die():
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        fit(net, X, Y, **options, early_stopping=nn.EarlyStopping("loss", 5, min_delta=100.0), checkpoint=tmp_path, checkpoint_steps=3,
            callbacks=[Interrupts([8], die)])
    assert same(net, network(**settings)) and not getattr(net.output.sampler, "_began", None)  # as before the call
    fit(again, X, Y, **options, early_stopping=nn.EarlyStopping("loss", 5, min_delta=100.0), checkpoint=tmp_path, checkpoint_steps=3)
    assert same(again, expected)


@pytest.mark.parametrize("sampler", ["full", nn.Adaptive(100)], ids=["full", "adaptive"])
def test_what_ranks_is_trained_afterwards(threads, sampler, tmp_path, monkeypatch):
    """`fit_auto` has the bits of `Network.fit_auto` with one shard; rows kept aside are looked at through the shards."""
    monkeypatch.setattr(auto, "FIRST_LOOK", 4)
    rows, label = np.eye(60, dtype=np.float32)[np.arange(240) % 60], np.arange(240) % 60 * 16
    nets = [network(sampler=sampler, lr=0.02) for _ in range(3)]
    expected = nets[0].fit_auto(rows, label, epochs=3, batch_size=32)
    found = fit_auto(nets[1], rows, label, epochs=3, batch_size=32, client=threads, shards=1)
    assert same(*nets[:2]) and found["choice"] == expected["choice"] and found["held_out"] == expected["held_out"]
    assert getattr(nets[1].output.sampler, "_began", None) == getattr(nets[0].output.sampler, "_began", None)
    assert (nets[1].predict_topk(rows, 3)[0] == nets[0].predict_topk(rows, 3)[0]).all() and isinstance(nets[1].lr_schedule, Constant)
    for _ in range(2 * (sampler == "full")):  # the second call goes on from what has ended
        again = network(sampler=sampler, lr=0.02)
        found = fit_auto(again, rows, label, epochs=3, batch_size=32, early_stopping=9, client=threads, shards=2, checkpoint=tmp_path)
        assert len(found["history"]) == 3 and "P@1" in found["history"][-1] and "kept aside" in found["choice"]


def test_chunks_and_dask_arrays(threads):
    array = pytest.importorskip("dask.array")
    dense, labels = X.toarray(), Y.toarray()
    pairs = [(X[lo:lo + 120], Y[lo:lo + 120]) for lo in range(0, N, 120)]
    nets = [network() for _ in range(4)]
    expected = nets[0].fit(pairs, epochs=2, batch_size=50)
    blocks = array.from_array(dense, chunks=(120, 25)), array.from_array(labels, chunks=(70, 300))
    for net, given in zip(nets[1:], [(pairs,), blocks, (blocks[0], Y)]):
        history = fit(net, *given, client=threads, shards=1, epochs=2, batch_size=50)
        assert same(net, nets[0]) and history[-1]["loss"] == pytest.approx(expected[-1]["loss"], rel=1e-6)
    with pytest.raises(ValueError, match="one row of labels for each row"):
        fit(nets[0], blocks[0], Y[:-1], client=threads)
    with pytest.raises(ValueError, match="give labels"):
        fit(nets[0], blocks[0], client=threads)


def read_lines(path):
    """Rows and labels of a file of JSON Lines; runs on a worker."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    dense = np.zeros((len(rows), 60), np.float32)
    for row, one in zip(dense, rows, strict=True):
        row[one["features"]] = one["values"]
    return sparse.csr_matrix(dense), [one["labels"] for one in rows]


def test_files_that_workers_read(threads, tmp_path):
    """Delayed pairs, here of JSON Lines."""
    from dask import delayed

    files = [tmp_path / f"{lo}.jsonl" for lo in range(0, N, 100)]
    for lo, path in zip(range(0, N, 100), files, strict=True):
        path.write_text("\n".join(json.dumps({"features": X[i].indices.tolist(), "values": X[i].data.tolist(),
                                              "labels": Y[i].indices.tolist()}) for i in range(lo, lo + 100)))
    net, reference = network(), network()
    fit(net, [delayed(read_lines)(path) for path in files], client=threads, shards=1, epochs=2, batch_size=50)
    reference.fit([(X[lo:lo + 100], Y[lo:lo + 100]) for lo in range(0, N, 100)], epochs=2, batch_size=50)
    assert same(net, reference)


@pytest.mark.slow
def test_a_worker_dies_while_a_checkpoint_is_written(processes, tmp_path, monkeypatch):
    """Nothing is lost, and the end is the same."""
    expected, net = network(), network()
    fit(expected, X, Y, client=processes, shards=2, epochs=2, batch_size=64)
    save, turns = module.ShardedOutput.save, []

    def killing(self, paths):
        turns.append(len(turns))
        if turns[-1] in (1, 3):
            os.kill(next(iter(processes.run(os.getpid).values())), signal.SIGKILL)
        save(self, paths)

    monkeypatch.setattr(module.ShardedOutput, "save", killing)
    history = fit(net, X, Y, client=processes, shards=2, epochs=2, batch_size=64, checkpoint=tmp_path, checkpoint_steps=3)
    assert same(net, expected) and history[-1]["lost_shards"] >= 1 and len(turns) > 4
