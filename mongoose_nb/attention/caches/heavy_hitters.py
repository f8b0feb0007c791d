"""Keep the tokens with most attention so far (Zhang et al., "H2O: Heavy-Hitter Oracle", NeurIPS 2023)."""

from __future__ import annotations

import numpy as np

from mongoose_nb.attention.caches.eviction import Eviction
from mongoose_nb.core.registry import register
from mongoose_nb.core.validation import check_number


@register("eviction", "heavy_hitters")
class HeavyHitters(Eviction):
    """The token goes whose attention weights have the smallest sum over all queries so far.

    Parameters
    ----------
    recent : float
        Share of the budget that belongs to the last tokens.
    """

    def __init__(self, recent: float = 0.5) -> None:
        self.recent = check_number("recent", recent, low=0.0, high=1.0)

    def n_marks(self, budget: int) -> int:
        return 1

    def observe(self, marks: np.ndarray, weights: np.ndarray, step: int) -> None:
        marks[:, :, 0] += weights

    def importance(self, marks: np.ndarray, positions: np.ndarray, budget: int, step: int) -> np.ndarray:
        out = marks[:, :, 0].copy()
        out[:, positions.shape[1] - int(self.recent * budget):] = np.inf
        return out
