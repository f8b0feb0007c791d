"""`mongoose cluster-check` on a cluster of this machine."""

import json

import pytest

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


def test_no_scheduler(capsys):
    assert main(["cluster-check", "tcp://127.0.0.1:9", "--timeout", "0.3"]) == 1
    assert "no Dask scheduler answers at tcp://127.0.0.1:9" in capsys.readouterr().err
