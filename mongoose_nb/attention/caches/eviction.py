"""What a cache of keys and values forgets when it is full."""

from __future__ import annotations

import numpy as np

from mongoose_nb.core.registry import Registered


def safe_tokens(recent: int | None, budget: int) -> int:
    """Tokens that are safe, the last ones: `recent`, by default 10, or a quarter of the budget if that is less."""
    return min(10, budget // 4) if recent is None else min(recent, budget)


class Eviction(Registered, kind="eviction"):
    """A policy: a number for every token kept, of every head; those with the smallest go first, of equal ones the oldest.

    It has no state of its own. What it wants to remember of a token are its marks, which `KVCache` keeps and moves.
    """

    #: numbers that the policy remembers of a token, and their type
    marks_type: str = "float64"

    def n_marks(self, budget: int) -> int:
        """How many numbers the policy remembers of a token; none by default."""
        return 0

    def observe(self, marks: np.ndarray, weights: np.ndarray, step: int) -> None:
        """Update marks (heads, n, n_marks) in place after a query with these attention weights (heads, n)."""

    def importance(self, marks: np.ndarray, positions: np.ndarray, budget: int, step: int) -> np.ndarray:
        """(heads, n): tokens of the smallest numbers are dropped, those of infinity only where all are.

        Positions (heads, n) grow along a row."""
        raise NotImplementedError  # abstract

    def n_dropped(self, budget: int) -> int:
        """Tokens to drop at a time; one by default."""
        return 1
