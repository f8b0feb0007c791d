"""`mongoose cluster-check` on a cluster of this machine."""

import json
import os

import pytest

from mongoose_nb.commands import cluster_check
from mongoose_nb.commands.cli import main

distributed = pytest.importorskip("dask.distributed")


@pytest.mark.slow
def test_cluster_check(capsys):
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0", memory_limit="900MB") as cluster:
        assert main(["cluster-check", cluster.scheduler_address, "--json"]) == 1
        row, = json.loads(capsys.readouterr().out)["workers"]
        assert row["kernel_seconds"] > 0 and row["megabytes_per_second"] > 0 and len(row["problems"]) == 1
        assert main(["cluster-check", cluster.scheduler_address]) == 1
        assert "-> 0.90 GB of memory" in capsys.readouterr().out


def test_a_directory_that_is_not_shared(tmp_path, capsys, monkeypatch):
    """Said of the workers that do not see it, or cannot write."""
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=False, protocol="tcp", dashboard_address=":0") as cluster:
        command = ["cluster-check", cluster.scheduler_address, "--directory"]
        assert main([*command, str(tmp_path)]) == 0 and "0 broken, 2 ok" in capsys.readouterr().out
        assert list(tmp_path.iterdir()) == []
        exists, turns = os.path.exists, []

        def other(path):
            turns.append(path)
            return exists(path) and len(turns) > 1

        monkeypatch.setattr(cluster_check.os.path, "exists", lambda path: other(path) if str(tmp_path) in str(path) else exists(path))
        assert main([*command, str(tmp_path)]) == 1
        assert "1 broken, 1 ok" in (said := capsys.readouterr().out) and f"does not see {tmp_path} of the client" in said
        assert main([*command, str(tmp_path / "none")]) != 0
        assert "is no directory here" in capsys.readouterr().err


def test_no_scheduler(capsys):
    assert main(["cluster-check", "tcp://127.0.0.1:9", "--timeout", "0.3"]) == 1
    assert "no Dask scheduler answers at tcp://127.0.0.1:9" in capsys.readouterr().err
