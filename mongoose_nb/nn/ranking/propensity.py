"""How seldom a label is: a source for rankings that should find rare labels."""

from __future__ import annotations

from typing import Any

import numpy as np

from mongoose_nb.core.registry import register
from mongoose_nb.core.validation import check_number
from mongoose_nb.nn.ranking.lists import Lists
from mongoose_nb.nn.ranking.source import Query, Source, Training


@register("ranking source", "propensity")
class Propensity(Source):
    """Logarithms of the labels' inverse propensities (`metrics.inverse_propensity`): the higher, the rarer the label.

    With ``objective="propensity"`` it is one of the sources, and lifts rare labels as far as PSP@k on the held-out rows grows.

    Parameters
    ----------
    A, B : float
        Constants of the propensities.

    Attributes
    ----------
    logs : (labels,) float32

    References
    ----------
    Jain, Prabhu, Varma, "Extreme multi-label loss functions for recommendation, tagging, ranking & other missing label applications", KDD
    2016.
    """

    saved_state = ("logs",)
    resizable = ("logs",)

    def __init__(self, A: float = 0.55, B: float = 1.5) -> None:
        self.A, self.B = check_number("A", A, low=0.0), check_number("B", B, low=0.0, open_low=True)
        self.logs = np.zeros(0, np.float32)

    def state_restored(self) -> None:
        """Check the values."""
        if self.logs.ndim != 1 or not np.isfinite(self.logs).all():
            raise ValueError("the saved inverse propensities are not finite")

    def learn(self, training: Training) -> None:
        """Count the labels."""
        from mongoose_nb.metrics import inverse_propensity

        self.logs = np.log(inverse_propensity(training.Y, A=self.A, B=self.B)).astype(np.float32)

    def held_values(self, training: Training, lists: Lists) -> tuple[np.ndarray, ...]:
        """As `Source.held_values`."""
        return (self.logs[lists.ids],)

    def values_of(self, query: Query, lists: Lists, answer: Any) -> tuple[np.ndarray, ...]:
        """As `Source.values_of`."""
        return (self.logs[lists.ids],)
