"""The Jaccard distance of sets."""

import numpy as np

from mongoose_nb.core.registry import register
from mongoose_nb.search.metrics.base import Metric


@register("search metric", "jaccard")
class Jaccard(Metric):
    """``1 - intersection / union`` of the columns that are not zero; rows are kept sparse. Two empty sets are equal."""

    stores = ("sparse",)
    family = "minhash"
    similarities = ("jaccard",)
    L = 24
    projected = False
    sets = True
    euclidean = False
    rescored = False
    signed = False
    tested_as = "jaccard"

    def distances(self, q: np.ndarray, X: np.ndarray) -> np.ndarray:
        union = ((X != 0) | (q != 0)).sum(axis=1)
        return 1 - np.where(union, ((X != 0) & (q != 0)).sum(axis=1) / np.maximum(union, 1), 1.0)
