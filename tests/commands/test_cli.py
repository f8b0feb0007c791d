"""The command line, called in process on small data: every command, its files, its errors."""

import inspect
import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse as sp
from nn_problem import planted

from mongoose_nb import data, metrics, nn
from mongoose_nb.commands import datasets, options, runs
from mongoose_nb.commands.cli import main
from mongoose_nb.core.registry import describe
from mongoose_nb.hashing import SimHash  # noqa: F401  (loads what the first command would otherwise load)
from mongoose_nb.nn.training import loop as training

N_OUTPUTS = 150
SMALL = ["--hidden", "16", "--batch-size", "64", "--sampler", "lsh", "--candidates", "30", "--lr", "0.01"]
# the loop alone, without what ranks the outputs
ALONE = [*SMALL, "--ranking", "none"]


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """train.txt and test.txt in the xc format, and the same as npz; `data` is a directory with both."""
    path = tmp_path_factory.mktemp("cli")
    X, label = planted(n=500, n_outputs=N_OUTPUTS)
    Y = sp.csr_matrix((np.ones(500, np.float32), label, np.arange(501)), shape=(500, N_OUTPUTS))
    data.write_xc(path / "train.txt", X[:400], Y[:400])
    data.write_xc(path / "test.txt", X[400:], Y[400:])
    X, Y = data.read_xc(path / "train.txt")
    np.savez(path / "train.npz", fptr=X.indptr, feat=X.indices, val=X.data, lptr=Y.indptr, lab=Y.indices,
             shape=np.array([*X.shape, Y.shape[1]]))
    return path


@pytest.fixture(scope="session")
def run(folder):
    """A run of four epochs with the LSH sampler; commands that read may share it."""
    assert main(["train", str(folder / "train.txt"), "--out", str(folder / "run"), "--epochs", "4", *ALONE]) == 0
    return folder / "run"


@pytest.fixture
def call(capsys):
    """call(argument, ...) -> (exit code, stdout, stderr)."""
    def invoke(*argv):
        capsys.readouterr()
        code = main([str(a) for a in argv])
        return code, *capsys.readouterr()

    return invoke


def bits(path):
    """Every array of a saved network."""
    from mongoose_nb.core import files as io

    settings, arrays = io.load(path / runs.MODEL, "network")
    for name in ("progress", "callbacks"):  # they hold times
        settings["state"].pop(name, None)
    return settings, {name: array.tobytes() for name, array in arrays.items()}


def assert_refused(answer, *words, code=2):
    """One sentence on stderr, nothing on stdout."""
    got, out, err = answer
    assert got == code, err
    assert out == "" and err.count("\n") == 1 and err.startswith("mongoose"), err
    assert "Traceback" not in err
    for word in words:
        assert word in err


# ---------------------------------------------------------------- the door


def test_help_imports_nothing_heavy():
    """Asking for help must not wait for Numba or SciPy."""
    for argv in (["--help"], ["train", "--help"]):
        done = subprocess.run([sys.executable, "-X", "importtime", "-m", "mongoose_nb", *argv], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0 and "usage: mongoose" in done.stdout
        loaded = {line.rpartition("|")[2].strip().split(".")[0] for line in done.stderr.splitlines()}
        assert not loaded & {"numba", "scipy", "llvmlite", "tqdm", "sklearn", "threadpoolctl"}


def test_version_and_usage(call):
    assert call("--version")[1].startswith("mongoose_nb ")
    code, out, err = call()  # alone it shows what there is
    assert code == 0 and err == "" and all(name in out for name in ("demo", "train", "predict", "reformer"))
    assert_refused(call("--verbose"), "--verbose", "--help")
    assert_refused(call("trian"), "train")
    assert_refused(call("train", "--canddates", "3"), "--canddates", "did you mean --candidates")
    assert_refused(call("train", "--epochs", "two"), "--epochs", "'two'", "integer")
    assert_refused(call("train", "--hidden", "128,x"), "128,x", "wide:N")


def test_every_argument_of_the_library_has_a_flag():
    """A new setting of a sampler or of the network must reach the command line."""
    def names(cls, *without):
        return set(inspect.signature(cls).parameters) - {"n_features", "n_outputs", *without}

    assert names(nn.Network) <= set(options.OPTIONS)
    for sampler in (nn.Full, nn.Uniform, nn.LSH):
        assert names(sampler, "args", "kwargs", "tables") <= set(options.SAMPLER)
    assert names(nn.Tables) == set(options.TABLES) <= set(options.OPTIONS)
    for optimizer in (nn.SGD, nn.AdaGrad, nn.Adam, nn.RowAdam):
        assert names(optimizer, "beta1", "beta2", "eps") <= set(options.OPTIMIZER)


def test_debug_shows_the_traceback(folder):
    with pytest.raises(FileNotFoundError):
        main(["predict", str(folder / "nothing"), str(folder / "train.txt"), "--debug"])


def test_unforeseen_errors_are_one_line(call, run, folder, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("several\nlines")

    monkeypatch.setattr(nn.Network, "predict_topk", broken)
    assert_refused(call("predict", run, folder / "test.txt"), "RuntimeError: several lines", "--debug", code=1)


# ---------------------------------------------------------------- train


@pytest.mark.parametrize("batches", ["lgd", "hardness"])
def test_train_draws_rows(call, folder, tmp_path, batches):
    arguments = ("train", folder / "train.txt", "--ranking", "none", *SMALL, "--batches", batches)
    assert call(*arguments, "--out", tmp_path / "a", "--epochs", "2")[0] == 0
    assert call(*arguments, "--out", tmp_path / "b", "--epochs", "1")[0] == 0
    assert call("train", "--resume", tmp_path / "b", "--epochs", "2")[0] == 0
    one, other = (nn.Network.load(tmp_path / name / runs.MODEL).to_arrays() for name in "ab")
    assert all(np.array_equal(one[name], other[name]) for name in one)
    assert_refused(call(*arguments[:-1], "all", "--out", tmp_path / "c"), "--batches")


def test_train_writes_a_run(call, folder, tmp_path):
    code, out, err = call("train", folder / "train.txt", "--test", folder / "test.txt", "--out", tmp_path / "a" / "b", "--epochs", "3",
                          "--validation", "0.25", "--early-stopping", "5", "--micro-batch-size", "16", *SMALL)
    assert code == 0
    path = tmp_path / "a" / "b"
    assert {p.name for p in path.iterdir()} == {runs.SETTINGS, runs.METRICS, runs.MODEL}
    lines = [json.loads(line) for line in (path / runs.METRICS).read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert set(lines[0]) >= {"loss", "P@1", "samples_per_s", "active_share", "time_split"}
    settings = json.loads((path / runs.SETTINGS).read_text())
    assert settings["network"]["hidden"] == [16]
    assert settings["network"]["sampler"] == describe(nn.LSH(30))
    assert settings["network"]["optimizer"] == describe(nn.Adam(0.01))
    assert settings["training"] == {"epochs": 3, "batch_size": 64, "early_stopping": 5, "save_every": 1, "save_steps": None,
                                    "keep": 1, "nonfinite": "stop", "validation": 0.25, "ranking": "auto",
                                    "batches": "uniform", "micro_batch_size": 16}
    assert settings["data"]["train"]["rows"] == 400 and settings["data"]["test"]["rows"] == 100
    assert settings["versions"]["numba"]
    assert "300 training rows, 100 validation rows, 100 test rows" in err
    line = r"epoch 2/3  loss \d+\.\d+  P@1 0\.\d+  active \d+\.\d+%  [\d,]+ samples/s  (hash|retrieve|forward) \d+%( \w+ [1-9]\d*%)+"
    assert re.search(line, err)
    assert "validation set, 100 rows" in out and "test set, 100 rows" in out and str(path) in out


def test_train_json(call, folder, tmp_path):
    code, out, err = call("train", folder / "train.txt", "--test", folder / "test.txt", "--out", tmp_path / "r", "--epochs", "2", "--json",
                          "--sampler", "full", "--hidden", "16,8", "--ranking", "none")
    assert code == 0
    *epochs, final = [json.loads(line) for line in out.splitlines()]
    assert [e["event"] for e in epochs] == ["epoch", "epoch"] and final["event"] == "end"
    assert {"loss", "P@1", "active_share", "samples_per_s", "time_split"} <= set(epochs[0])
    assert {"run", "model", "epochs", "step", "loss", "seconds", "samples_per_s", "compile_seconds", "test"} <= set(final)
    assert set(final["test"]) == {f"{name}@{k}" for name in ("P", "nDCG", "R") for k in (1, 3, 5)}
    assert final["epochs"] == 2 and final["test"]["P@1"] == epochs[-1]["P@1"]
    assert nn.Network.load(final["model"]).hidden == (16, 8)


def test_train_ranks_the_outputs_by_default(call, folder, tmp_path):
    code, out, _ = call("train", folder / "train.txt", "--test", folder / "test.txt", "--out", tmp_path / "r", *SMALL)
    assert code == 0 and "60 rows kept aside: P@1" in out
    net = nn.Network.load(tmp_path / "r" / runs.MODEL)
    X, Y = data.read_xc(folder / "test.txt")
    assert net.ranking is not None and net.evaluate(X, Y)["P@1"] >= net.evaluate(X, Y, ranked=False)["P@1"]
    code, out, _ = call("train", "--resume", tmp_path / "r", "--epochs", str(net.epoch + 1), "--json")
    final = json.loads(out.splitlines()[-1])
    assert code == 0 and "kept aside" in final["choice"] and final["epochs"] == net.epoch + 1
    assert_refused(call("train", folder / "train.txt", "--out", tmp_path / "s", "--ranking", "most"), "--ranking", "most")


def test_flags_reach_the_library(folder):
    given = {"sampler": "lsh", "candidates": 9, "head": 0.25, "K": "none", "L": 3, "capacity": "none", "rehash": "20:0.5", "rebuild": 2,
             "family": "dwta", "fill": False, "center": False, "hidden": [8, "wide:50", 8], "optimizer": "sgd", "lr": 0.5,
             "momentum": 0.5, "lr_schedule": "linear", "warmup": 3, "activation": "tanh", "clip_norm": 1.0, "seed": 4}
    out = options.network_arguments(given)
    sampler = out["sampler"]
    tables = sampler.tables
    assert (sampler.candidates, sampler.head, tables.K, tables.L, tables.capacity) == (9, 0.25, None, 3, None)
    assert (sampler.fill, tables.center, tables.rebuild, tables.family) == (False, False, 2, "dwta")
    assert repr(tables.rehash) == "ExponentialDecay(period=20, rate=0.5)"
    voting = options.network_arguments({"strategy": "threshold", "min_votes": 3})["sampler"]
    assert isinstance(voting.strategy, nn.Threshold) and voting.strategy.min_votes == 3
    assert repr(out["hidden"]) == repr((8, nn.Wide(50), 8)) and out["seed"] == 4 and out["clip_norm"] == 1.0 and out["activation"] == "tanh"
    assert describe(out["optimizer"]) == describe(nn.SGD(0.5, momentum=0.5))
    assert vars(out["lr_schedule"]) == {"end": 0.0, "warmup": 3}
    assert options.network_arguments({"rehash": options.rehash("drift")})["sampler"].tables.rehash == "drift"
    assert repr(options.network_arguments({"regularizer": "spread-out:0.1"})["regularizer"]) == repr(nn.SpreadOut(0.1))
    assert options.network_arguments({"regularizer": "none"})["regularizer"] is None
    defaults = options.network_arguments({})
    assert describe(defaults["sampler"]) == describe(nn.Auto())
    assert describe(options.network_arguments({"L": 3})["sampler"]) == describe(nn.LSH(tables=nn.Tables(L=3)))
    assert describe(options.network_arguments({"candidates": 9})["sampler"]) == describe(nn.Auto(9))
    assert describe(defaults["optimizer"]) == describe(nn.Adam())
    assert set(defaults) == {"sampler", "optimizer", "lr_schedule"}


def test_help_shows_the_defaults(call):
    """Those of the library."""
    import inspect

    stated = {dest: option.default or option.help for dest, option in options.OPTIONS.items()}
    network, fit = (inspect.signature(f).parameters for f in (nn.Network, nn.Network.fit))
    for name in ("activation", "loss", "init_std", "seed", "sampler", "optimizer", "lr_schedule"):
        assert stated[name].split(",")[0] == str(network[name].default), name
    assert stated["hidden"] == str(network["hidden"].default[0]) and stated["batch_size"] == str(fit["batch_size"].default)
    for shape, part in (("sample", 0), ("batch", -1)):
        sampler = nn.Network(3, 5, hidden=(4,), sampler=nn.LSH(shape=shape)).output.sampler
        rehash, correction = sampler.tables.rehash, describe(sampler.correction)["name"]
        for name, value in {"candidates": sampler.candidates, "head": sampler.head, "L": sampler.tables.L, "correction": correction,
                            "rehash": f"{rehash.period}:{rehash.rate}", "K": None, "rebuild": None, "learn": None,
                            **{name: getattr(sampler.tables, name) for name in ("family", "capacity", "policy")}}.items():
            assert stated[name].split(", ")[part].split()[0] == str(value).lower(), name
    assert nn.Uniform().shape == "batch" and nn.LSH().shape == "sample" and nn.Threshold().min_votes == 2
    for text, optimizer in zip(stated["lr"].split(", "), (nn.Adam(), nn.AdaGrad(), nn.SGD())):
        assert float(text.split()[0]) == optimizer.lr
    code, out, _ = call("train", "--help")
    assert code == 0 and "(default 128)" in out and out.count("\n  mongoose train ") == 3


def test_settings_file(call, folder, tmp_path):
    config = tmp_path / "settings.toml"
    config.write_text(f'data = "{folder / "train.txt"}"\nhidden = [16]\nbatch-size = 64\ncandidates = 20\nlr = 0.5\nepochs = 1\n'
                      'capacity = "none"\nfill = false\nrehash = 10\nvalidation = 0.1\n')
    assert call("train", "--config", config, "--lr", "0.02", "--out", tmp_path / "r")[0] == 0
    settings = json.loads((tmp_path / "r" / runs.SETTINGS).read_text())
    assert settings["network"]["optimizer"]["lr"] == 0.02  # the flag wins
    assert settings["network"]["sampler"]["candidates"] == 20 and settings["network"]["sampler"]["tables"]["capacity"] is None
    assert settings["network"]["sampler"]["fill"] is False and settings["training"]["batch_size"] == 64


@pytest.mark.parametrize("text, words", [
    ("canddates = 3", ("'canddates'", "did you mean candidates")),
    ("[sampler]\ncandidates = 3", ("sampler", "a word")),
    ("epochs = '3 x'", ("epochs", "an integer")),
    ("epochs = 2.5", ("epochs", "2.5", "an integer")),
    ("epochs = true", ("epochs", "an integer")),
    ("fill = 1", ("fill", "true or false")),
    ("validation = 1.5", ("validation", "between 0 and 1")),
    ("batch-size = 3\nbatch_size = 4", ("batch", "twice")),
    ("epochs\nlr = 1", ("not a TOML file", "line 1")),
    ("out = 3", ("out", "a word")),
    ("resume = 'x'", ("unknown key 'resume'",)),
])
def test_settings_file_errors(call, folder, tmp_path, text, words):
    config = tmp_path / "settings.toml"
    config.write_text(text)
    assert_refused(call("train", folder / "train.txt", "--config", config, "--out", tmp_path / "r"), "settings.toml", *words)
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("flags, words", [
    (["--sampler", "full", "--candidates", "5"], ("--candidates", "--sampler full")),
    (["--sampler", "uniform", "--K", "5"], ("--K", "--sampler uniform", "--shape")),
    (["--momentum", "0.5"], ("--momentum", "--optimizer adam", "--lr")),
    (["--warmup", "5"], ("--warmup", "--lr-schedule constant")),
    (["--sampler", "unifrom"], ("unifrom", "uniform")),
    (["--optimizer", "adan"], ("adan", "adam")),
    (["--lr-schedule", "cos"], ("cos", "cosine")),
    (["--activation", "rleu"], ("rleu", "relu")),
    (["--loss", "hinge"], ("hinge", "softmax")),
    (["--format", "parquet"], ("parquet", "svmlight")),
    (["--format", "csv"], ("which column holds the text",)),
    (["--lr", "nan"], ("lr", "finite")),
    (["--epochs", "0"], ("--epochs", "at least 1")),
    (["--hidden", "0"], ("hidden", "0")),
    (["--hidden", "wide:100,8"], ("hidden",)),
    (["--candidates", "0"], ("candidates", "0")),
    (["--early-stopping", "2"], ("--early-stopping", "--validation")),
    (["--validation", "0.0001"], ("--validation", "400 rows")),
    (["--n-labels", "300"], ("--n-labels", "svmlight")),
    (["--threads", "100000"], ("--threads", "100000")),
    (["--threads", "0"], ("--threads", "from 1")),
    (["--seed", "-1"], ("seed", "-1")),
])
def test_settings_that_are_refused(call, folder, tmp_path, flags, words):
    assert_refused(call("train", folder / "train.txt", "--out", tmp_path / "r", *flags), *words)
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("text, words", [
    ("2 3 4\n0 0:1\n1 0:x\n", ("line 3",)),
    ("2 3 4\n0 0:1\n1 0:nan\n", ("line 3",)),
    ("2 3 4\n0 0:1\n1 0:inf\n", ("line 3",)),
    ("2 3 4\n0 0:1\n9 0:1\n", ("line 3", "9")),
    ("3 3 4\n0 0:1\n1 0:1\n", ("3",)),
    ("0 1:1\nx 1:2\n", ("line 2",)),
    ("", ("empty",)),
])
def test_data_that_is_refused(call, tmp_path, text, words):
    path = tmp_path / "bad.txt"
    path.write_text(text)
    assert_refused(call("train", path, "--out", tmp_path / "r"), "bad.txt", *words)
    assert not (tmp_path / "r").exists()


def test_missing_things(call, folder, tmp_path):
    assert_refused(call("train", folder / "none.txt", "--out", tmp_path / "r"), "none.txt", "No such file")
    assert_refused(call("train", folder / "train.txt", "--test", folder / "none.txt", "--out", tmp_path / "r"), "none.txt")
    assert_refused(call("train", folder / "train.txt"), "--out RUN")
    assert_refused(call("train", "--out", tmp_path / "r"), "DATA")
    assert_refused(call("train", folder / "train.txt", "--out", tmp_path / "r", "--config", tmp_path / "none.toml"), "none.toml")
    other = tmp_path / "other.txt"
    other.write_text("1 3 4\n0 0:1\n")
    assert_refused(call("train", folder / "train.txt", "--test", other, "--out", tmp_path / "r"), "3 features", "450")
    assert not (tmp_path / "r").exists()


def test_an_existing_run_is_kept(call, folder, tmp_path):
    out = tmp_path / "r"
    out.mkdir()
    arguments = ["train", folder / "train.txt", "--out", out, "--epochs", "1", *SMALL]
    assert call(*arguments)[0] == 0  # an empty directory will do
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    assert_refused(call(*arguments), "not empty", "--overwrite", "--resume")
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before
    (out / "notes.md").write_text("mine")
    assert call(*arguments, "--overwrite", "--epochs", "2")[0] == 0
    assert len((out / runs.METRICS).read_text().splitlines()) == 2
    assert (out / "notes.md").read_text() == "mine"
    assert_refused(call("train", folder / "train.txt", "--out", folder / "train.txt"), "is a file")


def test_divergence_is_not_a_usage_error(call, folder, tmp_path):
    answer = call("train", folder / "train.txt", "--out", tmp_path / "r", "--lr", "1e30", "--hidden", "8", "--sampler", "full")
    assert answer[0] == 1 and "learning rate" in answer[2].splitlines()[-1]


def test_progress_bar_on_a_terminal(call, folder, tmp_path, monkeypatch):
    pytest.importorskip("tqdm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    code, _, err = call("train", folder / "train.txt", "--out", tmp_path / "r", "--epochs", "2", *SMALL)
    assert code == 0 and "epoch 2:" in err and "epoch 2/2" not in err


def test_rows_without_labels_are_left_out_and_told_of(call, folder, run, tmp_path):
    X, Y = data.read_xc(folder / "test.txt")
    full = sp.vstack([Y, sp.csr_matrix(Y.shape, dtype=Y.dtype)]).tocsr()
    data.write_xc(tmp_path / "half.txt", sp.vstack([X, X]).tocsr(), full)
    (code, out, err), (_, want, _) = (call("evaluate", run, path, "--json") for path in (tmp_path / "half.txt", folder / "test.txt"))
    scores, want = json.loads(out), json.loads(want)
    assert code == 0 and "100 of 200 rows have no label" in err and (scores["rows"], scores["without_labels"]) == (100, 100)
    assert {k: v for k, v in scores.items() if "@" in k} == {k: v for k, v in want.items() if "@" in k}


@pytest.mark.parametrize("epochs", [1, 19, 20, 21, 57, 58, 200])
def test_few_lines_of_progress(call, folder, tmp_path, epochs):
    code, _, err = call("train", folder / "train.txt", "--out", tmp_path / "r", "--epochs", epochs, "--hidden", "4", "--batch-size", "400",
                        "--ranking", "none")
    shown = [int(part) for part in re.findall(r"^epoch (\d+)/", err, re.M)]
    assert code == 0 and shown[0] == 1 and shown[-1] == epochs and len(shown) <= 20 and len(shown) >= min(epochs, 10)
    assert len((tmp_path / "r" / runs.METRICS).read_text().splitlines()) == epochs


def test_the_line_of_the_epoch_where_it_stopped(call, folder, tmp_path):
    code, _, err = call("train", folder / "train.txt", "--out", tmp_path / "r", "--epochs", "100", "--validation", folder / "test.txt",
                        "--early-stopping", "1", *ALONE)
    last = len((tmp_path / "r" / runs.METRICS).read_text().splitlines())
    assert code == 0 and last < 100 and re.findall(r"^epoch (\d+)/", err, re.M)[-1] == str(last)


def test_early_stopping_keeps_the_best(call, folder, tmp_path):
    code, out, _ = call("train", folder / "train.txt", "--out", tmp_path / "r", "--epochs", "30", "--validation", folder / "test.txt",
                        "--early-stopping", "1", "--json", *ALONE)
    assert code == 0
    *epochs, final = [json.loads(line) for line in out.splitlines()]
    best = max(range(len(epochs)), key=lambda i: epochs[i]["P@1"])
    assert final["best_epoch"] == epochs[best]["epoch"]
    assert final["validation"]["P@1"] == epochs[best]["P@1"]
    X, Y = data.read_xc(folder / "test.txt")
    assert nn.Network.load(tmp_path / "r" / runs.MODEL).evaluate(X, Y)["P@1"] == epochs[best]["P@1"]


def test_threads_do_not_matter_and_are_put_back(call, folder, tmp_path):
    import numba

    before = numba.get_num_threads()
    for threads in (1, before):
        assert call("train", folder / "train.txt", "--out", tmp_path / str(threads), "--threads", threads, "--epochs", "2", *SMALL)[0] == 0
        assert numba.get_num_threads() == before
    assert bits(tmp_path / "1") == bits(tmp_path / str(before))


# ---------------------------------------------------------------- resume


def test_resume_equals_uninterrupted(call, run, folder, tmp_path):
    assert call("train", folder / "train.txt", "--out", tmp_path / "r", "--epochs", "2", *ALONE)[0] == 0
    code, out, err = call("train", "--resume", tmp_path / "r", "--epochs", "4", "--json")
    assert code == 0 and "after epoch 2" in err
    assert [json.loads(line)["epoch"] for line in out.splitlines()[:-1]] == [3, 4]
    assert bits(tmp_path / "r") == bits(run)
    one, two = ([json.loads(line) for line in (p / runs.METRICS).read_text().splitlines()] for p in (run, tmp_path / "r"))
    assert [(e["epoch"], e["loss"]) for e in one] == [(e["epoch"], e["loss"]) for e in two]
    assert json.loads((tmp_path / "r" / runs.SETTINGS).read_text())["training"]["epochs"] == 4


def test_resume_after_an_interrupt(call, folder, tmp_path, monkeypatch):
    """Ctrl-C in the third of four epochs, under a learning rate that knows the length of the run, with rows put aside."""
    arguments = ["train", folder / "train.txt", "--epochs", "4", "--lr-schedule", "cosine", "--validation", "0.2", *SMALL]
    assert call(*arguments, "--out", tmp_path / "whole")[0] == 0
    train_step = training.train_step

    def interrupted(network, *args):
        if network.hidden == (16,) and network.epoch == 2:
            raise KeyboardInterrupt
        return train_step(network, *args)

    with monkeypatch.context() as patch:
        patch.setattr(training, "train_step", interrupted)
        code, _, err = call(*arguments, "--out", tmp_path / "r")
    assert code == 130 and err.splitlines()[-1] == f"mongoose: interrupted; go on with: mongoose train --resume {tmp_path / 'r'}"
    with open(tmp_path / "r" / runs.METRICS, "a") as file:
        file.write('{"epoch": 3, "loss": 1.0}\n{"epo')  # as a kill between the two files would leave it
    assert call("train", "--resume", tmp_path / "r")[0] == 0
    assert bits(tmp_path / "r") == bits(tmp_path / "whole")
    assert [json.loads(line)["epoch"] for line in (tmp_path / "r" / runs.METRICS).read_text().splitlines()] == [1, 2, 3, 4]


def die_at(monkeypatch, step):
    """The process ends after so many steps of the real network, not of its narrow twin on which kernels are compiled."""
    train_step = training.train_step

    def dying(network, *args):
        if network.hidden == (24,) and network.step == step:
            raise RuntimeError("killed")
        return train_step(network, *args)

    monkeypatch.setattr(training, "train_step", dying)


@pytest.mark.parametrize("flags", [["--save-steps", "2", "--keep", "2"], ["--save-every", "0"]], ids=["steps", "nothing saved"])
def test_resume_goes_on_counting(call, folder, tmp_path, monkeypatch, flags):
    """Killed three times: early stopping, log and weights are those of a run that was not."""
    arguments = ["train", folder / "train.txt", "--epochs", "12", "--validation", "0.2", "--early-stopping", "1", "--lr", "0.5",
                 "--hidden", "24", "--batch-size", "64", "--candidates", "30", *flags]
    assert call(*arguments, "--out", tmp_path / "whole")[0] == 0
    epochs = len((tmp_path / "whole" / runs.METRICS).read_text().splitlines())
    assert epochs < 12  # it stopped by itself
    resume = ["train", "--resume", tmp_path / "r"]
    for i, step in enumerate((4, 8, 5 * epochs - 1)):
        with monkeypatch.context() as patch:
            die_at(patch, step)
            assert call(*([*arguments, "--out", tmp_path / "r"] if i == 0 else resume))[0] == 1
    code, out, _ = call(*resume, "--json")
    assert code == 0
    assert bits(tmp_path / "r") == bits(tmp_path / "whole")
    one, two = ([json.loads(line) for line in (tmp_path / name / runs.METRICS).read_text().splitlines()] for name in ("whole", "r"))
    for name in ("epoch", "loss", "P@1", "topk_recall", "firings"):
        assert [e[name] for e in one] == [e[name] for e in two]
    assert_refused(call(*resume), "it stopped after", "--epochs")
    assert call(*arguments, "--out", tmp_path / "r", "--overwrite", "--epochs", "1")[0] == 0
    assert not (tmp_path / "r" / (runs.MODEL + ".2")).exists()


def test_resume_refuses(call, run, folder, tmp_path):
    assert_refused(call("train", "--resume", run), "4 epochs", "--epochs")
    assert_refused(call("train", "--resume", run, "--epochs", "6", "--lr", "1"), "--lr", "--resume")
    assert_refused(call("train", "--resume", run, "--epochs", "6", "--out", tmp_path / "x"), "--out", "--resume")
    assert_refused(call("train", "--resume", tmp_path), "settings.json")
    assert_refused(call("train", folder / "test.txt", "--resume", run, "--epochs", "6"), "test.txt", "not the train data")
    assert_refused(call("train", "--resume", run, "--epochs", "6", "--early-stopping", "2"), "--validation")
    other = tmp_path / "other"
    shutil.copytree(run, other)
    record = json.loads((run / runs.SETTINGS).read_text())
    record["data"]["train"]["path"] = 10**30  # a number is an open file to the system
    (other / runs.SETTINGS).write_text(json.dumps(record))
    assert_refused(call("train", "--resume", other, "--epochs", "6"), "damaged")


# ---------------------------------------------------------------- evaluate and predict


@pytest.mark.parametrize("lsh", [False, True])
def test_evaluate(call, run, folder, lsh):
    X, Y = data.read_xc(folder / "test.txt")
    network = nn.Network.load(run / runs.MODEL)
    weights = metrics.inverse_propensity(data.read_xc(folder / "train.txt")[1], 0.5, 0.4)
    expected = network.evaluate(X, Y, k=5, exact=not lsh, propensity=weights)
    recall = metrics.recall_at_k(Y, network.predict_topk(X, 5, exact=not lsh), 5)
    flags = ["--lsh"] if lsh else []
    code, out, _ = call("evaluate", run, folder / "test.txt", "--train", folder / "train.txt", "--A", "0.5", "--B", "0.4", "--json",
                        *flags)
    found = json.loads(out)
    assert code == 0 and found["rows"] == 100 and found["exact"] is not lsh
    assert {name: found[name] for name in expected} == expected
    assert [found[f"R@{k}"] for k in (1, 3, 5)] == pytest.approx(recall[[0, 2, 4]])
    assert expected["P@1"] > 0.06  # it has learned: by guessing, 1 in 150, so many hits come with probability < 1e-5


def test_evaluate_table(call, run, folder):
    code, out, _ = call("evaluate", run / runs.MODEL, folder / "test.txt", "--k", "4")
    assert code == 0 and [line.split()[0] for line in out.splitlines()[1:5]] == ["k", "1", "3", "4"]
    assert "PSP" not in out


def test_evaluate_refuses(call, run, folder, tmp_path):
    assert_refused(call("evaluate", run, folder / "test.txt", "--A", "0.5"), "--train")
    assert_refused(call("evaluate", run, folder / "none.txt"), "none.txt")
    assert_refused(call("evaluate", tmp_path, folder / "test.txt"), runs.MODEL)
    assert_refused(call("evaluate", folder / "train.txt", folder / "test.txt"), "not a mongoose_nb file")
    assert_refused(call("evaluate", run, folder / "test.txt", "--k", "1000"), "k must be", "1000")
    other = tmp_path / "other.txt"
    other.write_text("1 3 150\n0 0:1\n")
    assert_refused(call("evaluate", run, other), "3 features", "450")
    exact = tmp_path / "exact"
    assert call("train", folder / "train.txt", "--out", exact, "--sampler", "full", "--hidden", "8", "--epochs", "1")[0] == 0
    assert_refused(call("evaluate", exact, folder / "test.txt", "--lsh"), "LSH sampler")


def test_fit_serving(call, run, folder, tmp_path):
    out = tmp_path / "served.mongoose"
    code, text, _ = call("fit-serving", run, folder / "train.txt", "--candidates", "60", "--out", out, "--json")
    found = json.loads(text)
    network = nn.Network.load(out)
    X, Y = data.read_xc(folder / "train.txt")
    assert code == 0 and network.retriever.candidates == found["candidates"] == 60
    assert found["P@1_tables"] == network.evaluate(X, Y, k=1, exact=False)["P@1"] >= 0.9 * found["P@1"] > 0.06
    assert nn.Network.load(run / runs.MODEL).retriever is None  # --out leaves the run as it was
    assert call("evaluate", out, folder / "test.txt", "--lsh")[0] == 0
    assert_refused(call("fit-serving", run, folder / "train.txt", "--candidates", "0"), "candidates")
    code, text, _ = call("fit-serving", run, folder / "train.txt", "--retriever", "exact", "--target", "0.01", "--out", out, "--json")
    assert code == 0 and json.loads(text)["reached"] and nn.Network.load(out).retriever.candidates == json.loads(text)["candidates"]
    assert_refused(call("fit-serving", run, folder / "train.txt", "--retriever", "nearest"), "label sensitive")
    held = ("--target", "0.1", "--validation", folder / "test.txt")
    code, text, _ = call("fit-serving", run, folder / "train.txt", *held, "--out", out, "--json")
    network = nn.Network.load(out)
    assert code == 0 and json.loads(text)["exact P@1"] == network.evaluate(*data.read_xc(folder / "test.txt"), k=1)["P@1"]
    both = ("--retriever", "exact", "--target", "0.01", "--candidates", "5")
    assert_refused(call("fit-serving", run, folder / "train.txt", *both), "--target chooses")


def test_predict(call, run, folder, tmp_path):
    X, _ = data.read_xc(folder / "test.txt")
    network = nn.Network.load(run / runs.MODEL)
    ids, scores = network.predict_topk(X, 3)
    code, out, _ = call("predict", run, folder / "test.txt", "--k", "3")
    assert code == 0
    rows = [[pair.split(":") for pair in line.split()] for line in out.splitlines()]
    assert [[int(i) for i, _ in row] for row in rows] == ids.tolist()
    np.testing.assert_allclose([[float(s) for _, s in row] for row in rows], scores, rtol=1e-5)
    target = tmp_path / "p.txt"
    code, nothing, err = call("predict", run, folder / "test.txt", "--k", "3", "--out", target)
    assert code == 0 and nothing == "" and target.read_text() == out and "100 rows" in err
    code, out, _ = call("predict", run, folder / "test.txt", "--lsh", "--json")
    ids, _ = network.predict_topk(X, 5, exact=False)
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["row"] for row in rows] == list(range(100))
    assert [row["ids"] for row in rows] == [[i for i in row if i >= 0] for row in ids.tolist()]
    assert all(len(row["ids"]) == len(row["scores"]) for row in rows)


def test_predict_in_blocks(call, run, folder, monkeypatch):
    """The last bit of a logit may depend on how many rows are multiplied at once: BLAS has other kernels for the edges of a block."""
    from mongoose_nb.commands import predict

    def answers():
        code, out, err = call("predict", run, folder / "test.txt")
        assert code == 0 and not err
        pairs = [[pair.split(":") for pair in line.split()] for line in out.splitlines()]
        return [[int(i) for i, _ in row] for row in pairs], [float(score) for row in pairs for _, score in row]

    ids, scores = answers()
    monkeypatch.setattr(predict, "BLOCK", 7)
    again, others = answers()
    assert again == ids and len(ids) == 100
    np.testing.assert_allclose(others, scores, rtol=2e-5, atol=2e-6)


def test_predict_refuses(call, run, folder, tmp_path):
    content = (folder / "test.txt").read_bytes()
    assert_refused(call("predict", run, folder / "test.txt", "--out", folder / "test.txt"), "is an input")
    assert_refused(call("predict", run, folder / "test.txt", "--k", "0", "--out", tmp_path / "p"), "k must be")
    assert (folder / "test.txt").read_bytes() == content and not (tmp_path / "p").exists()


# ---------------------------------------------------------------- data in other forms


def test_directory_and_npz(call, run, folder, tmp_path):
    """The same rows give the same network and the same fingerprint, however they are stored."""
    for i, source in enumerate((folder, folder / "train.npz")):
        assert call("train", source, "--out", tmp_path / str(i), "--epochs", "4", *ALONE)[0] == 0
        assert bits(tmp_path / str(i)) == bits(run)
        record = json.loads((tmp_path / str(i) / runs.SETTINGS).read_text())["data"]
        assert record["train"]["sha256"] == json.loads((run / runs.SETTINGS).read_text())["data"]["train"]["sha256"]
        assert ("test" in record) == (i == 0)
    assert call("train", "--resume", tmp_path / "0", "--epochs", "5")[0] == 0


def test_svmlight(call, tmp_path):
    """Ids from 1 in all files, although only the training file can tell; the test file knows a label and a feature more."""
    rows = [(i % 3, i % 4 + 1) for i in range(40)]
    (tmp_path / "train.svm").write_text("".join(f"{label} {feature}:1\n" for label, feature in rows))
    (tmp_path / "test.svm").write_text("0,3 2:1 5:1\n2 3:1\n")
    (tmp_path / "zero.svm").write_text("0 0:1\n")
    arguments = ["train", tmp_path / "train.svm", "--epochs", "1", "--hidden", "4", "--sampler", "full", "--out", tmp_path / "r"]
    code, _, err = call(*arguments, "--test", tmp_path / "test.svm")
    assert code == 0 and "40 training rows, 2 test rows, 5 features, 4 labels" in err
    record = json.loads((tmp_path / "r" / runs.SETTINGS).read_text())["data"]
    assert record["train"]["format"] == "svmlight" and record["train"]["zero_based"] is False
    found = call("predict", tmp_path / "r", tmp_path / "test.svm", "--k", "4")
    X = sp.csr_matrix(np.float32([[0, 1, 0, 0, 1], [0, 0, 1, 0, 0]]))
    ids, _ = nn.Network.load(tmp_path / "r" / runs.MODEL).predict_topk(X, 4)
    assert [[int(p.split(":")[0]) for p in line.split()] for line in found[1].splitlines()] == ids.tolist()
    assert_refused(call("evaluate", tmp_path / "r", tmp_path / "zero.svm"), "feature id 0", "--zero-based")
    assert call("evaluate", tmp_path / "r", tmp_path / "zero.svm", "--zero-based", "--k", "1")[0] == 0
    assert call("train", "--resume", tmp_path / "r", "--epochs", "2")[0] == 0
    answer = call(*arguments, "--n-features", "7", "--n-labels", "9", "--overwrite")
    assert answer[0] == 0 and "7 features, 9 labels" in answer[2]
    assert_refused(call(*arguments, "--n-labels", "2", "--overwrite"), "3 labels", "--n-labels is 2")


def test_guess_format(tmp_path):
    for text, expected in (("2 3 4\n", "xc"), ("0 1:2\n", "svmlight"), ("1,2 3:4\n", "svmlight"), ("\n", "xc"), ("", "xc"), ("x y", "xc")):
        path = tmp_path / "file"
        path.write_text(text)
        assert datasets.guess_format(str(path)) == expected, text
    (tmp_path / "file").write_bytes(b"\x1f\x8bxx")
    assert datasets.guess_format(str(tmp_path / "file")) == "xc"
    assert datasets.guess_format("file.npz") == "npz" and datasets.guess_format(str(tmp_path)) == "directory"


def test_fingerprint_sees_everything():
    X = sp.csr_matrix(np.float32([[1, 0], [0, 2]]))
    Y = sp.csr_matrix(np.float32([[1, 0], [0, 1]]))
    other = [sp.csr_matrix(np.float32([[1, 0], [0, 3]])), sp.csr_matrix(np.float32([[1, 0], [2, 0]])),
             sp.csr_matrix((X.data, X.indices, X.indptr), shape=(2, 3))]
    prints = {datasets.fingerprint(Z, Y) for Z in (X, *other)} | {datasets.fingerprint(X, sp.csr_matrix(np.float32([[0, 1], [0, 1]])))}
    assert len(prints) == 5
    assert datasets.fingerprint(X, Y) == datasets.fingerprint(X.copy(), Y.copy())


# ---------------------------------------------------------------- info and demo


def test_info(call):
    code, out, _ = call("info", "--json")
    found = json.loads(out)
    assert code == 0
    assert {"version", "python", "numpy", "scipy", "numba", "extension", "sketch", "threading_layer", "threads", "cpu", "cache_dir",
            "cache_writable", "blas", "huge_pages"} <= set(found)
    assert {found["extension"], found["sketch"]} <= {"compiled", "fallback"} and found["threads"] >= 1
    code, out, _ = call("info")
    assert code == 0 and "kernel cache" in out and "drift sketch" in out and found["numba"] in out


def test_doctor(call, monkeypatch):
    from mongoose_nb.commands import doctor, system

    code, out, _ = call("doctor")
    assert code == 0 and out.splitlines()[-1].startswith("0 broken") and "kernel cache" in out
    code, out, _ = call("doctor", "--json")
    found = json.loads(out)
    assert code == 0 and {c["name"] for c in found["checks"]} >= {"versions", "extension", "C compiler", "threading layer", "huge pages",
                                                                 "kernel cache", "BLAS"}
    monkeypatch.setattr(system, "huge_pages", lambda: "never")
    monkeypatch.setattr(system, "threading_layer", lambda: "workqueue")
    assert doctor.huge_pages().state == doctor.layer().state == "slow" and "madvise" in doctor.huge_pages().advice
    monkeypatch.setattr(system, "threading_layer", lambda: "unknown (asked for: tbb)")
    code, out, _ = call("doctor")
    assert code == 1 and "broken" in out and "pip install tbb" in out


def test_warmup(call, monkeypatch):
    from mongoose_nb.commands import warmup

    done = []
    monkeypatch.setattr(warmup, "STEPS", {"a": lambda: done.append(1), "texts": warmup._texts})
    code, out, err = call("warmup")
    assert code == 0 and done == [1] and "a ..." in err and "compiled in" in out
    assert set(json.loads(call("warmup", "--json")[1])) == {"seconds", "compile_seconds", "cache_dir", "cache_bytes"}


def test_no_memory_is_one_line(call, run, folder, monkeypatch):
    def greedy(*args, **kwargs):
        raise MemoryError("Unable to allocate 9 TiB")

    monkeypatch.setattr(nn.Network, "predict_topk", greedy)
    assert_refused(call("predict", run, folder / "test.txt"), "not enough memory", "9 TiB", code=1)


def test_demo(call, folder, monkeypatch):
    """On the small data; the real one is what `mongoose demo` is for."""
    X, Y = data.read_xc(folder / "train.txt")
    X_test, Y_test = data.read_xc(folder / "test.txt")
    monkeypatch.setattr(data, "load_demo", lambda: (X, Y, X_test, Y_test))
    code, out, err = call("demo", "--json", "--epochs", "3", "--seed", "1", "--threads", "1")
    assert code == 0
    table, last = out.splitlines()[:-1], json.loads(out.splitlines()[-1])
    assert set(last) >= {"dataset", "lsh", "exact", "neighbours", "linear", "auto", "example", "compile_seconds", "epochs", "extension",
                         "version"}
    for name in ("lsh", "exact"):
        assert set(last[name]) == {"P@1", "P@3", "P@5", "active_share", "seconds", "samples_per_s"}
        assert 0 <= last[name]["P@1"] <= 1 and last[name]["samples_per_s"] > 0
    assert last["exact"]["active_share"] == 1.0 and last["epochs"] == 3
    assert last["auto"]["P@1"] > 0.8 and "choice" in last["auto"] and len(last["example"]["labels"]) == 5
    for name in ("network, LSH", "network, exact", "neighbours' vote", "linear", "fit_auto", "chosen: ", "test row 2: "):
        assert any(line.startswith(name) for line in table)
    assert table[-1].startswith("serving")
    assert call("demo", "--epochs", "1")[1].splitlines()[-1].startswith("serving")
    assert_refused(call("demo", "--epochs", "0"), "--epochs")


def test_compilation_is_announced(capsys):
    from numba import njit

    from mongoose_nb.commands.warm import compiling

    with compiling() as clock:
        njit(lambda x: x + 1)(1)
        njit(lambda x: x + 2)(1)
        clock.report()
    err = capsys.readouterr().err
    assert err.count("compiling kernels") == 1 and "compiled in" in err and clock.seconds > 0
    with compiling() as clock:
        clock.report()
    assert capsys.readouterr().err == "" and clock.seconds == 0.0
