"""The Hamming distance of rows of bits."""

import numpy as np

from mongoose_nb.core.registry import register
from mongoose_nb.search.metrics.base import Metric


@register("search metric", "hamming")
class Hamming(Metric):
    """The number of bits in which two rows of zeros and ones differ; rows are kept in 64-bit words."""

    stores = ("bits",)
    family = "bitsampling"
    similarities = ("hamming",)
    L = 24
    projected = False
    euclidean = False
    rescored = False
    signed = False
    tested_as = "hamming"

    def distances(self, q: np.ndarray, X: np.ndarray) -> np.ndarray:
        return (X != q).sum(axis=1).astype(np.float64)
