"""The Euclidean distance."""

import numpy as np

from mongoose_nb.core.registry import register
from mongoose_nb.search.metrics.base import Metric


@register("search metric", "l2", "euclidean", "minkowski")
class Euclidean(Metric):
    """The Euclidean distance (not squared) of two dense rows."""

    rescored = False
    signed = False

    def distances(self, q: np.ndarray, X: np.ndarray) -> np.ndarray:
        return np.linalg.norm(X - q, axis=1)

    def outward(self, values: np.ndarray) -> np.ndarray:
        return np.sqrt(values, out=values)
