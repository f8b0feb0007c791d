"""Forget at random: what the other policies have to beat."""

from __future__ import annotations

import numpy as np

from mongoose_nb.attention.caches.eviction import Eviction, safe_tokens
from mongoose_nb.core.registry import register
from mongoose_nb.core.streams import stream
from mongoose_nb.core.validation import check_int


@register("eviction", "random")
class RandomChoice(Eviction):
    """Any token but the last `recent` ones goes.

    Parameters
    ----------
    recent : int, optional
        Tokens that are safe, the last ones; by default 10, or a quarter of the budget if that is less.
    seed : int
    """

    def __init__(self, recent: int | None = None, seed: int = 0) -> None:
        self.recent, self.seed = None if recent is None else check_int("recent", recent, low=0), check_int("seed", seed, low=0)

    def importance(self, marks: np.ndarray, positions: np.ndarray, budget: int, step: int) -> np.ndarray:
        out = stream(self.seed, "eviction", step).random(positions.shape)
        out[:, max(0, positions.shape[1] - safe_tokens(self.recent, budget)):] = np.inf
        return out
