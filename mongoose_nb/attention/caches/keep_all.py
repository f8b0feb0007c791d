"""Forget nothing."""

from __future__ import annotations

import numpy as np

from mongoose_nb.attention.caches.eviction import Eviction
from mongoose_nb.core.registry import register


@register("eviction", "none")
class KeepAll(Eviction):
    """All tokens stay; with a budget, a sequence that outgrows it loses its oldest tokens."""

    def importance(self, marks: np.ndarray, positions: np.ndarray, budget: int, step: int) -> np.ndarray:
        return positions
