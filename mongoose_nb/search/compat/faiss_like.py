"""`LSHIndex` with the interface of faiss: distances come first, and inner products are similarities."""

from __future__ import annotations

import numpy as np

from mongoose_nb.core.validation import check_choice
from mongoose_nb.search.ids import as_ids
from mongoose_nb.search.index import LSHIndex

_METRICS = {"l2": "sqeuclidean", "ip": "ip"}


class FaissLike:
    """The interface of ``faiss.Index``: `train`, `add`, `add_with_ids`, `search`, `range_search`, `remove_ids`, `reconstruct`, `reset`.

    Parameters
    ----------
    d : int
    metric : {"l2", "ip"}
        Squared Euclidean distances, or inner products as they are (larger is closer).
    **options
        Other arguments of `LSHIndex`.

    Notes
    -----
    Ids are any int64, as with ``faiss.IndexIDMap2``. A row of id -1 is told from a missing one by its distance: that of the latter is
    infinite.
    """

    def __init__(self, d: int, metric: str = "l2", **options) -> None:
        self.metric = check_choice("metric", metric, tuple(_METRICS))
        self.d = d
        self._options = options
        self.index = LSHIndex(_METRICS[metric], d, **options)

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
        self.index.add(x, ids, any_id=True)

    def _out(self, distances):
        """Squared distances, or inner products: those of missing rows become -inf."""
        return distances if self.metric == "l2" else np.negative(distances)

    def search(self, x: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return (D, I): distances or similarities and ids, (n, k); where nothing was found, the worst value and -1."""
        ids, distances = self.index.query(x, k)
        return self._out(distances), ids

    def range_search(self, x: np.ndarray, thresh: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return (lims, D, I): all rows of less than a squared distance, or of more than an inner product.

        The bound itself is excluded, as in faiss, and is taken in float32. Rows of query i lie from ``lims[i]`` to ``lims[i + 1]``.
        """
        l2 = self.metric == "l2"
        bound = _as_float32("thresh", thresh)
        largest = float(np.nextafter(bound if l2 else -bound, np.float32(-np.inf)))  # below the bound, as distances are compared
        none = l2 and largest < 0
        lims, ids, distances = self.index.radius(x, 0.0 if none else largest)
        if none:
            lims, ids, distances = np.zeros_like(lims), ids[:0], distances[:0]
        return lims, self._out(distances), ids

    def remove_ids(self, ids: np.ndarray) -> int:
        """Remove rows and return how many were removed; unknown ids are ignored."""
        there = [id for id in as_ids(np.unique(np.asarray(ids))).tolist() if id in self.index]
        self.index.remove(there)
        return len(there)

    def reconstruct(self, key: int) -> np.ndarray:
        """Return the row (d,) of an id."""
        return self.index.get([key])[0]

    def reset(self) -> None:
        """Remove all rows."""
        self.index = LSHIndex(_METRICS[self.metric], self.d, **self._options)


def _as_float32(name, value):
    """A number as float32; a larger one is infinite."""
    if isinstance(value, bool) or np.ndim(value) or np.asarray(value).dtype.kind not in "iuf" or np.isnan(value):
        raise ValueError(f"{name} must be one number, not NaN; got {value!r}")
    with np.errstate(over="ignore"):
        return np.float32(value)
