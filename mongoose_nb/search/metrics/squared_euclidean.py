"""The squared Euclidean distance."""

import numpy as np

from mongoose_nb.core.registry import register
from mongoose_nb.search.metrics.base import Metric


@register("search metric", "sqeuclidean")
class SquaredEuclidean(Metric):
    """The squared Euclidean distance of two dense rows: what kernels sum up, without a root that would round it."""

    rescored = False
    signed = False

    def distances(self, q: np.ndarray, X: np.ndarray) -> np.ndarray:
        return ((X - q) ** 2).sum(axis=1)
