"""Files that earlier versions wrote can be read for ever: ``tests/golden`` holds some of each format version."""

import json
import os
import pathlib
import shutil
import sys

import numpy as np
import pytest

from mongoose_nb import data, nn
from mongoose_nb.commands.cli import main
from mongoose_nb.data import _cache
from mongoose_nb.nn.saving import VERSION
from mongoose_nb.search import LSHIndex, storage

sys.path.insert(0, str(pathlib.Path(__file__).parent / "golden"))
from make import INDEXES, callbacks, networks, problem, rows  # noqa: E402

HERE = pathlib.Path(__file__).parent / "golden"
FOLDERS = sorted(HERE.glob("v*"))


def files(*names):
    """Parameters (folder, name) of those files that there are."""
    found = [(folder, name) for folder in FOLDERS for name in names if any(folder.glob(f"{name}.*"))]
    return pytest.mark.parametrize("folder, name", found, indirect=["folder"], ids=[f"{folder.name}-{name}" for folder, name in found])


@pytest.fixture
def folder(request, tmp_path):
    """A copy, so that nothing that reads can change the files."""
    shutil.copytree(request.param, tmp_path / "v", ignore=shutil.ignore_patterns("more", "run"))
    return tmp_path / "v"


def expected(folder, name):
    return json.loads((folder / "expected.json").read_text())[name]


def test_there_are_files_of_the_present_version():
    assert all((HERE / f"v{VERSION}" / f"{name}.mongoose").exists() for name in networks())
    assert all((HERE / f"v{storage.VERSION}" / f"{metric}.index").exists() for metric in INDEXES)


@files(*networks())
def test_networks(folder, name):
    X, Y = problem()
    net = nn.Network.load(folder / f"{name}.mongoose")
    found, want = net.predict_topk(X[:5], 3), expected(folder, name)
    np.testing.assert_array_equal(found[0], want["ids"])
    np.testing.assert_allclose(found[1], want["scores"], rtol=1e-4, atol=1e-5)  # another processor rounds otherwise
    assert (net.step, net.epoch) == (want["step"], want["epoch"])
    net.predict_topk(X, 3, exact=False)
    assert np.isfinite(net.fit(X, Y, epochs=1)[0]["loss"])


@files(*(name for name in networks() if name != "uniform-served"))
def test_checkpoints(folder, name):
    X, Y = problem()
    net = networks()[name]
    history = net.fit(X, Y, epochs=5, batch_size=8, resume=folder / f"{name}.mongoose", callbacks=callbacks(folder, name))
    assert [entry["epoch"] for entry in history] == [1, 2, 3, 4, 5]
    log = folder / f"{name}.jsonl"
    assert not log.exists() or [json.loads(line)["epoch"] for line in log.read_text().splitlines()] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("saved", [True, False], ids=["saved", "nothing saved"])
def test_runs_of_the_command_line(tmp_path, capsys, saved):
    """A directory of ``mongoose train`` that version 1 wrote is shown, used and gone on with."""
    run = shutil.copytree(HERE / "v1" / "run", tmp_path / "run")
    train = str(run / "train.txt")
    assert main(["report", str(run), "-o", str(tmp_path / "r.html")]) == 0
    assert "uniform" in (tmp_path / "r.html").read_text() and "filler" not in (tmp_path / "r.html").read_text()
    assert main(["evaluate", str(run), train]) == 0
    if not saved:
        (run / "model.mongoose").unlink()
        (run / "metrics.jsonl").unlink()
    assert main(["train", train, "--resume", str(run), "--epochs", "4"]) == 0, capsys.readouterr().err
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4] and all("uniform" in line for line in lines[-2:])
    record = json.loads((run / "settings.json").read_text())
    assert record["format_version"] == 2 and record["network"]["sampler"]["tables"]["L"] == 3
    assert main(["train", train, "--resume", str(run), "--epochs", "5"]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("mapped", [False, True], ids=["read", "mapped"])
@files(*INDEXES)
def test_indexes(folder, name, mapped):
    X, want = rows()[INDEXES[name]], expected(folder, name)
    index = LSHIndex.load(folder / f"{name}.index", mmap=mapped)
    ids, distances = index.query(X[:5], 3)
    np.testing.assert_array_equal(ids, want["ids"])
    np.testing.assert_allclose(distances, want["distances"], rtol=1e-5, atol=1e-5)
    if not mapped:
        index.add(X[:2])
        assert len(index) == 41 and 3 not in index


@files("set")
def test_caches(folder, name):
    X, Y = data.read_xc(folder / "set.txt")
    os.utime(folder / "set.txt", ns=(10**18, 10**18))
    stored = _cache.load(str(folder / "set.txt.npz"), os.stat(folder / "set.txt"))
    assert stored is not None
    for a, b in zip(stored, (X, Y)):
        assert (a != b).nnz == 0
