"""An index whose rows are spread over the workers of a Dask cluster."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from mongoose_nb.core import files
from mongoose_nb.core.registry import describe, parameters
from mongoose_nb.core.validation import check_int
from mongoose_nb.distributed.actors import LostError, Shards
from mongoose_nb.distributed.cluster import client_of, workers_of
from mongoose_nb.distributed.merging import merge_answers
from mongoose_nb.hashing.rows import is_sparse
from mongoose_nb.search.ids import as_ids
from mongoose_nb.search.index import LSHIndex as LocalIndex

if TYPE_CHECKING:
    from mongoose_nb.search.metrics import Metric

KIND = "distributed index"
VERSION = 1
# Rows that may change before shards with a checkpoint directory are written again.
CHECKPOINT_ROWS = 100_000


def shard_of(ids: np.ndarray, shards: int) -> np.ndarray:
    """The shard of every id, by a hash of it (the finalizer of SplitMix64).

    Parameters
    ----------
    ids : (m,) int64
    shards : int

    Returns
    -------
    (m,) int64
    """
    with np.errstate(over="ignore"):
        x = ids.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return ((x ^ (x >> np.uint64(31))) % np.uint64(shards)).astype(np.int64)


class IndexShard:
    """The local index of one shard; lives on a worker."""

    def open(self, arguments: dict, path: str | None) -> None:
        """Begin empty, or with what a file holds."""
        self.index = LocalIndex(**arguments) if path is None else LocalIndex.load(path)

    def change(self, what: str, ids: np.ndarray, X: Any = None) -> None:
        """Add, update or remove rows."""
        if what == "add":
            self.index.add(X, ids, any_id=True)
        elif what == "update":
            self.index.update(ids, X)
        else:
            self.index.remove(ids)

    def among(self, ids: np.ndarray) -> np.ndarray:
        """Whether ids are in the index, (m,) bool."""
        return np.array([id in self.index for id in ids.tolist()], bool)

    def query(self, Q: Any, k: int, options: dict) -> tuple[np.ndarray, np.ndarray]:
        """As `LSHIndex.query`."""
        return self.index.query(Q, k, **options)

    def rows(self, ids: np.ndarray) -> Any:
        """As `LSHIndex.get`."""
        return self.index.get(ids)

    def ids(self) -> np.ndarray:
        """All ids."""
        return self.index.ids

    def stats(self) -> dict:
        """As `LSHIndex.stats`."""
        return self.index.stats()

    def save(self, path: str) -> None:
        """Write the shard to a file."""
        self.index.save(path)


class LSHIndex:
    """`mongoose_nb.LSHIndex` in shards: a row is on the worker that a hash of its id names, and a query asks all of them.

    Every shard is a local index of its rows, with the settings that are given. Its hashes per table follow from its own number of rows,
    so that a query finds at least what it finds in one index of all rows. Answers are merged exactly.

    Parameters
    ----------
    metric : str, dict or Metric
    dim : int
        As for the local index.
    client : distributed.Client or str, optional
        Or the address of a scheduler; by default the client that was made last.
    shards : int, optional
        By default the number of workers. It cannot change later; with more shards than workers `rebalance` can use workers that join.
    checkpoint : path-like, optional
        A directory that all workers can read and write. A shard whose worker dies comes back from its last file there and from the
        changes since, which the client holds: nothing is lost. By default a shard that dies is an error.
    checkpoint_rows : int
        Changed rows after which the directory is written again.
    **options
        Of the local index, such as ``L`` and ``seed``.

    Notes
    -----
    Threads may share the object; their calls take turns. Of a change that fails, the error of the local index is raised, and all shards
    are as they were. ``tune``, ``radius``, ``merge`` and filters are those of the local index only: tune one there, with the rows of a
    shard, and give its settings.

    Examples
    --------
    Of a program that has a cluster::

        client = distributed.Client("tcp://scheduler:8786")
        index = LSHIndex("cosine", dim=128, client=client, checkpoint="/shared/index")
        index.add(X)
        ids, distances = index.query(Q, k=10)
    """

    def __init__(self, metric: str | dict | Metric, dim: int, *, client: Any = None, shards: int | None = None,
                 checkpoint: str | os.PathLike | None = None, checkpoint_rows: int = CHECKPOINT_ROWS, **options: Any) -> None:
        self._empty = LocalIndex(metric, dim, **options)
        client = client_of(client)
        shards = len(workers_of(client)) if shards is None else check_int("shards", shards, low=1)
        self._begin(client, shards, checkpoint, checkpoint_rows)
        if checkpoint is not None:
            if os.path.exists(_manifest(checkpoint)):
                raise FileExistsError(f"{os.fspath(checkpoint)!r} holds an index already: read it with LSHIndex.load, or give another "
                                      "directory")
            os.makedirs(checkpoint, exist_ok=True)
        self._shards = Shards(client, IndexShard, shards, self._recipe)
        if checkpoint is not None:
            self.checkpoint()

    def _begin(self, client, shards, checkpoint, checkpoint_rows):
        self._client, self._n, self._next_id, self._rows = client, shards, 0, 0
        self._directory = None if checkpoint is None else os.path.abspath(checkpoint)
        self._every = check_int("checkpoint_rows", checkpoint_rows, low=1)
        self._base: list[str | None] = [None] * shards  # files that shards come back from
        self._log: list[list] = [[] for _ in range(shards)]  # changes since
        self._changed, self._ready = 0, False
        self._lock = threading.RLock()

    def _arguments(self):
        out = {name: getattr(self._empty, name) for name in parameters(LocalIndex)}
        builder = self._empty.builder
        return out | {"metric": describe(builder.metric, "metric"), "family": builder.family.describe()}

    def _recipe(self, i):
        if self._directory is None and self._ready:
            raise LostError(f"the worker of shard {i} died, and its rows with it: make the index again with checkpoint=DIRECTORY, which "
                            "all workers can read, to have lost shards come back")
        yield "open", (self._arguments(), self._base[i])
        for change in self._log[i]:
            yield "change", change

    # --- what is in it ------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return self._rows

    @property
    def n_shards(self) -> int:
        """Number of shards."""
        return self._n

    @property
    def workers(self) -> list[str | None]:
        """Addresses of the workers, by shard."""
        return list(self._shards.workers)

    @property
    def lost(self) -> int:
        """How many shards have come back from a worker that died."""
        return self._shards.lost

    @property
    def ids(self) -> np.ndarray:
        """All ids, (n,) int64, ascending."""
        with self._lock:
            return np.sort(np.concatenate(self._shards.call_or_raise("ids", [()] * self._n)))

    def get(self, ids: np.ndarray) -> Any:
        """The rows of these ids, as they are kept: dense or CSR.

        Parameters
        ----------
        ids : array_like of shape (m,)

        Raises
        ------
        KeyError
            An id is not in the index.
        """
        with self._lock:
            ids = as_ids(ids)
            self._check_present(ids)
            parts = self._parts(ids)
            rows = [part for part in self._shards.call_or_raise("rows", [(ids[at],) if len(at) else None for at in parts])
                    if part is not None]
            if not rows:
                return np.zeros((0, self._empty.dim), np.float32)
            back = np.argsort(np.concatenate(parts), kind="stable")
            if is_sparse(rows[0]):
                from scipy import sparse

                return sparse.vstack(rows, format="csr")[back]
            return np.concatenate(rows)[back]

    def stats(self) -> list[dict]:
        """`LSHIndex.stats` of every shard, with its ``worker``."""
        with self._lock:
            found = self._shards.call_or_raise("stats", [()] * self._n)
            return [{**stats, "worker": worker} for stats, worker in zip(found, self._shards.workers, strict=True)]

    # --- changing -----------------------------------------------------------------------------------------------------

    def _parts(self, ids):
        """Places of the ids of every shard."""
        shard = shard_of(ids, self._n)
        return [np.flatnonzero(shard == i) for i in range(self._n)]

    def _among(self, ids):
        out, parts = np.zeros(len(ids), bool), self._parts(ids)
        found = self._shards.call_or_raise("among", [(ids[at],) if len(at) else None for at in parts])
        for at, there in zip(parts, found, strict=True):
            if len(at):
                out[at] = there
        return out

    def _check_present(self, ids):
        there = self._among(ids)
        if not there.all():
            raise KeyError(f"id {ids[~there][0]} is not in the index")

    def _checked(self, X):
        """Rows in two dimensions, in the form in which all are kept, after the checks of the local index."""
        rows, batch = self._empty.builder.check(X)
        X = X.tocsr() if is_sparse(X) else np.atleast_2d(np.asarray(X))
        if is_sparse(X) != bool(rows.sparse):
            from scipy import sparse

            X = sparse.csr_matrix(X) if rows.sparse else X.toarray()
        return X, rows.count(batch)

    def add(self, X: Any, ids: np.ndarray | None = None) -> np.ndarray:
        """Add rows; as `LSHIndex.add` of the local index.

        Parameters
        ----------
        X : array_like or CSR matrix of shape (m, dim)
        ids : array_like of shape (m,), integers, optional

        Returns
        -------
        ids : ndarray of shape (m,), int64
        """
        with self._lock:
            X, m = self._checked(X)
            if ids is None:
                if self._next_id + m > np.iinfo(np.int64).max:
                    raise ValueError(f"after id {self._next_id - 1} there are no {m} more int64; give ids")
                ids = np.arange(self._next_id, self._next_id + m, dtype=np.int64)
            else:
                ids = as_ids(ids)
                if len(ids) != m:
                    raise ValueError(f"{len(ids)} ids came with {m} rows; give one id for each row")
                if (ids == -1).any():
                    raise ValueError("id -1 stands for no row in the answers of a query; give other ids")
                there = self._among(ids)
                if there.any():
                    raise ValueError(f"id {ids[there][0]} is in the index already; use update to change its row")
            if not m:
                return ids
            self._change("add", ids, X)
            if self._empty.builder.rows is None:  # from here on the form of rows is fixed, in shards without rows too
                self._empty.remove(self._empty.add(X[:1]))
            self._rows += m
            self._next_id = max(self._next_id, int(ids.max()) + 1)
            self._count(m)
            return ids

    def update(self, ids: np.ndarray, X: Any) -> None:
        """Replace rows.

        Parameters
        ----------
        ids : array_like of shape (m,)
        X : array_like or CSR matrix of shape (m, dim)

        Raises
        ------
        KeyError
            An id is not in the index. The index is unchanged.
        """
        with self._lock:
            ids = as_ids(ids)
            X, m = self._checked(X)
            if len(ids) != m:
                raise ValueError(f"{len(ids)} ids came with {m} rows; give one row for each id")
            self._check_present(ids)
            self._change("update", ids, X)
            self._count(m)

    def remove(self, ids: np.ndarray) -> None:
        """Remove rows.

        Parameters
        ----------
        ids : array_like of shape (m,)

        Raises
        ------
        KeyError
            An id is not in the index. The index is unchanged.
        """
        with self._lock:
            ids = as_ids(ids)
            self._check_present(ids)
            self._change("remove", ids)
            self._rows -= len(ids)
            self._count(len(ids))

    def _change(self, what, ids, X=None):
        parts = self._parts(ids)
        changes = [None if not len(at) else (what, ids[at]) if X is None else (what, ids[at], X[at]) for at in parts]
        done = self._shards.call("change", changes)
        errors = [error for error in done if isinstance(error, Exception)]
        if errors:  # checked rows and ids: what is left is memory
            for i, (change, result) in enumerate(zip(changes, done, strict=True)):
                if change is not None and not isinstance(result, Exception) and what == "add":
                    self._shards.call_or_raise("change", [("remove", change[1]) if j == i else None for j in range(self._n)])
            raise errors[0]
        if self._directory is not None:
            for i, change in enumerate(changes):
                if change is not None:
                    self._log[i].append(change)

    def _count(self, m):
        self._ready = True
        self._changed += m
        if self._directory is not None and self._changed >= self._every:
            self.checkpoint()

    # --- searching ----------------------------------------------------------------------------------------------------

    def query(self, Q: Any, k: int = 10, *, probes: int | None = None, rerank: int | None = None,
              exact: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest rows of each query.

        Parameters
        ----------
        Q : array_like or CSR matrix of shape (n, dim)
        k : int
        probes, rerank : int, optional
            In every shard.
        exact : bool
            Whether to look at every row.

        Returns
        -------
        ids : ndarray of shape (n, k), int64
            Nearest first, of equally near rows the lower id; -1 where there are fewer rows.
        distances : ndarray of shape (n, k), float32
        """
        k = check_int("k", k, low=1)
        with self._lock:
            Q, _ = self._checked(Q)
            options = {"probes": probes, "rerank": rerank, "exact": exact}
            return merge_answers(self._shards.call_or_raise("query", [(Q, k, options)] * self._n), k)

    # --- workers that come and go -------------------------------------------------------------------------------------

    def rebalance(self) -> int:
        """Spread the shards evenly over the workers that are there now.

        Returns
        -------
        int
            How many shards have moved.

        Raises
        ------
        ValueError
            The index has no checkpoint directory.
        """
        with self._lock:
            self.checkpoint()
            moved = 0
            while True:
                counts = {worker: self._shards.workers.count(worker) for worker in workers_of(self._client)}
                least, most = (choose(counts, key=lambda worker: counts[worker]) for choose in (min, max))
                if counts[most] - counts[least] < 2:
                    return moved
                self._shards.move(self._shards.workers.index(most), least)
                moved += 1

    def close(self) -> None:
        """Give the memory of the workers back. Files stay."""
        self._shards.close()

    # --- saving -------------------------------------------------------------------------------------------------------

    def checkpoint(self) -> None:
        """Write the checkpoint directory now. `load` reads it."""
        if self._directory is None:
            raise ValueError("this index has no checkpoint directory: give checkpoint= when you make it")
        with self._lock:
            self._base = self._write(self._directory)
            self._log = [[] for _ in range(self._n)]
            self._changed = 0

    def save(self, path: str | os.PathLike) -> None:
        """Write the index to a directory, which all workers have to see: a file for each shard, and one that names them, which is replaced
        last. What fails leaves the index that was there.

        Parameters
        ----------
        path : path-like
        """
        with self._lock:
            path = os.path.abspath(path)
            if path == self._directory:
                return self.checkpoint()
            os.makedirs(path, exist_ok=True)
            self._write(path)

    def _write(self, directory):
        before = _read(directory)["files"] if os.path.exists(_manifest(directory)) else []
        tag = os.path.basename(tempfile.mktemp(prefix="", dir=directory))  # no worker that was cut off writes under the same name
        names = [f"shard{i}-{tag}.index" for i in range(self._n)]
        paths = [os.path.join(directory, name) for name in names]
        self._shards.call_or_raise("save", [(path,) for path in paths])
        missing = [path for path in paths if not os.path.exists(path)]
        if missing:
            raise FileNotFoundError(f"a worker wrote {missing[0]!r}, which is not there for the client: give a directory that all share")
        form = None if self._empty.builder.rows is None else self._empty.builder.rows.sparse
        files.save(_manifest(directory), KIND, {"version": VERSION, "arguments": self._arguments(), "files": names, "rows": self._rows,
                                                "next_id": self._next_id, "sparse": form}, {})
        for name in set(before) - set(names):
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(directory, name))
        return paths

    @classmethod
    def load(cls, path: str | os.PathLike, *, client: Any = None, checkpoint: bool = True,
             checkpoint_rows: int = CHECKPOINT_ROWS) -> LSHIndex:
        """Read a directory that `save` or a checkpoint wrote.

        Parameters
        ----------
        path : path-like
        client : distributed.Client or str, optional
        checkpoint : bool
            Whether the directory is the checkpoint directory from now on.
        checkpoint_rows : int

        Raises
        ------
        FormatError
            Not such a directory, or damaged.
        """
        path = os.path.abspath(path)
        saved = _read(path)
        self = cls.__new__(cls)
        self._empty = LocalIndex(**saved["arguments"])
        self._begin(client_of(client), len(saved["files"]), path if checkpoint else None, checkpoint_rows)
        self._next_id, self._rows = saved["next_id"], saved["rows"]
        self._base = [os.path.join(path, name) for name in saved["files"]]
        if saved["sparse"] is not None:
            row = np.ones((1, self._empty.dim), np.float32)
            if saved["sparse"]:
                from scipy import sparse

                row = sparse.csr_matrix(([np.float32(1)], ([0], [0])), shape=(1, self._empty.dim))
            self._empty.remove(self._empty.add(row))
        self._shards = Shards(self._client, IndexShard, self._n, self._recipe)
        self._ready = True
        return self

    def __repr__(self) -> str:
        return f"distributed.{self._empty!r}".replace("rows=0", f"rows={self._rows}, shards={self._n}")


def _manifest(directory):
    return os.path.join(directory, "index.mongoose")


def _read(directory):
    saved, _ = files.load(_manifest(directory), KIND)
    if saved.get("version") != VERSION:
        raise files.FormatError(f"{os.fspath(directory)!r} holds an index of version {saved.get('version')!r}; this program reads up to "
                                f"{VERSION}: upgrade")
    return saved
