"""`LSHIndex` with the interface of faiss: distances come first, and inner products are similarities."""

from __future__ import annotations

import numpy as np

from mongoose_nb.core.validation import check_choice
from mongoose_nb.search.index import LSHIndex


class FaissLike:
    """The interface of ``faiss.Index``: `train`, `add`, `add_with_ids`, `search`, `range_search`, `remove_ids`, `reconstruct`, `reset`.

    Parameters
    ----------
    d : int
    metric : {"l2", "ip"}
        Squared Euclidean distances, or inner products as they are (larger is closer).
    **options
        Other arguments of `LSHIndex`.
    """

    def __init__(self, d: int, metric: str = "l2", **options) -> None:
        self.metric = check_choice("metric", metric, ("l2", "ip"))
        self.d = d
        self._options = options
        self.index = LSHIndex(metric, d, **options)

    ntotal = property(lambda self: len(self.index), doc="Rows in the index.")
    is_trained = property(lambda self: True, doc="Always true: functions are learned when rows are added.")

    def train(self, x: np.ndarray, *, recall: float | None = None, k: int = 10) -> None:
        """Choose the settings for a recall, see `LSHIndex.tune`; without a recall nothing is done."""
        if recall is not None:
            self.index.tune(x, recall=recall, k=k)

    def add(self, x: np.ndarray) -> None:
        """Add rows (n, d) under the next ids."""
        self.index.add(x)

    def add_with_ids(self, x: np.ndarray, ids: np.ndarray) -> None:
        """Add rows (n, d) under these ids (n,)."""
        self.index.add(x, ids)

    def _out(self, distances, missing):
        if self.metric == "l2":
            return distances * distances
        return np.where(missing, -np.inf, -distances).astype(np.float32)

    def search(self, x: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return (D, I): distances or similarities and ids, (n, k); where nothing was found, the worst value and -1."""
        ids, distances = self.index.query(x, k)
        return self._out(distances, ids < 0), ids

    def range_search(self, x: np.ndarray, thresh: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return (lims, D, I): all rows within a squared distance, or of at least an inner product."""
        r = np.sqrt(thresh) if self.metric == "l2" else -thresh
        lims, ids, distances = self.index.radius(x, r)
        return lims, self._out(distances, np.zeros(len(ids), bool)), ids

    def remove_ids(self, ids: np.ndarray) -> int:
        """Remove rows and return how many were removed; unknown ids are ignored."""
        ids = [int(i) for i in np.unique(np.asarray(ids)) if int(i) in self.index]
        self.index.remove(ids)
        return len(ids)

    def reconstruct(self, key: int) -> np.ndarray:
        """Return the row (d,) of an id."""
        return self.index.get([key])[0]

    def reset(self) -> None:
        """Remove all rows."""
        self.index = LSHIndex(self.metric, self.d, **self._options)
