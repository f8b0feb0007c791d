"""Callbacks: when they are called, how they stop a run, and what the ready-made ones do."""

import json

import numpy as np
import pytest
from nn_problem import FEATURES, OUTPUTS, problem

from mongoose_nb.hashing.inner_product import CenteredInnerProduct
from mongoose_nb.nn import LSH, SGD, Adam, Callback, Checkpoint, EarlyStopping, History, JSONLines, Network, ProgressBar, Tables, Uniform
from mongoose_nb.nn.training.callbacks import as_callback, notify


def network(**settings):
    return Network(FEATURES, OUTPUTS, **{"hidden": (7,), "sampler": Uniform(20), **settings})


class Recorder(Callback):
    """Notes every call, and asks to stop at one of them."""

    def __init__(self, name="", calls=None, stop_at=None):
        self.name, self.calls, self.stop_at = name, [] if calls is None else calls, stop_at

    def _note(self, event, network, logs):
        self.calls.append((self.name, event, dict(logs) if isinstance(logs, dict) else list(logs)))
        return self.stop_at == (event, len([c for c in self.calls if c[:2] == (self.name, event)]))

    def on_fit_begin(self, network, logs):
        return self._note("fit_begin", network, logs)

    def on_batch_end(self, network, logs):
        return self._note("batch_end", network, logs)

    def on_epoch_end(self, network, logs):
        return self._note("epoch_end", network, logs)

    def on_fit_end(self, network, logs):
        return self._note("fit_end", network, logs)


class TestCalls:
    def test_order_and_logs(self):
        X, Y = problem()
        calls = []
        history = network().fit(X, Y, epochs=2, batch_size=10, callbacks=[Recorder("a", calls), Recorder("b", calls)])
        events = [(name, event) for name, event, _ in calls]
        epoch = [*(("a", "batch_end"), ("b", "batch_end")) * 3, ("a", "epoch_end"), ("b", "epoch_end")]
        assert events == [("a", "fit_begin"), ("b", "fit_begin"), *epoch, *epoch, ("a", "fit_end"), ("b", "fit_end")]
        begin = calls[0][2]
        assert begin.pop("X").shape == X.shape and begin.pop("Y").shape == Y.shape
        assert begin == {"epochs": 2, "batches": 3, "batch_size": 10, "samples": 24}
        batches = [logs for name, event, logs in calls if (name, event) == ("a", "batch_end")]
        assert [(b["epoch"], b["batch"], b["samples"]) for b in batches] == [(e, b, n) for e in (1, 2)
                                                                            for b, n in ((0, 10), (1, 10), (2, 4))]
        assert all(b["loss"] > 0 and 0 < b["active_share"] < 1 for b in batches)
        mean = sum(b["loss"] * b["weight"] for b in batches[:3]) / np.count_nonzero(np.diff(Y.indptr))
        assert history[0]["loss"] == pytest.approx(mean)
        assert [logs for name, event, logs in calls if (name, event) == ("b", "epoch_end")] == list(history)
        assert calls[-1][2] == list(history)

    @pytest.mark.parametrize("stop_at, steps, epochs", [
        (("batch_end", 2), 2, 1), (("batch_end", 3), 3, 1), (("batch_end", 4), 4, 2), (("epoch_end", 2), 6, 2),
        (("fit_begin", 1), 15, 5)])
    def test_stopping(self, stop_at, steps, epochs):
        X, Y = problem()
        net, first, second = network(), Recorder("a", stop_at=stop_at), Recorder("b")
        history = net.fit(X, Y, epochs=5, batch_size=10, callbacks=[first, second])
        assert (net.step, net.epoch, len(history)) == (steps, epochs, epochs)
        # all callbacks hear of what stopped the run, and of its end
        assert [c[1] for c in first.calls] == [c[1] for c in second.calls]
        assert [c[1] for c in first.calls][-2:] == ["epoch_end", "fit_end"]
        batches = [c[2] for c in second.calls if c[1] == "batch_end" and c[2]["epoch"] == epochs]
        seen = sum(b["weight"] for b in batches)
        assert history[-1]["loss"] == pytest.approx(sum(b["loss"] * b["weight"] for b in batches) / seen)

    def test_epochs_are_logged(self, caplog):
        """A line at INFO for each, in the logger of the package."""
        X, Y = problem()
        with caplog.at_level("INFO", "mongoose_nb"):
            network().fit(X, Y, epochs=2, batch_size=10)
        lines = [record.getMessage() for record in caplog.records if record.name == "mongoose_nb"]
        assert [line.split("  ")[0] for line in lines] == ["epoch 1/2", "epoch 2/2"] and all("loss" in line for line in lines)

    def test_functions_and_other_objects(self):
        X, Y = problem()
        seen = []

        class Anything:
            def on_fit_end(self, network, logs):
                seen.append(len(logs))

        network().fit(X, Y, epochs=3, callbacks=[lambda net, logs: seen.append(logs["epoch"]) or logs["epoch"] == 2, Anything()])
        assert seen == [1, 2, 2]

    def test_the_base_does_nothing(self):
        X, Y = problem()
        assert len(network().fit(X, Y, epochs=2, callbacks=[Callback()])) == 2

    @pytest.mark.parametrize("wrong", [3, "history", None, EarlyStopping, object()], ids=["3", "history", "None", "class", "object"])
    def test_refusals(self, wrong):
        with pytest.raises(TypeError, match="callbacks must be functions or Callback objects"):
            as_callback(wrong)

    @pytest.mark.parametrize("wrong", [3, "jsonl", ProgressBar()])
    def test_a_single_one_is_no_list(self, wrong):
        with pytest.raises(TypeError, match="callbacks must be a list of callbacks"):
            network().fit(*problem(24), epochs=1, callbacks=wrong)

    def test_one_vote_stops(self):
        assert notify([Recorder(), Recorder(stop_at=("epoch_end", 1)), Recorder()], "on_epoch_end", None, {})
        assert not notify([Recorder(), object()], "on_epoch_end", None, {})


class TestEarlyStopping:
    """Driven with scores of its own, so that the answer is known."""

    @staticmethod
    def run(scores, **settings):
        """(epochs run, epoch whose weights are left, stopper) where epoch i has the score scores[i]."""
        X, Y = problem()
        net = network(optimizer=SGD(1e-3))
        stopper = EarlyStopping("score", **settings)
        weights = {}

        def score(net, logs):
            logs["score"] = logs["loss"] = scores[logs["epoch"] - 1]
            weights[logs["epoch"]] = net.output.weights.value.copy()

        history = net.fit(X, Y, epochs=len(scores), callbacks=[score, stopper])
        left = [e for e, w in weights.items() if np.array_equal(w, net.output.weights.value)]
        return len(history), left[0], stopper

    @pytest.mark.parametrize("scores, settings, epochs, left", [
        ([1, 2, 3, 4], {"patience": 0}, 4, 4),
        ([1, 2, 2, 3], {"patience": 0}, 3, 2),
        ([3, 1, 2, 1, 5], {"patience": 2}, 4, 1),
        ([3, 1, 2, 4, 1], {"patience": 2}, 5, 4),
        ([3, 1, 2, 1, 5], {"patience": 3}, 5, 5),
        ([1, 1.05, 1.1, 1.2], {"patience": 2, "min_delta": 0.15}, 4, 4),
        ([1, 1.05, 1.1, 1.2], {"patience": 0, "min_delta": 0.15}, 2, 1),
        ([3, 1, 1], {"patience": 1, "restore_best": False}, 3, 3),
        ([0.5, 0.4, 0.3], {"patience": 5}, 3, 1),
    ])
    def test_when_it_stops_and_what_it_restores(self, scores, settings, epochs, left):
        ran, kept, stopper = self.run(scores, **settings)
        assert (ran, kept) == (epochs, left)
        if settings.get("restore_best", True):
            assert stopper.best_epoch == left and stopper.best == scores[left - 1]

    def test_a_loss_is_better_when_smaller(self):
        X, Y = problem()
        losses = iter([3.0, 2.0, 2.5, 2.5])
        net = network()
        stopper = EarlyStopping("loss", patience=1)
        history = net.fit(X, Y, epochs=4, callbacks=[lambda net, logs: logs.update(loss=next(losses)), stopper])
        assert len(history) == 4 and stopper.best_epoch == 2

    def test_by_the_argument_of_fit(self):
        X, Y = problem()
        net = network(optimizer=Adam(0.05))
        history = net.fit(X, Y, epochs=60, validation=(X[:6], Y[:6]), early_stopping=2)
        scores = history.column("P@1")
        best = int(np.argmax(scores))
        assert len(history) == min(60, best + 4)
        assert net.evaluate(X[:6], Y[:6])["P@1"] == scores[best]
        again = network(optimizer=Adam(0.05)).fit(X, Y, epochs=60, validation=(X[:6], Y[:6]),
                                                  early_stopping=EarlyStopping(patience=2))
        assert again.column("P@1") == scores

    def test_it_forgets_earlier_runs(self):
        X, Y = problem()
        stopper = EarlyStopping("score", patience=0)
        for scores in ([9, 8], [1, 2, 1]):
            left = iter(scores)
            history = network().fit(X, Y, epochs=5, callbacks=[lambda net, logs, left=left: logs.update(score=next(left)), stopper])
            assert history.column("score") == scores

    def test_restored_weights_are_rehashed(self):
        X, Y = problem()
        net = network(sampler=LSH(20, tables=Tables(K=3, L=4, rehash=1)))
        codes = []
        net.fit(X, Y, epochs=3, callbacks=[lambda net, logs: codes.append(net.output.sampler.hash_tables._codes.copy()),
                                           lambda net, logs: logs.update(score=-logs["epoch"]), EarlyStopping("score", 5)])
        left = net.output.sampler.hash_tables
        kept = net.output.sampler.manager
        rows = CenteredInnerProduct(net.output.weights.value, net.output.bias.value, kept.mean, kept.length)
        np.testing.assert_array_equal(left.codes(rows[:OUTPUTS]), left._codes)
        assert not np.array_equal(left._codes, codes[-1])

    def test_restored_weights_train_on(self):
        X, Y = problem()
        net = network(sampler="lsh")
        net.fit(X, Y, epochs=3, callbacks=[lambda net, logs: logs.update(score=-logs["epoch"]), EarlyStopping("score", 0)])
        assert np.isfinite(net.fit(X, Y, epochs=1)[0]["loss"])

    def test_refusals(self):
        with pytest.raises(ValueError, match="watches 'P@9', but the log has"):
            network().fit(*problem(), epochs=1, callbacks=[EarlyStopping("P@9")])
        with pytest.raises(ValueError, match="patience"):
            EarlyStopping(patience=-1)
        with pytest.raises(ValueError, match="min_delta"):
            EarlyStopping(min_delta=-0.1)


def test_json_lines(tmp_path):
    X, Y = problem()
    for sampler in ("lsh", "full", Uniform(9, shape="batch")):
        network(sampler=sampler).fit(X, Y, epochs=2, validation=(X, Y), callbacks=[JSONLines(tmp_path / "log")])
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2] * 3
    assert all("P@1" in line and line["loss"] > 0 for line in lines)


def test_progress_bar(capsys):
    pytest.importorskip("tqdm")
    X, Y = problem()
    history = network().fit(X, Y, epochs=2, batch_size=10, validation=(X, Y), verbose=1)
    shown = capsys.readouterr().err
    assert "| 24/24 [" in shown and "epoch 1" in shown and "epoch 2" in shown and "epoch 0" not in shown
    assert f"loss={history[1]['loss']:.3f}" in shown and f"P@1={history[1]['P@1']:.4f}" in shown
    network().fit(X, Y, epochs=1, callbacks=[ProgressBar()])
    network().fit(X, Y, epochs=1)
    assert capsys.readouterr().out == ""


def test_progress_bar_without_tqdm(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tqdm.auto", None)
    with pytest.raises(ImportError, match=r"pip install 'mongoose_nb\[progress\]'"):
        network().fit(*problem(), verbose=1)


def test_history_columns():
    history = History([{"a": 1}, {"a": 2}])
    assert history.column("a") == [1, 2] and len(history) == 2
    with pytest.raises(KeyError):
        history.column("b")


@pytest.mark.parametrize("callback", [JSONLines, Checkpoint])
@pytest.mark.parametrize("path", ["no/file", ".", "file/under"])
def test_a_file_that_cannot_be_written_is_refused_before_the_first_step(callback, path, tmp_path, monkeypatch):
    """It was found out at the end of the first epoch."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    net, (X, Y) = network(), problem()[:2]
    with pytest.raises(OSError):
        net.fit(X, Y, epochs=1, callbacks=[callback(path)])
    assert net.step == 0 and [file.name for file in tmp_path.iterdir()] == ["file"]
