"""An index whose rows are spread over the workers of a Dask cluster."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from mongoose_nb.core.files import FormatError
from mongoose_nb.core.registry import describe, parameters
from mongoose_nb.core.validation import check_int
from mongoose_nb.distributed.actors import Shards
from mongoose_nb.distributed.cluster import check_replicas, client_of, workers_of
from mongoose_nb.distributed.index_ids import SpreadIds
from mongoose_nb.distributed.index_search import Searchable
from mongoose_nb.distributed.index_shard import IndexShard, parts_of
from mongoose_nb.distributed.recovery import Recovery, manifest, read_manifest
from mongoose_nb.search.ids import check_one_each
from mongoose_nb.search.index import LSHIndex as LocalIndex
from mongoose_nb.search.names import Names, keyed_names, merged_names, names_from_state

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mongoose_nb.search.metrics import Metric
    from mongoose_nb.search.tune import Tuned

# Rows that may change before shards with a checkpoint directory are written again.
CHECKPOINT_ROWS = 100_000


class LSHIndex(Searchable):
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
    replicas : int
        How many workers have each row. The queries of a call are divided among the replicas.
    shards : int, optional
        By default the number of workers, divided by `replicas`. It cannot change later; with more shards than workers `rebalance` can use
        workers that join.
    checkpoint : path-like, optional
        A directory that all workers can read and write. A shard whose worker dies comes back from its last file there and from the
        changes since, which the client holds: nothing is lost. If the client dies, `load` reads the last files. By default a shard that
        dies is an error.
    checkpoint_rows : int
        Changed rows after which the directory is written again at the latest. It is written earlier when a quarter as many rows have
        changed as it holds; `checkpoint` and `close` write it at once.
    **options
        Of the local index, such as ``L`` and ``seed``.

    Notes
    -----
    Threads may share the object; their calls take turns. Of a change that fails, the error of the local index is raised, and all shards
    are as they were. Keys of rows, where they have keys, are held by the client, about 250 bytes each; files hold them too.

    Examples
    --------
    Of a program that has a cluster::

        client = distributed.Client("tcp://scheduler:8786")
        index = LSHIndex("cosine", dim=128, client=client, checkpoint="/shared/index")
        index.add(X)
        ids, distances = index.query(Q, k=10)
    """

    def __init__(self, metric: str | dict | Metric, dim: int, *, client: Any = None, shards: int | None = None, replicas: int = 1,
                 checkpoint: str | os.PathLike | None = None, checkpoint_rows: int = CHECKPOINT_ROWS, **options: Any) -> None:
        self._empty = LocalIndex(metric, dim, **options)
        client = client_of(client)
        replicas = check_replicas(replicas, client)
        shards = max(1, len(workers_of(client)) // replicas) if shards is None else check_int("shards", shards, low=1)
        if checkpoint is not None:
            if os.path.exists(manifest(checkpoint)):
                raise FileExistsError(f"{os.fspath(checkpoint)!r} holds an index already: read it with LSHIndex.load, or give another "
                                      "directory")
            os.makedirs(checkpoint, exist_ok=True)
        self._begin(client, shards, replicas, Recovery(checkpoint, checkpoint_rows, shards))
        if checkpoint is not None:
            self.checkpoint()

    def _begin(self, client, shards, replicas, recovery):
        self._client, self._n, self._replicas, self._changes, self._rows = client, shards, replicas, 0, 0
        self._recovery, self._turn, self._lock = recovery, 0, threading.RLock()
        self._known, self._names = SpreadIds(self._ask, shards), Names()
        self._shards = Shards(client, IndexShard, shards * replicas, lambda i: recovery.recipe(i % shards, self._arguments()))

    def _arguments(self):
        out = {name: getattr(self._empty, name) for name in parameters(LocalIndex)}
        builder = self._empty.builder
        return out | {"metric": describe(builder.metric, "metric"), "family": builder.family.describe()}

    # --- what is in it ------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return self._rows

    @property
    def n_shards(self) -> int:
        """Number of shards."""
        return self._n

    @property
    def workers(self) -> list[str | None]:
        """Addresses of the workers, by shard; with replicas, those of the first ones come first."""
        return list(self._shards.workers)

    @property
    def lost(self) -> int:
        """How many shards have come back from a worker that died."""
        return self._shards.lost

    # --- changing -----------------------------------------------------------------------------------------------------

    def add(self, X: Any, ids: np.ndarray | None = None, *, keys: Sequence[str] | np.ndarray | str | None = None,
            any_id: bool = False) -> np.ndarray:
        """Add rows; as `LSHIndex.add` of the local index.

        Parameters
        ----------
        X : array_like or CSR matrix of shape (m, dim)
        ids : array_like of shape (m,), integers, optional
        keys : sequence of m strings, optional
        any_id : bool

        Returns
        -------
        ids : ndarray of shape (m,), int64, or strings where rows have keys
        """
        with self._lock:
            X, m = self._checked(X)
            names = self._names if keys is None else keyed_names(self._names, self._rows)
            return self._added(names.new(self._known, m, ids, keys, any_id), names, keys, X)

    def _added(self, ids, names, keys, X):
        named = names.take(ids, keys, lambda: self._change("add", ids, X))
        self._names = names
        if len(ids):
            if self._empty.builder.rows is None:  # from here on the form of rows is fixed, in shards without rows too
                self._empty.remove(self._empty.add(X[:1]))
            self._rows += len(ids)
            self._known.next_id = max(self._known.next_id, int(ids.max()) + 1)
        self._checkpoint_if_due()
        return named

    def merge(self, other: LocalIndex, *, renumber: bool = False) -> np.ndarray:
        """Add all rows of a local index of the same metric and width, which stays as it is; as `LSHIndex.merge`.

        Parameters
        ----------
        other : mongoose_nb.LSHIndex
        renumber : bool
            Whether its rows get new ids.

        Returns
        -------
        ids : ndarray of shape (len(other),), int64, or strings where rows have keys

        Raises
        ------
        TypeError, ValueError
            As there. This index is unchanged.
        """
        if not isinstance(other, LocalIndex):
            raise TypeError(f"merge takes an index of one machine, mongoose_nb.LSHIndex; got {other!r}: add its rows, add(other.get(ids))")
        ids, theirs, batch = other.named_contents()
        with self._lock:
            rows = self._empty.builder.like_rows(other.builder) if len(ids) else None
            names, ids, keys = merged_names(self._names, self._known, self._rows, ids, theirs, renumber)
            return ids if rows is None else self._added(ids, names, keys, self._checked(rows.matrix(batch))[0])

    def update(self, ids: Any, X: Any) -> None:
        """Replace rows.

        Parameters
        ----------
        ids : array_like of shape (m,), or strings where rows have keys
        X : array_like or CSR matrix of shape (m, dim)

        Raises
        ------
        KeyError
            An id or key is not in the index. The index is unchanged.
        """
        with self._lock:
            ids = self._names.inward(ids)
            self._known.check_present(ids)
            X, m = self._checked(X)
            check_one_each(ids, m)
            self._change("update", ids, X)
            self._checkpoint_if_due()

    def remove(self, ids: Any) -> None:
        """Remove rows.

        Parameters
        ----------
        ids : array_like of shape (m,), or strings where rows have keys

        Raises
        ------
        KeyError
            An id or key is not in the index. The index is unchanged.
        """
        with self._lock:
            ids = self._names.inward(ids)
            self._known.check_present(ids)
            self._change("remove", ids)
            self._names.forget(ids)
            self._rows -= len(ids)
            self._checkpoint_if_due()

    def _change(self, what, ids, X=None):
        """Change rows of all shards that have some of them; a change that fails in one is taken back in the others."""
        self._changes += 1
        calls = [(self._changes, what, ids[at], None if X is None else X[at]) if len(at) else None for at in parts_of(ids, self._n)]
        done = self._shards.call("change", calls * self._replicas)
        errors = [error for error in done if isinstance(error, Exception)]
        if errors:
            asked = zip(calls * self._replicas, done, strict=True)
            made = [call is not None and not isinstance(result, Exception) for call, result in asked]
            self._shards.call_or_raise("undo", [(self._changes,) if one else None for one in made])
            raise errors[0]
        self._recovery.note("change", calls, len(ids))

    def rebuild(self, *, seed: int | None = None) -> LSHIndex:
        """Learn the functions of all shards from their present rows; as `LSHIndex.rebuild`.

        Parameters
        ----------
        seed : int, optional
            Of the new functions; by default the old one.

        Returns
        -------
        self
        """
        with self._lock:
            self._empty.rebuild(seed=seed)
            self._shards.call_or_raise("rebuild", [(seed,)] * self._shards.n)
            self._recovery.note("rebuild", [(seed,)] * self._n, 0)
            return self

    def _checkpoint_if_due(self):
        if self._recovery.due:
            self.checkpoint()

    def tune(self, X: Any, *, memory: int | None = None, **options: Any) -> Tuned:
        """Choose K, L, probes and rerank of all shards, by rows of which each will hold its part; see `LSHIndex.tune`.

        Parameters
        ----------
        X : array_like or CSR matrix of shape (m, dim)
            The rows that the index is to hold, or as many like them. They are not added.
        memory : int, optional
            Most bytes of all shards together.
        **options
            Of `LSHIndex.tune`, such as ``recall`` and ``queries``.

        Returns
        -------
        Tuned
            That of a shard. The recall of the index is about this one, or higher: the nearest rows of all are among the nearest of a
            shard.
        """
        with self._lock:
            X, _ = self._checked(X)
            call = X[::self._n], {**options, "memory": memory if memory is None else memory // self._n}
            found = self._shards.call_or_raise("tune", [call] * self._shards.n)
            self._recovery.note("tune", [call] * self._n, 0)
            return found[0]

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
        """Give the memory of the workers back. Files stay; a checkpoint directory is brought up to date. The index cannot be used
        afterwards; closing it again does nothing."""
        with self._lock:
            try:
                if self._recovery.directory is not None and self._recovery.unsaved and not self._shards.closed:
                    self.checkpoint()
            finally:
                self._shards.close()

    # --- saving -------------------------------------------------------------------------------------------------------

    def checkpoint(self) -> None:
        """Write the checkpoint directory now. `load` reads it."""
        if self._recovery.directory is None:
            raise ValueError("this index has no checkpoint directory: give checkpoint= when you make it")
        with self._lock:
            self._recovery.restart(self._write(self._recovery.directory), self._rows)

    def save(self, path: str | os.PathLike) -> None:
        """Write the index to a directory, which all workers have to see: a file for each shard, and one that names them, which is replaced
        last. What fails leaves the index that was there.

        Parameters
        ----------
        path : path-like
        """
        with self._lock:
            path = os.path.abspath(path)
            if path == self._recovery.directory:
                return self.checkpoint()
            os.makedirs(path, exist_ok=True)
            self._write(path)

    def _write(self, directory):
        form = None if self._empty.builder.rows is None else self._empty.builder.rows.sparse
        settings = {"arguments": self._arguments(), "rows": self._rows, "next_id": self._known.next_id, "sparse": form}
        return self._recovery.write(directory, lambda paths: self._ask("save", [(path,) for path in paths]), settings, self._names.state())

    @classmethod
    def load(cls, path: str | os.PathLike, *, client: Any = None, checkpoint: bool = True, replicas: int = 1,
             checkpoint_rows: int = CHECKPOINT_ROWS) -> LSHIndex:
        """Read a directory that `save` or a checkpoint wrote.

        Parameters
        ----------
        path : path-like
        client : distributed.Client or str, optional
        checkpoint : bool
            Whether the directory is the checkpoint directory from now on.
        replicas : int
            How many workers have each row.
        checkpoint_rows : int

        Raises
        ------
        FormatError
            Not such a directory, or damaged.
        """
        path, client = os.path.abspath(path), client_of(client)
        replicas, saved = check_replicas(replicas, client), read_manifest(path)
        recovery = Recovery(path if checkpoint else None, checkpoint_rows, len(saved["files"]))
        recovery.restart([os.path.join(path, name) for name in saved["files"]], saved["rows"])
        self = cls.__new__(cls)
        self._empty = LocalIndex(**saved["arguments"])
        if saved["sparse"] is not None:
            row = np.ones((1, self._empty.dim), np.float32)
            if saved["sparse"]:
                from scipy import sparse

                row = sparse.csr_matrix(([np.float32(1)], ([0], [0])), shape=(1, self._empty.dim))
            self._empty.remove(self._empty.add(row))
        self._begin(client, len(saved["files"]), replicas, recovery)
        self._known.next_id, self._rows, recovery.begun = saved["next_id"], saved["rows"], True
        try:
            self._names = names_from_state(saved["keys"], self._known)
        except (KeyError, ValueError) as error:
            self._shards.close()
            raise FormatError(f"{path!r} does not hold a whole index: {error}") from error
        return self

    def __repr__(self) -> str:
        return f"distributed.{self._empty!r}".replace("rows=0", f"rows={self._rows}, shards={self._n}")
