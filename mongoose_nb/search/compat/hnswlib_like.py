"""`LSHIndex` with the interface of hnswlib: labels come first, and Euclidean distances are squared."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np

from mongoose_nb.core.registry import describe
from mongoose_nb.core.validation import check_choice, check_int
from mongoose_nb.search.ids import as_ids
from mongoose_nb.search.index import LSHIndex
from mongoose_nb.search.metrics import SquaredEuclidean

_METRICS = {"l2": "sqeuclidean", "ip": "ip", "cosine": "cosine"}


class HnswlibLike:
    """The interface of ``hnswlib.Index``: `init_index`, `add_items`, `knn_query`, `mark_deleted`, `get_items`, `get_ids_list`,
    `save_index`, `load_index`.

    Parameters
    ----------
    space : {"l2", "ip", "cosine"}
        Squared Euclidean distance, ``1 - q . x``, ``1 - cos``.
    dim : int
    **options
        Other arguments of `LSHIndex`.

    Notes
    -----
    Labels are any int64. They are given back as uint64, as in hnswlib, unless one of them was negative: then as int64.
    """

    def __init__(self, space: str, dim: int, **options) -> None:
        self.space, self.dim = check_choice("space", space, tuple(_METRICS)), dim
        self._options = options
        self._start({})

    def _start(self, defaults):
        self.index = LSHIndex(_METRICS[self.space], self.dim, **{**defaults, **self._options})
        self._labels = np.uint64

    def init_index(self, max_elements: int, M: int = 16, ef_construction: int = 200, random_seed: int = 100,
                   allow_replace_deleted: bool = False) -> None:
        """Remove all rows. Only the seed is used: an index grows with its rows, and slots of deleted rows are used again."""
        self._start({"seed": random_seed})

    def set_ef(self, ef: int) -> None:
        """Set the probes per table to an eighth of `ef`: a larger value finds more and takes longer."""
        self.index.probes = max(1, check_int("ef", ef, low=1) // 8)

    def add_items(self, data: np.ndarray, ids: np.ndarray | None = None, num_threads: int = -1, replace_deleted: bool = False) -> None:
        """Add rows (n, dim); rows of ids that are in the index already are replaced. A call that fails changes no row."""
        if ids is None:
            self.index.add(data)
            return
        data, ids = np.atleast_2d(np.asarray(data)), as_ids(ids)
        if len(ids) != len(data):
            raise ValueError(f"{len(ids)} ids came with {len(data)} rows; give one id for each row")
        self.index.builder.check(data)
        there = np.array([id in self.index for id in ids.tolist()], bool)
        self.index.add(data[~there], ids[~there], any_id=True)
        try:
            self.index.update(ids[there], data[there])
        except BaseException:
            self.index.remove(ids[~there])
            raise
        if (ids < 0).any():
            self._labels = np.int64

    def knn_query(self, data: np.ndarray, k: int = 1, num_threads: int = -1,
                  filter: Callable[[int], bool] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return labels and distances (n, k) of the nearest rows.

        Parameters
        ----------
        data : array_like of shape (n, dim)
        k : int
        num_threads : int
            -1: all.
        filter : callable, optional
            Function of a label, as it was given. More neighbours are looked at until k of them pass it.

        Raises
        ------
        RuntimeError
            Fewer than k were found, as in hnswlib.
        """
        wanted = k
        while True:
            ids, distances = self.index.query(data, wanted, exact=wanted >= len(self.index),
                                              n_threads=None if num_threads < 1 else num_threads)
            good = (ids != -1) | np.isfinite(distances)  # -1 may be a label
            if filter is not None:
                good[good] = [bool(filter(label)) for label in ids[good].tolist()]
            if (good.sum(axis=1) >= k).all():
                break
            if wanted >= len(self.index):
                raise RuntimeError(f"Cannot return the results in a contiguous 2D array: fewer than k={k} neighbours; the index has "
                                   f"{len(self.index)} rows")
            wanted = min(4 * wanted, len(self.index))
        first = np.argsort(~good, axis=1, kind="stable")[:, :k]
        ids, distances = np.take_along_axis(ids, first, axis=1), np.take_along_axis(distances, first, axis=1)
        return ids.astype(self._labels), distances + np.float32(1) if self.space == "ip" else distances

    def mark_deleted(self, label: int) -> None:
        """Remove a row."""
        try:
            self.index.remove([label])
        except KeyError:
            raise RuntimeError("Label not found") from None

    def get_items(self, ids: np.ndarray) -> np.ndarray:
        """Return rows (n, dim)."""
        return self.index.get(ids)

    def get_ids_list(self) -> list[int]:
        """Return all labels."""
        return self.index.ids.tolist()

    def get_current_count(self) -> int:
        """Return the number of rows."""
        return len(self.index)

    def save_index(self, path: str | os.PathLike) -> None:
        """Write to a file; see `LSHIndex.save`."""
        self.index.save(path)

    def load_index(self, path: str | os.PathLike, max_elements: int = 0) -> None:
        """Read from a file; see `LSHIndex.load`.

        Raises
        ------
        ValueError
            The file holds an index of another space or width. This index stays as it was.
        """
        index = LSHIndex.load(path)
        if index.metric == "l2" and self.space == "l2":  # as earlier versions saved it: roots of the same distances
            settings, arrays = index.__getstate__()
            settings["arguments"]["metric"] = describe(SquaredEuclidean(), "metric")
            index.__setstate__((settings, arrays))
        if (index.metric, index.dim) != (_METRICS[self.space], self.dim):
            raise ValueError(f"{os.fspath(path)!r} holds an index of metric {index.metric!r} and dim={index.dim}; this one has space "
                             f"{self.space!r} (metric {_METRICS[self.space]!r}) and dim={self.dim}: make it like the file")
        self.index = index
        self._labels = np.int64 if (index.ids < 0).any() else np.uint64
