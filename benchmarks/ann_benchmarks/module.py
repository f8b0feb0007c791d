"""mongoose_nb for ann-benchmarks; see the README beside it."""

import numpy as np

from mongoose_nb import LSHIndex

try:
    from ..base.module import BaseANN
except ImportError:  # outside ann-benchmarks, for the tests
    BaseANN = object

_METRICS = {"angular": "cosine", "euclidean": "l2", "hamming": "hamming", "jaccard": "jaccard", "ip": "ip"}


class Mongoose(BaseANN):
    """LSHIndex on one thread for single queries, on all for a batch.

    Parameters
    ----------
    metric : str
        As ann-benchmarks names it.
    method_param : dict
        Of `LSHIndex`: K, L, ...
    """

    def __init__(self, metric, method_param=None):
        if metric not in _METRICS:
            raise NotImplementedError(f"mongoose_nb has no metric {metric!r}; it has {sorted(_METRICS)}")
        self._metric = _METRICS[metric]
        self._method = dict(method_param or {})
        self._query = {}
        self.name = str(self)

    def _rows(self, X):
        """Sets come as lists of ids; columns the index has never seen say nothing about intersections."""
        if self._metric != "jaccard":
            return np.asarray(X)
        from scipy.sparse import csr_matrix

        rows = [np.unique(np.asarray(row, np.int64)) for row in X]
        rows = [row[row < self._dim] for row in rows]
        indptr = np.cumsum([0] + [len(row) for row in rows])
        indices = np.concatenate(rows) if rows else np.zeros(0, np.int64)
        return csr_matrix((np.ones(len(indices), np.float32), indices, indptr), shape=(len(rows), self._dim))

    def fit(self, X):
        """Build the index."""
        self._dim = 1 + max((int(np.max(row)) for row in X if len(row)), default=0) if self._metric == "jaccard" else X.shape[1]
        self._index = LSHIndex(self._metric, self._dim, **self._method)
        self._index.add(self._rows(X))
        self._index.query(self._rows(X[:2]), 10)  # compiles

    def set_query_arguments(self, probes, rerank):
        """What is varied between runs."""
        self._query = {"probes": probes, "rerank": rerank}

    def query(self, v, n):
        """Ids of the n nearest rows, as many as were found."""
        ids = self._index.query(self._rows([v]), n, n_threads=1, **self._query)[0][0]
        return ids[ids >= 0]

    def batch_query(self, X, n):
        """All queries at once."""
        self._batch = self._index.query(self._rows(X), n, **self._query)[0]

    def get_batch_results(self):
        """Ids of each query of the batch."""
        return [ids[ids >= 0] for ids in self._batch]

    def get_additional(self):
        """Settings in force."""
        stats = self._index.stats()
        return {"index_bytes": stats["nbytes"], "K": stats["K"], "L": stats["L"]}

    def done(self):
        """Let the index go."""
        self._index = None

    def __str__(self):
        return f"mongoose_nb({self._method}, {self._query})"
