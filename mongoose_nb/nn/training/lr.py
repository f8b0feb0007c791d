"""Learning-rate schedules: the factor on the optimiser's rate as a function of training progress."""

from __future__ import annotations

import math
from collections.abc import Callable

from mongoose_nb.core.registry import Registered, make, register
from mongoose_nb.core.validation import check_int, check_number


class LRSchedule(Registered, kind="learning-rate schedule"):
    """The factor on the optimiser's learning rate as a function of the step.

    Examples
    --------
    >>> from mongoose_nb import nn
    >>> class Triangle(nn.LRSchedule):
    ...     def __call__(self, step, total):
    ...         return 1 - abs(2 * step / total - 1)
    >>> net = nn.Network(1000, 500, lr_schedule=Triangle())
    """

    def __call__(self, step: int, total: int) -> float:
        """Factor at `step` (from 0) of `total`."""
        raise NotImplementedError  # abstract


@register("learning-rate schedule", "constant")
class Constant(LRSchedule):
    """No change."""

    def __call__(self, step: int, total: int) -> float:
        return 1.0


@register("learning-rate schedule", "linear")
class Linear(LRSchedule):
    """From 1 down to `end` over the whole run, after `warmup` steps up from 0.

    Parameters
    ----------
    end : float
        Factor at the end of the run.
    warmup : int
        Steps over which the factor rises from 0 to 1.
    """

    def __init__(self, end: float = 0.0, warmup: int = 0) -> None:
        self.end = check_number("end", end, low=0.0)
        self.warmup = check_int("warmup", warmup, low=0)

    def __call__(self, step: int, total: int) -> float:
        if step < self.warmup:
            return (step + 1) / self.warmup
        done = min(1.0, (step - self.warmup) / max(1, total - self.warmup))
        return self._shape(done)

    def _shape(self, done):
        return 1.0 + (self.end - 1.0) * done


@register("learning-rate schedule", "cosine")
class Cosine(Linear):
    """As `Linear`, along half a cosine.

    Parameters
    ----------
    end : float
    warmup : int
        As for `Linear`.
    """

    def _shape(self, done):
        return self.end + (1.0 - self.end) * 0.5 * (1.0 + math.cos(math.pi * done))


@register("learning-rate schedule", "step")
class Step(LRSchedule):
    """Multiply the factor by `factor` after every share `every` of the run.

    Parameters
    ----------
    every : float
        Share of the run.
    factor : float
    """

    def __init__(self, every: float = 0.25, factor: float = 0.5) -> None:
        self.every = check_number("every", every, low=0.0, open_low=True)
        self.factor = check_number("factor", factor, low=0.0, open_low=True)

    def __call__(self, step: int, total: int) -> float:
        return self.factor ** math.floor(step / max(1, total) / self.every + 1e-9)


def make_schedule(schedule: str | dict | Callable[[int, int], float]) -> Callable[[int, int], float]:
    """A schedule from its name, its description, or itself (any callable of step and total)."""
    return schedule if callable(schedule) else make("learning-rate schedule", schedule)
