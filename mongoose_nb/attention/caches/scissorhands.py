"""Keep the tokens that were important often (Liu et al., "Scissorhands", NeurIPS 2023)."""

from __future__ import annotations

import numpy as np

from mongoose_nb.attention.caches.eviction import Eviction, safe_tokens
from mongoose_nb.core.registry import register
from mongoose_nb.core.validation import check_choice, check_int, check_number


@register("eviction", "scissorhands")
class Scissorhands(Eviction):
    """Tokens go that were important to the fewest of the last queries: that had more than a uniform share of the attention.

    Parameters
    ----------
    history : int
        Queries that are remembered.
    recent : int, optional
        Tokens that are safe, the last ones; by default 10, or a quarter of the budget if that is less. Where these are the
        whole budget, it is a window: the oldest token goes.
    drop : float
        Share of the budget that is dropped at a time.
    count : {"high", "low"}
        What is counted of the queries that are remembered: those to which a token was important, in its favour, or those since it came to
        which it was not, against it. A token younger than the history has fewer of both, so "low" favours young tokens.
    """

    marks_type = "uint8"

    def __init__(self, history: int = 400, recent: int | None = None, drop: float = 0.5, count: str = "high") -> None:
        self.history = check_int("history", history, low=1)
        self.recent = None if recent is None else check_int("recent", recent, low=0)
        self.drop = check_number("drop", drop, low=0.0, high=1.0, open_high=True)
        self.count = check_choice("count", count, ("high", "low"))

    def n_marks(self, budget: int) -> int:
        return self.history

    def observe(self, marks: np.ndarray, weights: np.ndarray, step: int) -> None:
        marks[:, :, step % self.history] = weights * weights.shape[1] > 1

    def importance(self, marks: np.ndarray, positions: np.ndarray, budget: int, step: int) -> np.ndarray:
        out = marks.sum(axis=2, dtype=np.float64)
        if self.count == "low":
            out -= np.minimum(step - positions, self.history)
        out[:, max(0, positions.shape[1] - safe_tokens(self.recent, budget)):] = np.inf
        return out

    def n_dropped(self, budget: int) -> int:
        return max(1, int(self.drop * budget))
