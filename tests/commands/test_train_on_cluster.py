"""`mongoose train --scheduler` on a cluster of this machine."""

import json

import numpy as np
import pytest
from scipy import sparse

from mongoose_nb import Network, data
from mongoose_nb.commands.cli import main
from mongoose_nb.nn import auto

distributed = pytest.importorskip("dask.distributed")


@pytest.fixture(scope="module")
def address():
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=False, protocol="tcp", dashboard_address=":0") as cluster:
        yield cluster.scheduler_address


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path, rng = tmp_path_factory.mktemp("data") / "train.txt", np.random.default_rng(0)
    label = rng.integers(0, 40, 300)
    X = sparse.csr_matrix((np.ones(300, np.float32), (np.arange(300), label)), shape=(300, 50))
    data.write_xc(path, X, sparse.csr_matrix((np.ones(300, np.float32), (np.arange(300), label)), shape=(300, 40)))
    return str(path)


def test_train_and_resume(address, file, tmp_path, capsys):
    common = [file, "--hidden", "8", "--sampler", "full", "--validation", "0.2", "--scheduler", address, "--ranking", "none"]
    assert main(["train", *common, "--out", str(tmp_path / "a"), "--epochs", "3", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["event"] for line in lines] == ["epoch"] * 3 + ["end"] and lines[0]["shards"] == 2
    assert 0 <= lines[-1]["validation"]["P@1"] <= 1
    assert all(0 < line["time_split"]["messages"] < 1 and min(line["time_split"].values()) >= 0 for line in lines[:3])
    assert main(["report", str(tmp_path / "a"), "-o", str(tmp_path / "page.html")]) == 0
    assert "messages" in (tmp_path / "page.html").read_text()
    assert Network.load(tmp_path / "a" / "model.mongoose").epoch == 3
    assert main(["train", *common, "--out", str(tmp_path / "b"), "--epochs", "2"]) == 0
    assert main(["train", "--resume", str(tmp_path / "b"), "--epochs", "3", "--scheduler", address]) == 0
    nets = [Network.load(tmp_path / name / "model.mongoose") for name in "ab"]
    assert nets[0].step == nets[1].step and all((x == y).all() for x, y in zip(*(net.to_arrays().values() for net in nets), strict=True))
    assert len((tmp_path / "b" / "metrics.jsonl").read_text().splitlines()) == 3
    assert main(["evaluate", str(tmp_path / "b"), file]) == 0
    assert main(["train", *common, "--early-stopping", "0", "--out", str(tmp_path / "c"), "--epochs", "9", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["best_epoch"] >= 1


def test_what_ranks_the_outputs_is_trained(address, file, tmp_path, capsys, monkeypatch):
    """As in one process: the same sources on the same rows; interrupted between, the run goes on."""
    common = ["train", file, "--hidden", "8", "--sampler", "full", "--epochs", "2", "--micro-batch-size", "100"]
    assert main([*common, "--out", str(tmp_path / "here"), "--json"]) == 0
    here = json.loads(capsys.readouterr().out.splitlines()[-1])

    def interrupted(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(auto, "rank", interrupted)
        assert main([*common, "--out", str(tmp_path / "there"), "--scheduler", address]) == 130
    assert f"mongoose train --resume {tmp_path / 'there'} --scheduler {address}" in capsys.readouterr().err
    assert main(["train", "--resume", str(tmp_path / "there"), "--scheduler", address, "--json"]) == 0
    there = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert "kept aside" in there["choice"] and there["choice"].split(":")[0] == here["choice"].split(":")[0]
    nets = [Network.load(tmp_path / name / "model.mongoose") for name in ("here", "there")]
    assert nets[0].ranking.mixture.sources == nets[1].ranking.mixture.sources and nets[0].step == nets[1].step
    assert main(["train", "--resume", str(tmp_path / "there"), "--scheduler", address]) != 0  # it has ended
    assert "has 2 epochs already" in capsys.readouterr().err


def test_what_is_refused(address, file, tmp_path, capsys):
    assert main(["train", file, "--out", str(tmp_path / "run"), "--scheduler", address, "--nonfinite", "skip"]) != 0
    assert "--nonfinite skip does not go with --scheduler" in capsys.readouterr().err
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "model.mongoose").write_text("a network")
    for wrong in (["--compress", "4"], ["--regularizer", "spread-out"]):
        for run in ("old", "run"):
            assert main(["train", file, "--out", str(tmp_path / run), "--overwrite", "--scheduler", address, *wrong]) != 0
        assert [path.name for path in tmp_path.rglob("*")] == ["old", "model.mongoose"]


def test_runs_stay_where_they_began(address, file, tmp_path, capsys):
    run = str(tmp_path / "run")
    assert main(["train", file, "--out", run, "--epochs", "1", "--hidden", "8", "--sampler", "full", "--scheduler", address]) == 0
    assert main(["train", "--resume", run, "--epochs", "2"]) != 0
    assert "was trained on a cluster: give --scheduler" in capsys.readouterr().err
