"""How many of a sample's candidates are retrieved, and how many uniform: whichever estimates the tail best at the same cost.

u uniform outputs stand for R that were not retrieved. Of the partition function Z they estimate a share whose relative variance is at most
(R / u)^2 times the sum of their (e^z / Z)^2, and that is the sum of squares of their gradients d loss / d z, which a step computes anyway.
More retrieved outputs leave less mass to the tail, and fewer uniform ones to measure it by. The number of candidates, which is the cost,
stays as it is.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from mongoose_nb.core.saving import Stateful

if TYPE_CHECKING:
    from mongoose_nb.nn.sampling.candidate_sets import ActiveSets

# Shares that are tried, the first one tried, and the steps that two neighbours are compared over.
SHARES = tuple(i / 8 for i in range(1, 8))
FIRST = 3
STEPS = 48


class HeadSplit(Stateful):
    """A share of retrieved outputs that moves to the neighbour with less variance.

    Three shares take turns, step by step: the present one and its neighbours. After `STEPS` steps the one with the least mean logarithm of
    the variance is the present one. The mean is of logarithms, since a single sample may dominate a sum.

    Attributes
    ----------
    share : float
        The present one.
    """

    saved_state = ("_place", "_sums", "_turns")

    def __init__(self) -> None:
        self._place, self._sums, self._turns = FIRST, np.zeros(3), np.zeros(3, np.int64)

    @property
    def share(self) -> float:
        """The present share."""
        return SHARES[self._place]

    def _arm(self):
        arm = int(self._turns.sum()) % 3
        return arm if 0 <= self._place + arm - 1 < len(SHARES) else 1

    def next(self) -> float:
        """The share of the next step."""
        return SHARES[self._place + self._arm() - 1]

    def observe(self, variance: float) -> None:
        """The variance that the share of `next` had; ends the step. One that is not finite is left out: that step comes to nothing."""
        if not math.isfinite(variance):
            return
        arm = self._arm()
        self._sums[arm] += math.log(max(variance, 1e-30))
        self._turns[arm] += 1
        if self._turns.sum() < STEPS:
            return
        means = np.where(self._turns > 0, self._sums / np.maximum(self._turns, 1), np.inf)
        self._place += int(means.argmin()) - 1
        self._sums, self._turns = np.zeros(3), np.zeros(3, np.int64)

    def state_restored(self) -> None:
        """Refuse what is not a split of three shares."""
        if not 0 <= self._place < len(SHARES) or not 0 <= self._turns.sum() < STEPS or (self._turns < 0).any():
            raise ValueError("the saved split of head and tail is not one of three shares")


def tail_variance(sets: ActiveSets, delta: np.ndarray) -> float:
    """Mean over the samples of the sum of squares of the uniform outputs' gradients, in units of a sample's loss.

    Parameters
    ----------
    sets : ActiveSets
    delta : (len(sets.ids),) float32
        d mean loss / d z of every output of the sets.

    Returns
    -------
    float
    """
    first, last = sets.start + sets.n_exact, sets.start + sets.count
    with np.errstate(over="ignore", invalid="ignore"):  # between the sets there may be anything
        squares = np.append(np.square(delta, dtype=np.float64), 0.0)
        sums = np.add.reduceat(squares, np.stack([first, last], axis=1).ravel())[::2]
    return float(np.where(last > first, sums, 0.0).sum()) * len(first)
