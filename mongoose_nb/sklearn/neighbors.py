"""Nearest-neighbours transformer for scikit-learn: a sparse graph for TSNE, Isomap, DBSCAN and others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mongoose_nb.core.registry import make
from mongoose_nb.core.validation import check_choice, check_int
from mongoose_nb.search.index import LSHIndex
from mongoose_nb.search.metrics import Hamming, Metric
from mongoose_nb.sklearn.codes import CodeBits

try:
    from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise ImportError("mongoose_nb.sklearn.neighbors needs scikit-learn: pip install 'mongoose_nb[sklearn]'") from error

if TYPE_CHECKING:

    import scipy.sparse

    Rows = np.ndarray | scipy.sparse.csr_matrix

__all__ = ["LSHNeighbors"]


class LSHNeighbors(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Approximate k-nearest-neighbours transformer, a replacement of ``KNeighborsTransformer``.

    Parameters
    ----------
    n_neighbors : int
        Neighbours of a row, itself not counted.
    metric : str or Metric
        "euclidean", "sqeuclidean", "cosine", "jaccard", "hamming" or "ip" as in scikit-learn: ``hamming`` is the share of columns that
        differ, of zeros and ones or of other codes. Or any other metric of `LSHIndex` that does not transform its rows.
    mode : {"distance", "connectivity"}
        What `transform` stores. With "distance" each row of the graph has ``n_neighbors + 1`` entries, as a row of the training data
        is its own neighbour.
    recall : float, optional
        Wanted share of the true neighbours: the index is tuned for it in `fit`. None: its defaults.
    K, L, probes, rerank : optional
        See `LSHIndex`.
    n_jobs : int, optional
        Threads of searches; None and -1: all. Results do not depend on it.
    random_state : int
        Seed of the hash functions.

    Attributes
    ----------
    index_ : LSHIndex
        The rows under their numbers. It answers exactly where fewer than the wanted number are found.
    n_samples_fit_, n_features_in_ : int
    tuned_ : Tuned or None
        The setting that was chosen for `recall`.
    """

    def __init__(self, n_neighbors: int = 5, *, metric: str | Metric = "euclidean", mode: str = "distance", recall: float | None = None,
                 K: int | None = None, L: int | None = None, probes: int | None = None, rerank: int | None = 4,
                 n_jobs: int | None = None, random_state: int | None = 0) -> None:
        self.n_neighbors = n_neighbors
        self.metric = metric
        self.mode = mode
        self.recall = recall
        self.K = K
        self.L = L
        self.probes = probes
        self.rerank = rerank
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _rows(self, X, reset):
        """Rows as the index takes them."""
        metric = make("search metric", self.metric)
        bits = metric.stores == ("bits",)
        X = validate_data(self, X, accept_sparse="csr" if "sparse" in metric.stores else False, dtype="numeric" if bits else np.float32,
                          reset=reset)
        if not bits:
            return X
        if reset:
            self._codes = None if type(metric) is not Hamming or ((X == 0) | (X == 1)).all() else CodeBits(X)
            # two bits for every code that differs; a share as in scikit-learn
            self._unit = (1 if self._codes is None else 2) * (self.n_features_in_ if self.metric == "hamming" else 1)
        return X if self._codes is None else self._codes(X)

    def fit(self, X: Rows, y: object = None) -> LSHNeighbors:
        """Index the rows X (n, dim), dense or (for cosine, jaccard and ip) CSR."""
        check_int("n_neighbors", self.n_neighbors, low=1)
        check_choice("mode", self.mode, ("distance", "connectivity"))
        self._unit = 1
        X = self._rows(X, True)
        self.index_ = LSHIndex(self.metric, X.shape[1], K=self.K, L=self.L, probes=self.probes, rerank=self.rerank,
                               exact_fallback=True, seed=0 if self.random_state is None else self.random_state)
        self.tuned_ = None if self.recall is None else self.index_.tune(X, recall=self.recall, k=self.n_neighbors)
        self.index_.add(X)
        self.n_samples_fit_ = X.shape[0]
        self._n_features_out = self.n_samples_fit_
        return self

    def kneighbors(self, X: Rows | None = None, n_neighbors: int | None = None,
                   return_distance: bool = True) -> tuple[np.ndarray, np.ndarray] | np.ndarray:
        """Find the neighbours of rows, nearest first.

        Parameters
        ----------
        X : (n, dim), optional
            By default the rows of `fit`, which are then not their own neighbours.
        n_neighbors : int, optional
        return_distance : bool

        Returns
        -------
        distances : (n, n_neighbors) float64
            Left out without `return_distance`.
        indices : (n, n_neighbors) int64
        """
        check_is_fitted(self, "index_")
        k = check_int("n_neighbors", self.n_neighbors if n_neighbors is None else n_neighbors, low=1)
        most = self.n_samples_fit_ - (X is None)
        if k > most:
            raise ValueError(f"Expected n_neighbors <= n_samples_fit, but n_neighbors = {k}, n_samples_fit = {self.n_samples_fit_}")
        if X is None:
            indices, distances = self._of_themselves(k)
        else:
            indices, distances = self._query(self._rows(X, False), k)
        return (distances, indices) if return_distance else indices

    def _query(self, X, k):
        indices, distances = self.index_.query(X, k, n_threads=None if self.n_jobs in (None, -1) else self.n_jobs)
        distances = distances.astype(np.float64)
        return indices, distances / self._unit

    def _of_themselves(self, k):
        n = self.n_samples_fit_
        indices, distances = self._query(self.index_.get(np.arange(n)), k + 1)
        drop = indices == np.arange(n)[:, None]
        drop[~drop.any(axis=1), -1] = True  # hidden behind rows equal to it
        return indices[~drop].reshape(n, k), distances[~drop].reshape(n, k)

    def kneighbors_graph(self, X: Rows | None = None, n_neighbors: int | None = None,
                         mode: str = "connectivity") -> scipy.sparse.csr_matrix:
        """Return the neighbours as a CSR graph (n, rows of fit); the entries of a row come nearest first.

        Parameters
        ----------
        X, n_neighbors
            As in `kneighbors`.
        mode : {"connectivity", "distance"}
            Whether entries are ones or distances.

        Returns
        -------
        CSR matrix of shape (n, n_samples_fit_)
        """
        from scipy.sparse import csr_matrix

        check_choice("mode", mode, ("connectivity", "distance"))
        distances, indices = self.kneighbors(X, n_neighbors)
        n, k = indices.shape
        values = distances.ravel() if mode == "distance" else np.ones(n * k)
        return csr_matrix((values, indices.ravel(), np.arange(0, n * k + 1, k)), shape=(n, self.n_samples_fit_))

    def transform(self, X: Rows) -> scipy.sparse.csr_matrix:
        """Return the graph (n, rows of fit) that estimators with ``metric="precomputed"`` take."""
        check_is_fitted(self, "index_")
        return self.kneighbors_graph(X, min(self.n_neighbors + (self.mode == "distance"), self.n_samples_fit_), self.mode)

    def fit_transform(self, X: Rows, y: object = None) -> scipy.sparse.csr_matrix:
        """Fit, then transform the same rows."""
        return self.fit(X).transform(X)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = "sparse" in make("search metric", self.metric).stores
        tags.transformer_tags.preserves_dtype = []
        return tags
