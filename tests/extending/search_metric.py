"""A search metric of one's own: the largest difference of two coordinates."""

import numpy as np

from mongoose_nb.core.registry import register
from mongoose_nb.search import Metric


@register("search metric", "chebyshev")
class Chebyshev(Metric):
    """``max |q - x| / scale``. Candidates come from hashing as for the Euclidean distance, and are compared by `distances`.

    Parameters
    ----------
    scale : float
        Length that counts as distance 1.
    """

    def __init__(self, scale=1.0):
        self.scale = scale

    def distances(self, q, X):
        """Distances (m,) of a query (dim,) and rows (m, dim)."""
        return np.abs(X - q).max(axis=1) / self.scale
