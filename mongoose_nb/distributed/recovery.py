"""What an index on a cluster comes back from: a file for each shard, one that names them, and the changes since."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from mongoose_nb.core import files
from mongoose_nb.core.validation import check_int
from mongoose_nb.distributed.actors import LostError

KIND = "distributed index"
# 2: rows may have keys. What has none is written as version 1.
VERSION = 2


class Recovery:
    """Files and changes of the shards of one index.

    Parameters
    ----------
    directory : path-like or None
        That all workers and the client see; without, nothing is kept.
    every : int
        Changed rows after which files should be written again at the latest. They are due earlier, when a quarter as many rows have
        changed as the files hold: changes since then are lost with the client.
    shards : int
    """

    def __init__(self, directory: str | os.PathLike | None, every: int, shards: int) -> None:
        self.directory = None if directory is None else os.path.abspath(directory)
        self.every, self.shards = check_int("checkpoint_rows", every, low=1), shards
        #: whether there is something to lose
        self.begun = False
        self.restart([None] * shards)

    def restart(self, base: list[Any], rows: int = 0) -> None:
        """From now on shards come back from these files, which hold so many rows."""
        self.base: list[str | None] = base
        self._due = min(self.every, max(1, rows // 4))
        self._log: list[list] = [[] for _ in range(self.shards)]
        self._changed = 0

    def recipe(self, i: int, arguments: dict) -> Iterator[tuple[str, tuple]]:
        """Calls that bring a new shard into the state of shard i."""
        if self.directory is None and self.begun:
            raise LostError(f"the worker of shard {i} died; replicas share the queries and do not stand in for it. Make the index again "
                            "with checkpoint=DIRECTORY, which all workers can read, to have lost shards come back")
        yield "open", (arguments, self.base[i])
        yield from self._log[i]

    @property
    def unsaved(self) -> int:
        """Rows that have changed since the files were written."""
        return self._changed

    @property
    def due(self) -> bool:
        """Whether files should be written again."""
        return self.directory is not None and self._changed >= self._due

    def note(self, method: str, calls: list[tuple | None], rows: int) -> None:
        """Keep calls that have changed the shards, with so many rows."""
        self.begun = True
        self._changed += rows
        if self.directory is None:
            return
        for log, call in zip(self._log, calls, strict=True):
            if call is not None:
                log.append((method, call))

    def write(self, directory: str, save: Callable[[list[str]], None], settings: dict[str, Any],
              keys: dict[str, np.ndarray] | None) -> list[str]:
        """Have every shard write a file in a directory, then the file that names them, with the keys of the rows where they have keys.
        Older ones are removed. Returns their paths."""
        before = read_manifest(directory)["files"] if os.path.exists(manifest(directory)) else []
        tag = os.path.basename(tempfile.mktemp(prefix="", dir=directory))  # no worker that was cut off writes under the same name
        names = [f"shard{i}-{tag}.index" for i in range(self.shards)]
        paths = [os.path.join(directory, name) for name in names]
        save(paths)
        missing = [path for path in paths if not os.path.exists(path)]
        if missing:
            raise FileNotFoundError(f"a worker wrote {missing[0]!r}, which is not there for the client: give a directory that all share")
        files.save(manifest(directory), KIND, {"version": 1 if keys is None else VERSION, "files": names, **settings}, keys or {})
        for name in set(before) - set(names):
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(directory, name))
        return paths


def manifest(directory: str | os.PathLike) -> str:
    """The file in a directory that names the others."""
    return os.path.join(directory, "index.mongoose")


def read_manifest(directory: str | os.PathLike) -> dict[str, Any]:
    """What that file says; ``keys`` are those of the rows, None where they have none.

    Raises
    ------
    FormatError
        It is not one that this program reads.
    """
    saved, keys = files.load(manifest(directory), KIND)
    if saved.get("version") not in range(1, VERSION + 1):
        raise files.FormatError(f"{os.fspath(directory)!r} holds an index of version {saved.get('version')!r}; this program reads up to "
                                f"{VERSION}: upgrade")
    return {**saved, "keys": keys or None}
