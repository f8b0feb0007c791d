"""Schedules that look at the step alone."""

import math

from mongoose_nb.core.registry import register
from mongoose_nb.core.validation import check_int, check_number
from mongoose_nb.rehash.base import Schedule


@register("rehash schedule", "fixed period", "FixedPeriod")
class FixedPeriod(Schedule):
    """Rehash every `period` steps.

    Parameters
    ----------
    period : int
    """

    def __init__(self, period: int = 50) -> None:
        self.period = check_int("period", period, low=1)

    def due(self, step: int) -> bool:
        """Whether to rehash after step `step`."""
        return (step + 1) % self.period == 0


@register("rehash schedule", "exponential decay", "ExponentialDecay")
class ExponentialDecay(Schedule):
    """Gaps between rehashes grow: the t-th comes `period` * exp(`rate` * t) steps after the one before (SLIDE, section 4.2).

    Parameters
    ----------
    period : int
        First gap in steps.
    rate : float
        Growth of the logarithm of the gap from one rehash to the next.
    """

    saved_state = ("_fired", "_next")

    def __init__(self, period: int = 50, rate: float = 0.1) -> None:
        self.period = check_int("period", period, low=1)
        self.rate = check_number("rate", rate, low=0.0)
        self._fired = 0
        self._next = self.period

    def due(self, step: int) -> bool:
        """Whether to rehash after step `step`."""
        if step + 1 < self._next:
            return False
        self._fired += 1
        # the exponent is bounded so that the gap stays a number
        self._next = step + 1 + math.ceil(self.period * math.exp(min(self.rate * self._fired, 60.0)))
        return True
