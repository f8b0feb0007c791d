"""The network itself as a source of the ranking."""

from __future__ import annotations

from typing import Any

import numpy as np

from mongoose_nb.core.registry import register
from mongoose_nb.nn.ranking.lists import Lists
from mongoose_nb.nn.ranking.source import Query, Source, Training, as_it_is


@register("ranking source", "network")
class NetworkSource(Source):
    """Logarithms of the network's probabilities.

    It stands aside where the network was trained on the held-out rows: what it says of rows that it knows does not hold for others.
    """

    forms = {"log probability": as_it_is, "probability": np.exp}

    def held_values(self, training: Training, lists: Lists) -> tuple[np.ndarray, ...] | None:
        """As `Source.held_values`."""
        return self.values_of(training.held_query, lists, None) if training.unseen else None

    def values_of(self, query: Query, lists: Lists, answer: Any) -> tuple[np.ndarray, ...]:
        """As `Source.values_of`."""
        return (query.network.log_probabilities(query.X, lists),)
