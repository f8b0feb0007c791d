"""How often the codes of two rows agree: of one hash, of a table, and of any of the tables."""

import abc
from typing import Any

import numpy as np


class CollisionModel(abc.ABC):
    """The part of `HashFamily` that knows its probabilities; it has `K` hashes in each of `L` tables."""

    K: Any
    L: Any

    @abc.abstractmethod
    def collision_probability(self, similarity: Any) -> Any:
        """Probability that one hash function gives two rows of this similarity the same value."""

    @abc.abstractmethod
    def collision_probability_of(self, x: Any, y: Any) -> float:
        """Probability, over the draw of the functions, that one hash function gives `x` and `y` the same value."""

    def retrieval_probability(self, similarity: Any) -> Any:
        """Probability that two rows of this similarity share a bucket in at least one table: ``1 - (1 - P)^L``.

        P, the probability to share it in one (`table_probability`), is ``p^K`` for K independent hashes of collision
        probability p; families whose hashes differ in size, are folded or drawn without repetition account for it.

        Parameters
        ----------
        similarity : float or array_like
            As `collision_probability` takes it.

        Returns
        -------
        float or ndarray
        """
        miss = np.log1p(-np.minimum(self.table_probability(similarity), 1 - 1e-16))
        return -np.expm1(self.L * miss)

    def table_probability(self, similarity: Any) -> Any:
        """Probability that two rows of this similarity have the same code in one table.

        Here ``p^K``, of K independent hashes; a family whose hashes are not that overrides it.

        Parameters
        ----------
        similarity : float or array_like
            As `collision_probability` takes it.

        Returns
        -------
        float or ndarray
        """
        return np.power(self.collision_probability(similarity), self.K)
