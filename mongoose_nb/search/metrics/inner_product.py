"""The inner product."""

import numpy as np

from mongoose_nb.core.registry import register
from mongoose_nb.search.metrics.base import Metric


@register("search metric", "ip")
class InnerProduct(Metric):
    """``-(q . x)`` of two rows, dense or sparse: the largest product has the least distance."""

    stores = ("dense", "sparse")
    augmented = True
    euclidean = False
    rescored = False
    tested_as = "ip"

    def distances(self, q: np.ndarray, X: np.ndarray) -> np.ndarray:
        return -(X @ q)
