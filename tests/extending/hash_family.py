"""A hash family of one's own: signs of sums with random signs."""

import numpy as np

from mongoose_nb.core.registry import register
from mongoose_nb.hashing import HashFamily


@register("hash family", "rademacher")
class Rademacher(HashFamily):
    """One hash is the sign of a sum of the coordinates with random signs; the similarity is the cosine.

    Parameters
    ----------
    dim, K, L, seed, center
        See `HashFamily`. One hash is one bit.
    skew : float
        Share of the signs that are negative.
    """

    similarity = "cosine"
    closed_form = False
    arrays = ("_signs",)

    def __init__(self, dim, K, L, *, seed=0, skew=0.5, center=None):
        self.skew = float(skew)
        super().__init__(dim, K, L, seed=seed, center=center)

    def _draw(self):
        rng = np.random.default_rng(self._key())
        self._signs = np.where(rng.random((self.dim, self.K * self.L)) < self.skew, -1.0, 1.0)

    def _hash_dense(self, X, out):
        center = 0.0 if self.center is None else self.center.astype(np.float64)
        sums = np.zeros((len(X), self.K * self.L))
        for i, column in enumerate((X.astype(np.float64) - center).T):  # one order of summation, alone or in a batch
            sums += column[:, None] * self._signs[i]
        bits = (sums > 0).reshape(len(X), self.L, self.K)
        out[...] = (bits @ (1 << np.arange(self.K)[::-1])).T

    def collision_probability(self, similarity):
        """That of Gaussian directions, which sums with random signs approach as the coordinates become many."""
        return (1 - np.arccos(np.clip(similarity, -1, 1)) / np.pi)[()]

    def collision_probability_of(self, x, y):
        """As `collision_probability`, of the cosine of two rows."""
        center = 0.0 if self.center is None else self.center.astype(np.float64)
        x, y = np.asarray(x, np.float64) - center, np.asarray(y, np.float64) - center
        length = np.linalg.norm(x) * np.linalg.norm(y)
        return float(self.collision_probability(x @ y / length)) if length else 0.5
