"""Clusters on this machine: workers in threads for most tests, in processes where one is killed."""

import pytest


def clients(**settings):
    distributed = pytest.importorskip("dask.distributed")
    with distributed.LocalCluster(threads_per_worker=1, dashboard_address=":0", **settings) as cluster:
        with distributed.Client(cluster) as client:
            yield client


@pytest.fixture(scope="module")
def threads():
    """Four workers in this process."""
    yield from clients(n_workers=4, processes=False)


@pytest.fixture(scope="module")
def processes():
    """Two workers that may be killed."""
    yield from clients(n_workers=2, processes=True, memory_limit="1GB", host="127.0.0.1")
