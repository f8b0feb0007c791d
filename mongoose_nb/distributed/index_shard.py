"""The rows of an index that are on one worker, and which rows these are."""

from __future__ import annotations

from typing import Any

import numpy as np

from mongoose_nb.distributed.cluster import check_directory
from mongoose_nb.search.index import LSHIndex as LocalIndex


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


def parts_of(ids: np.ndarray, shards: int) -> list[np.ndarray]:
    """Places of the ids of every shard.

    Parameters
    ----------
    ids : (m,) int64
    shards : int

    Returns
    -------
    list of int64
    """
    shard = shard_of(ids, shards)
    return [np.flatnonzero(shard == i) for i in range(shards)]


class IndexShard:
    """The local index of one shard; lives on a worker."""

    def open(self, arguments: dict, path: str | None) -> None:
        """Begin empty, or with what a file holds."""
        if path is not None:
            check_directory(path)
        self.index = LocalIndex(**arguments) if path is None else LocalIndex.load(path)
        self.last: tuple | None = None

    def change(self, number: int, what: str, ids: np.ndarray, X: Any) -> None:
        """Add, update or remove rows; what fails changes nothing. Each change has another number, for `undo`."""
        before = None if what == "add" else self.index.get(ids)
        self._change(what, ids, X)
        self.last = number, what, ids, before

    def _change(self, what, ids, X):
        if what == "add":
            self.index.add(X, ids, any_id=True)
        elif what == "update":
            self.index.update(ids, X)
        else:
            self.index.remove(ids)

    def undo(self, number: int) -> None:
        """Take the change of this number back; a shard that has come back since does not know it, and has not made it."""
        if self.last is not None and self.last[0] == number:
            (_, what, ids, before), self.last = self.last, None
            self._change({"add": "remove", "update": "update", "remove": "add"}[what], ids, before)

    def among(self, ids: np.ndarray) -> np.ndarray:
        """Whether ids are in the index, (m,) bool."""
        return np.array([id in self.index for id in ids.tolist()], bool)

    def query(self, Q: Any, k: int, options: dict) -> tuple[np.ndarray, np.ndarray]:
        """As `LSHIndex.query`."""
        return self.index.query(Q, k, **options)

    def radius(self, Q: Any, r: Any, options: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """As `LSHIndex.radius`."""
        return self.index.radius(Q, r, **options)

    def candidates(self, Q: Any, probes: int | None) -> tuple[np.ndarray, np.ndarray]:
        """As `LSHIndex.candidates`."""
        return self.index.candidates(Q, probes=probes)

    def rebuild(self, seed: int | None) -> None:
        """As `LSHIndex.rebuild`."""
        self.index.rebuild(seed=seed)

    def tune(self, X: Any, options: dict) -> Any:
        """As `LSHIndex.tune`."""
        return self.index.tune(X, **options)

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
        check_directory(path)
        self.index.save(path)
