"""Metrics and hash families as a user would write them, in a module of the user's own."""

import numpy as np

from mongoose_nb.core.registry import register
from mongoose_nb.hashing import SimHash
from mongoose_nb.search import LSHIndex, Metric, family_maker
from mongoose_nb.search.metrics import Euclidean, Jaccard


class Chebyshev(Metric):
    """The largest difference of a coordinate."""

    def distances(self, q, X):
        """See `Metric.distances`."""
        return np.abs(X - q).max(axis=1)


class Plain(Chebyshev):
    """The same, of rows that are hashed as they are."""

    projected = False


class Canberra(Euclidean):
    """Relative differences: candidates are those of the Euclidean distance."""

    def distances(self, q, X):
        """See `Metric.distances`."""
        size = np.abs(X) + np.abs(q)
        return (np.abs(X - q) / np.where(size > 0, size, 1)).sum(axis=1)


class WeightedL2(Euclidean):
    """The square root of the weighted sum of squares: columns are scaled."""

    def __init__(self, weights):
        self.weights = weights

    def transform(self, X):
        """See `Metric.transform`."""
        return X * np.sqrt(self.weights, dtype=np.float32)


class Folded(Euclidean):
    """The Euclidean distance of rows whose halves are added and subtracted, and a constant beside: as many columns and one."""

    def width(self, dim):
        """See `Metric.width`."""
        return 2 * (dim // 2) + 1

    def transform(self, X):
        """See `Metric.transform`."""
        half = X.shape[1] // 2
        left, right = X[:, :half], X[:, half:2 * half]
        return np.column_stack([left + right, left - right, np.ones(len(X))]) / np.sqrt(2)


class Dice(Jaccard):
    """1 - 2 intersection / sum of the sizes of two sets."""

    def distances(self, q, X):
        """See `Metric.distances`."""
        total = (X != 0).sum(axis=1) + (q != 0).sum()
        return 1 - np.where(total > 0, 2 * ((X != 0) & (q != 0)).sum(axis=1) / np.maximum(total, 1), 1)


@register("hash family", "shifted signs")
class ShiftedSigns(SimHash):
    """SimHash with another draw."""

    def _draw(self):
        super()._draw()
        self._keep_functions(np.roll(self._functions, 1, axis=1))


class Inverted(SimHash):
    """SimHash that hashes otherwise: its codes are complements."""

    def _hash_dense(self, X, out):
        super()._hash_dense(X, out)
        np.bitwise_xor(out, self.n_buckets - 1, out=out)

    def _hash_csr(self, indptr, indices, values, out):
        super()._hash_csr(indptr, indices, values, out)
        np.bitwise_xor(out, self.n_buckets - 1, out=out)

    @property
    def max_probes(self):
        """It has no probes."""
        return 1


@family_maker
def sparse_signs(dim, K, L, seed):
    """Sparse signs with another seed."""
    return SimHash(dim, K, L, seed=seed + 1, projection="sparse")


def index_of(name, X, **settings):
    """An index of one of the metrics above, or of `sparse_signs`."""
    if name == "sparse_signs":
        return LSHIndex("l2", X.shape[1], family=sparse_signs, **settings)
    metric = WeightedL2(np.linspace(0.5, 1.5, X.shape[1]).tolist()) if name == "WeightedL2" else globals()[name]()
    return LSHIndex(metric, X.shape[1], **settings)


def answers(path, rows, rebuild):
    """In another process: what a saved index answers, and what it answers after `rebuild`."""
    index = LSHIndex.load(path)
    X = np.load(rows)
    first = index.query(X[:20], 5)
    if rebuild:
        index.rebuild()
    return [part.tolist() for part in (*first, *index.query(X[:20], 5))]
