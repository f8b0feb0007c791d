"""The rows of an index that are on one worker, and which rows these are."""

from __future__ import annotations

from typing import Any

import numpy as np

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

    def radius(self, Q: Any, r: Any, options: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """As `LSHIndex.radius`."""
        return self.index.radius(Q, r, **options)

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
        self.index.save(path)
