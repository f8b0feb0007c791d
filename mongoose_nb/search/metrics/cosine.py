"""The cosine distance."""

import numpy as np

from mongoose_nb.core.registry import register
from mongoose_nb.search.metrics.base import Metric


@register("search metric", "cosine")
class Cosine(Metric):
    """``1 - cos`` of the angle between two rows, dense or sparse; rows are kept at length one. A row of zeros has distance 1 to all."""

    stores = ("dense", "sparse")
    unit = True
    euclidean = False
    rescored = False
    signed = False
    tested_as = "cosine"

    def outward(self, values: np.ndarray) -> np.ndarray:
        return np.maximum(values, 0, out=values)  # of rows of length one, but for rounding

    def distances(self, q: np.ndarray, X: np.ndarray) -> np.ndarray:
        length = np.linalg.norm(X, axis=1) * np.linalg.norm(q)
        return 1 - (X @ q) / np.where(length > 0, length, 1)
