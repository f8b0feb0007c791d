"""What is said where Dask or a cluster is missing."""

import subprocess
import sys

import pytest

from mongoose_nb.distributed.cluster import check_directory, check_room, client_of


def test_without_the_extra():
    """Every entry point says what to install, and only that."""
    code = """
import sys
sys.modules["distributed"] = sys.modules["dask"] = None
import mongoose_nb.distributed as d
calls = {name: (lambda value=getattr(d, name): value(*ARGUMENTS[value.__name__])) for name in d.__all__}
ARGUMENTS = {"LSHIndex": ("l2", 3), "predict": ("file", [[1.0]]), "find_duplicates": ([[1, 2]],), "fit": (None, None, None),
             "fit_auto": (None, None, None), "shingles": (["a"],)}
for name, call in calls.items():
    try:
        call()
    except ImportError as error:
        assert "mongoose_nb[dask]" in str(error), error
    else:
        raise SystemExit(name)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_nothing_else_loads_dask():
    code = "import sys, mongoose_nb.nn.network, mongoose_nb.search.index, mongoose_nb.commands.cli, mongoose_nb.distributed.index\n" \
           "assert not {'dask', 'distributed'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_client_is_needed():
    pytest.importorskip("dask.distributed")
    with pytest.raises(ValueError, match="there is no Dask client"):
        client_of()
    with pytest.raises(TypeError, match="must be a distributed.Client"):
        client_of(3)


def test_a_client_that_waits_for_nothing_is_refused(threads):
    import distributed

    async def ask():
        async with distributed.Client(threads.scheduler.address, asynchronous=True) as client:
            with pytest.raises(ValueError, match="asynchronous=True"):
                client_of(client)

    threads.sync(ask)


def test_what_does_not_fit_the_workers_is_refused(threads):
    limit = min(threads.run(lambda dask_worker: dask_worker.memory_manager.memory_limit).values())
    check_room(threads, limit, 4)
    check_room(threads, limit // 2, 8)
    for size, n in ((limit + 1, 4), (limit, 5)):
        with pytest.raises(ValueError, match="GB of weights and moments, and may take .* GB of memory: give the cluster more workers"):
            check_room(threads, size, n)


def test_a_directory_that_a_worker_does_not_see(tmp_path):
    check_directory(str(tmp_path / "file"))
    with pytest.raises(FileNotFoundError, match="does not see the directory .*share, under the same path"):
        check_directory(str(tmp_path / "none" / "file"))
