"""The cosine distance."""

import numpy as np

from mongoose_nb.core.registry import register
from mongoose_nb.search.metrics.base import Metric


@register("search metric", "cosine")
class Cosine(Metric):
    """``1 - cos`` of the angle between two rows, dense or sparse; rows are kept at length one. A row of zeros has distance 1 to all.

    It is half the squared distance of the rows at length one, which has digits where the cosine is next to 1.
    """

    stores = ("dense", "sparse")
    unit = True
    euclidean = False
    rescored = False
    signed = False
    tested_as = "cosine"

    def distances(self, q: np.ndarray, X: np.ndarray) -> np.ndarray:
        q, X = np.asarray(q, np.float64), np.asarray(X, np.float64)
        own, lengths = np.linalg.norm(q), np.linalg.norm(X, axis=1)
        there = (lengths > 0) & (own > 0)
        apart = X / np.where(there, lengths, 1)[:, None] - q / (own or 1)
        return np.where(there, 0.5 * np.einsum("ij,ij->i", apart, apart), 1.0)
