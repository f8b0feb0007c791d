"""LSHIndex behind the face of faiss, for code that was written for it: distances come first, inner products are similarities."""

import numpy as np

from mongoose_nb.core.validation import check_choice
from mongoose_nb.search.index import LSHIndex


class FaissLike:
    """Much of ``faiss.Index``: `train`, `add`, `add_with_ids`, `search`, `range_search`, `remove_ids`, `reconstruct`, `reset`.

    Parameters
    ----------
    d : int
    metric : {"l2", "ip"}
        Squared Euclidean distances, or inner products as they are (larger is closer).
    **options
        See `LSHIndex`.
    """

    def __init__(self, d, metric="l2", **options):
        self.metric = check_choice("metric", metric, ("l2", "ip"))
        self.d = d
        self._options = options
        self.index = LSHIndex(metric, d, **options)

    ntotal = property(lambda self: len(self.index), doc="Rows in the index.")
    is_trained = property(lambda self: True, doc="Always: functions are learnt as rows come.")

    def train(self, x, *, recall=None, k=10):
        """Choose the settings for a recall (see `LSHIndex.tune`); without one there is nothing to do."""
        if recall is not None:
            self.index.tune(x, recall=recall, k=k)

    def add(self, x):
        """Add rows (n, d) under the next ids."""
        self.index.add(x)

    def add_with_ids(self, x, ids):
        """Add rows (n, d) under these ids (n,)."""
        self.index.add(x, ids)

    def _out(self, distances, missing):
        if self.metric == "l2":
            return distances * distances
        return np.where(missing, -np.inf, -distances).astype(np.float32)

    def search(self, x, k):
        """(D, I): distances or similarities and ids, (n, k); where nothing was found -1 and the worst of values."""
        ids, distances = self.index.query(x, k)
        return self._out(distances, ids < 0), ids

    def range_search(self, x, thresh):
        """(lims, D, I): everything nearer than a squared distance, or of a larger inner product."""
        r = np.sqrt(thresh) if self.metric == "l2" else -thresh
        lims, ids, distances = self.index.radius(x, r)
        return lims, self._out(distances, np.zeros(len(ids), bool)), ids

    def remove_ids(self, ids):
        """Remove rows; those that are not there are passed over. Returns how many were removed."""
        ids = [int(i) for i in np.unique(np.asarray(ids)) if int(i) in self.index]
        self.index.remove(ids)
        return len(ids)

    def reconstruct(self, key):
        """The row (d,) of an id."""
        return self.index.get([key])[0]

    def reset(self):
        """Remove all rows."""
        self.index = LSHIndex(self.metric, self.d, **self._options)
