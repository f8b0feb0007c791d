"""Checkpoints: a training that is killed anywhere goes on as if it had not been, and a failing save costs nothing."""

import errno
import itertools
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from nn_problem import FEATURES, OUTPUTS, assert_same_arrays, digest, problem

from mongoose_nb.core import files as io
from mongoose_nb.core.saving import state_of
from mongoose_nb.hashing.learned import LearnedHash
from mongoose_nb.nn import LSH, Checkpoint, Diagnostics, EarlyStopping, Full, JSONLines, Network, Tables, Uniform, Wide
from mongoose_nb.nn.training.progress import Progress, data_mark
from mongoose_nb.rehash import Drift, ExponentialDecay

SAMPLERS = {
    "full": Full(),
    "uniform-logq": Uniform(30, shape="batch", correction="logq"),
    "lsh-importance": LSH(30, correction="importance", tables=Tables(L=4, K=3, rehash=3)),
    "lsh-rebuild": LSH(30, tables=Tables(K=3, L=6, rehash=4, rebuild=2, capacity=8)),
    "lsh-batch-decay": LSH(30, shape="batch", tables=Tables(K=3, L=6, rehash=ExponentialDecay(2, 0.3), center=False)),
    "lsh-dwta": LSH(30, tables=Tables(K=1, L=6, rehash=4, rebuild=1, family="dwta")),
    "lsh-drift": LSH(30, tables=Tables(K=3, L=6, rehash=Drift(0.02, check_every=3, rows=50, weight="touch"))),
    "lsh-drift-rows": LSH(80, tables=Tables(K=3, L=6, rehash=Drift(0.03, check_every=2, rows=300, per_row=True))),
    "lsh-learn": LSH(30, tables=Tables(K=3, L=6, rehash=4, learn=LearnedHash(first_steps=3, steps=2))),
}
BATCH, EPOCHS = 5, 3  # 5 batches an epoch
TIMES = {"seconds", "samples_per_s", "time_split", "trace"}


class Killed(BaseException):
    """Stands for the end of the process."""


def killed(*args):
    """Instead of a function: the process ends here."""
    raise Killed


def network(sampler="lsh-rebuild", **settings):
    return Network(FEATURES, OUTPUTS, **{"hidden": (7,), "sampler": SAMPLERS[sampler], "seed": 3, "lr_schedule": "cosine", **settings})


def kill_after(step):
    def on_batch_end(net, logs):
        if net.step == step:
            raise Killed

    killer = type("Killer", (), {"on_batch_end": lambda self, net, logs: on_batch_end(net, logs)})()
    return killer


def timeless(history):
    """What a history says, less the times."""
    return [{k: v for k, v in entry.items() if k not in TIMES} for entry in history]


def train(path, net, *more, every=1, epochs=EPOCHS, **settings):
    X, Y = problem()
    return net.fit(X, Y, **{"epochs": epochs, "batch_size": BATCH, "callbacks": [Checkpoint(path, every=every), *more],
                            "resume": path, "validation": (X[:9], Y[:9]), **settings})


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.ckpt"


class TestResuming:
    @pytest.mark.slow
    @pytest.mark.parametrize("sampler", SAMPLERS)
    def test_every_step_may_be_the_last(self, path, sampler):
        """Killed before the checkpoint of each step is written, resumed from that of the step before."""
        hidden = (7, Wide(40, LSH(9, tables=Tables(K=2, L=4, rehash=3))), 5) if sampler == "full" else (7,)
        whole = network(sampler, hidden=hidden)
        history = train(path, whole)
        path.unlink()
        for step in range(2, EPOCHS * 5 + 1, 1 if sampler == "lsh-importance" else 3):
            with pytest.raises(Killed):
                train(path, network(sampler, hidden=hidden), kill_after(step))
        net = network(sampler, hidden=hidden)
        again = train(path, net)
        assert (net.step, net.epoch, len(again)) == (whole.step, whole.epoch, EPOCHS)
        assert_same_arrays(whole, net)
        assert timeless(again) == timeless(history)

    @pytest.mark.parametrize("every", [None, 2, 7])
    def test_from_the_last_checkpoint(self, path, every):
        whole = network()
        train(path, whole, every=every)
        path.unlink()
        for step in (3, 4, 9, 14):
            with pytest.raises(Killed):
                train(path, network(), kill_after(step), every=every)
        net = network()
        train(path, net, every=every)
        assert_same_arrays(whole, net)

    def test_what_callbacks_know(self, path, tmp_path):
        """Early stopping goes on counting and keeps the best weights; the log has every epoch once; diagnostics are the same."""
        scores = iter([3.0, 1.0, 2.0, 1.5, 9.0, 9.0])
        table = {}

        def score(net, logs):
            logs["score"] = table.setdefault(logs["epoch"], next(scores, None))

        def callbacks(log):
            return score, EarlyStopping("score", 2), JSONLines(tmp_path / log), Diagnostics(every=2, rows=8)

        def run(name, *more):
            net = network()
            return net, train(tmp_path / name, net, *callbacks(name + ".jsonl"), *more, epochs=9)

        whole, history = run("whole")
        assert len(history) == 4
        for step in (2, 7, 12, 13, 18):
            with pytest.raises(Killed):
                run("parts", kill_after(step))
        net, again = run("parts")
        assert_same_arrays(whole, net)
        assert timeless(again) == timeless(history)
        for a, b in zip(again, history, strict=True):
            assert a["trace"]["step"] == b["trace"]["step"] and a["trace"]["loss"] == b["trace"]["loss"]
        logs = [[json.loads(line) for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()] for name in ("whole", "parts")]
        assert timeless(logs[0]) == timeless(logs[1])
        # the call has ended: nothing is done again, and with more epochs the count goes on
        before = digest(net)
        net, again = run("parts")
        assert digest(net) == before and len(again) == 4

    def test_killed_between_the_decision_to_stop_and_the_end(self, path, monkeypatch):
        def run(net):
            return train(path, net, lambda n, logs: logs.update(score=-logs["epoch"]), EarlyStopping("score", 0), epochs=9)

        whole = network()
        assert len(run(whole)) == 2
        path.unlink()
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(EarlyStopping, "on_fit_end", killed)
            run(network())
        net = network()
        assert len(run(net)) == 2
        assert_same_arrays(whole, net)

    def test_more_epochs(self, path):
        whole = network(lr_schedule="constant")
        train(path, whole, epochs=5)
        path.unlink()
        train(path, network(lr_schedule="constant"), epochs=2)
        net = network(lr_schedule="constant")
        history = train(path, net, epochs=5)
        assert [e["epoch"] for e in history] == [1, 2, 3, 4, 5]
        assert_same_arrays(whole, net)

    def test_fewer_epochs(self, path):
        """A smaller number than the one that the training began with is honoured."""
        whole = network(lr_schedule="constant")
        train(path, whole, epochs=2)
        path.unlink()
        with pytest.raises(Killed):
            train(path, network(lr_schedule="constant"), kill_after(8), epochs=10)
        net = network(lr_schedule="constant")
        assert [e["epoch"] for e in train(path, net, epochs=2)] == [1, 2]
        assert_same_arrays(whole, net)

    @pytest.mark.parametrize("killed_at, taken", [(10, 2), (8, 2), (7, 2), (14, 3), (None, 3)])
    def test_fewer_epochs_than_were_taken(self, path, killed_at, taken):
        """Refused, and neither the network nor the file is touched; that many, and as often as one likes, is right."""
        try:
            train(path, network(), *[kill_after(killed_at)] * (killed_at is not None))
        except Killed:
            pass
        net, old = network(), path.read_bytes()
        before = digest(net)
        with pytest.raises(ValueError, match=f"epochs={taken - 1} .* give epochs={taken} or more"):
            train(path, net, epochs=taken - 1)
        assert digest(net) == before and (net.step, net.epoch) == (0, 0) and path.read_bytes() == old
        assert len(train(path, network(), epochs=taken)) == taken
        assert len(train(path, network(), epochs=taken)) == taken

    @pytest.mark.parametrize("change", [{"batch_size": 6}, {"epochs": 1}, {"sample_weight": np.arange(24.0) + 1}])
    def test_what_is_refused_changes_nothing(self, path, change):
        train(path, network())
        net = network()
        before = digest(net)
        with pytest.raises(ValueError):
            train(path, net, **change)
        assert digest(net) == before and (net.step, net.epoch) == (0, 0)

    def test_after_an_earlier_training(self, path):
        """Epochs are those of the call, whatever the network went through before."""
        def begun():
            return network().partial_fit(*problem(1), batch_size=BATCH)

        whole = begun()
        train(path, whole)
        path.unlink()
        with pytest.raises(Killed):
            train(path, begun(), kill_after(9))
        net = begun()
        assert len(train(path, net)) == EPOCHS and net.epoch == EPOCHS + 1
        assert_same_arrays(whole, net)

    def test_a_checkpoint_is_a_network(self, path):
        net = network()
        train(path, net)
        assert_same_arrays(net, Network.load(path))

    def test_threads_do_not_matter(self, path):
        import numba

        whole = network()
        train(path, whole)
        path.unlink()
        with pytest.raises(Killed):
            train(path, network(), kill_after(7))
        before = numba.get_num_threads()
        numba.set_num_threads(1)
        try:
            net = network()
            train(path, net)
        finally:
            numba.set_num_threads(before)
        assert_same_arrays(whole, net)


class TestRefusals:
    def test_another_training(self, path):
        X, Y = problem()
        train(path, network())
        with pytest.raises(ValueError, match="rows in a batch"):
            train(path, network(), batch_size=6)
        with pytest.raises(ValueError, match=r"optimizer=\{'name': 'adam', 'lr': 0.002.*this one has optimizer="):
            train(path, network(lr=0.5))
        with pytest.raises(ValueError, match="with 24 rows"):
            network().fit(X[:20], Y[:20], batch_size=BATCH, resume=path)
        with pytest.raises(ValueError, match="other data"):
            network().fit(X * 2, Y, batch_size=BATCH, resume=path)
        network().save(path)
        with pytest.raises(ValueError, match="no checkpoint of a training"):
            train(path, network())

    def test_a_schedule_of_ones_own_is_refused_before_the_first_step(self, path):
        net = network(lr_schedule=lambda step, total: 1.0)
        with pytest.raises(TypeError, match="lr_schedule is .* which a file cannot hold"):
            train(path, net)
        assert net.step == 0

    def test_damage(self, path):
        X, Y = problem()
        network().fit(X, Y, epochs=2, batch_size=BATCH, callbacks=[Checkpoint(path, keep=2)])
        good = path.read_bytes()
        path.write_bytes(good[:-100])
        with pytest.raises(io.FormatError, match=r"an older one is .*run\.ckpt\.1"):
            train(path, network())
        path.write_bytes(good)
        for change in ({"batch": "x"}, {"batch": -1}, {"history": 3}, {"counts": []}, {"seconds": None}):
            settings, arrays = io.load(path, "network")
            settings["state"]["progress"].update(change)
            io.save(path, "network", settings, arrays)
            with pytest.raises(io.FormatError, match="damaged"):
                train(path, network())
            path.write_bytes(good)
        settings, arrays = io.load(path, "network")
        settings["state"]["callbacks"] = {}
        io.save(path, "network", settings, arrays)
        train(path, network())  # nothing is known of callbacks: they start from the beginning

    def test_settings(self):
        with pytest.raises(ValueError, match="every"):
            Checkpoint("x", every=0)
        with pytest.raises(ValueError, match="keep"):
            Checkpoint("x", keep=0)

    def test_progress_round_trip(self):
        progress = Progress(1, 9, 5, 24, 7, 2, [{"loss": 0.1}], True, False, 1.5, 2.25, 0.5, {"a": 1.0}, {"hash": 2.0})
        progress.start()
        again = Progress.from_state(json.loads(json.dumps(state_of(progress))))
        assert again == progress

    def test_marks_tell_data_apart(self):
        X, Y = problem()
        other = X.copy()
        other.data[3] += 1
        assert len({data_mark(X, Y), data_mark(other, Y), data_mark(X[:-1], Y), data_mark(X, Y[:-1]), data_mark(Y, X)}) == 5
        assert data_mark(X, Y) == data_mark(X.copy(), Y.copy())


class TestFiles:
    def test_keeps_the_last(self, path):
        X, Y = problem()
        network().fit(X, Y, epochs=4, batch_size=BATCH, callbacks=[Checkpoint(path, keep=3)])
        files = sorted(p.name for p in path.parent.iterdir())
        assert files == ["run.ckpt", "run.ckpt.1", "run.ckpt.2"]
        # the last is written once more when the call ends
        assert [Network.load(path.parent / name).epoch for name in files] == [4, 4, 3]

    @pytest.mark.parametrize("function", ["link", "replace", "fsync", "unlink"])
    def test_a_kill_anywhere_in_a_save_leaves_a_whole_file(self, path, monkeypatch, function):
        """The n-th call of a system function never happens, for every n that there is."""
        whole = network()
        train(path, whole, epochs=1)
        path.unlink()
        for n in itertools.count():
            calls = itertools.count()
            real = getattr(os, function)

            def dying(*args, real=real, calls=calls, n=n, **kwargs):
                if next(calls) >= n:  # nothing after it happens either, so no tidying up
                    raise Killed
                return real(*args, **kwargs)

            monkeypatch.setattr(os, function, dying)
            try:
                X, Y = problem()
                network().fit(X, Y, epochs=1, batch_size=BATCH, resume=path, callbacks=[Checkpoint(path, every=2, keep=2)])
                ended = True
            except Killed:
                ended = False
            monkeypatch.undo()
            net = network()
            if path.exists():
                Network.load(path)
            if ended:
                break
        assert n > 0
        train(path, net, epochs=1)
        assert_same_arrays(whole, net)
        assert not list(path.parent.glob("*.part"))  # leftovers are gone

    @pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
    def test_no_room(self, path, monkeypatch, error):
        train(path, network(), epochs=1)
        old = path.read_bytes()

        def full(handle):
            raise OSError(error, os.strerror(error))

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="the file that was there is as it was") as caught:
            train(path, network(), epochs=2)
        assert caught.value.errno == error and caught.value.filename == os.fspath(path)
        assert path.read_bytes() == old and len(list(path.parent.iterdir())) == 1

    def test_a_limit_of_the_file_size(self, path):
        """The kernel's own refusal: the file may not grow beyond 4 kB."""
        code = ("import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
                "import numpy as np; from mongoose_nb.core import files as io\n"
                "io.save(sys.argv[1], 'x', {}, {'a': np.zeros(10)})\n"
                "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
                "io.save(sys.argv[1], 'x', {}, {'a': np.zeros(10**6)})\n")
        done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
        assert done.returncode == 1 and "File too large; the file that was there is as it was" in done.stderr
        assert len(io.load(path, "x")[1]["a"]) == 10 and len(list(path.parent.iterdir())) == 1

    def test_a_directory_that_cannot_be_written(self, path, monkeypatch):
        """Root may write anywhere, so the refusal is the one that others get."""
        import tempfile

        def refuse(*args, **kwargs):
            raise PermissionError(errno.EACCES, "Permission denied", "/somewhere/run.ckpt.abc.part")

        monkeypatch.setattr(tempfile, "mkstemp", refuse)
        with pytest.raises(PermissionError, match=r"Permission denied; nothing was written: '.*run.ckpt'"):
            train(path, network(), epochs=1)

    def test_leftovers_of_others_stay(self, path):
        other = path.parent / "run.ckpt2.abc.part"
        for name in (other, path.parent / "run.ckpt.abc.part"):
            name.write_bytes(b"half")
        io.remove_leftovers(path)
        assert [p.name for p in path.parent.iterdir()] == [other.name]


@pytest.mark.slow
def test_a_process_that_is_killed(tmp_path):
    """As ``benchmarks/reliability/kills.py``, at a few moments only: SIGKILL while the process trains and saves.

    The run that nobody kills has a process of its own too, the second one: the first compiles what was not, and compiled code may round
    otherwise than the same code from the cache.
    """
    code = ("import sys; sys.path.insert(0, sys.argv[2]); from nn_problem import problem, FEATURES, OUTPUTS, digest\n"
            "from mongoose_nb import nn\n"
            "net = nn.Network(FEATURES, OUTPUTS, hidden=(7,), sampler=nn.LSH(30, tables=nn.Tables(K=3, L=6, rehash=4)),\n"
            "                 seed=3)\n"
            "print('ready', flush=True)\n"
            "net.fit(*problem(), epochs=30, batch_size=5, callbacks=[nn.Checkpoint(sys.argv[1], every=1, keep=2)], resume=sys.argv[1])\n"
            "print(digest(net))\n")
    def arguments(name):
        return [sys.executable, "-c", code, str(tmp_path / name), os.path.dirname(os.path.dirname(os.path.dirname(__file__)))]

    wholes = [subprocess.run(arguments(name), stdout=subprocess.PIPE, text=True, check=True).stdout for name in ("first", "whole")]
    rng = np.random.default_rng(0)
    kills = 0
    for wait in (*rng.uniform(0.05, 0.4, 4), None):
        process = subprocess.Popen(arguments("run"), stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "ready\n"
        try:
            out, _ = process.communicate(timeout=wait)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            out, _ = process.communicate()
            kills += 1
    assert out.split()[-1] == wholes[1].split()[-1] and kills
