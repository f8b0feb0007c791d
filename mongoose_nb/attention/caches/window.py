"""Keep the most recent tokens."""

from __future__ import annotations

import numpy as np

from mongoose_nb.attention.caches.eviction import Eviction
from mongoose_nb.core.registry import register


@register("eviction", "window")
class Window(Eviction):
    """The oldest token goes."""

    def importance(self, marks: np.ndarray, positions: np.ndarray, budget: int, step: int) -> np.ndarray:
        return positions
