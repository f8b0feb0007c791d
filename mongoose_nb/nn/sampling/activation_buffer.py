"""The last activations of a layer with their labels: what hash functions learn from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mongoose_nb.core.saving import Stateful

if TYPE_CHECKING:
    from mongoose_nb.core.arrays import Rows

# Labels kept of a sample, in the order of their ids; more than anyone takes as examples.
MAX_LABELS = 16


class ActivationBuffer(Stateful):
    """A ring of the last `capacity` activations.

    Parameters
    ----------
    capacity : int
    width : int
        Length of an activation.
    """

    saved_state = ("h", "labels", "_seen")
    resizable = ("h", "labels")

    def __init__(self, capacity: int, width: int) -> None:
        self._capacity, self._width = capacity, width
        #: activations, (len, width) float32, in no order
        self.h = np.zeros((0, width), np.float32)
        #: their labels, (len, 16) int32, -1 where there are fewer
        self.labels = np.zeros((0, MAX_LABELS), np.int32)
        self._seen = 0

    def __len__(self) -> int:
        return len(self.h)

    def add(self, h: np.ndarray, labels: Rows | None = None) -> None:
        """Keep the rows of `h` (n, width) with their `labels` (`Rows`), in the place of the oldest."""
        first = max(0, len(h) - self._capacity)
        place = (self._seen + np.arange(first, len(h))) % self._capacity
        self._seen += len(h)
        more = min(self._seen, self._capacity) - len(self)
        if more:
            self.h, self.labels = (np.concatenate([a, np.zeros((more, a.shape[1]), a.dtype)]) for a in (self.h, self.labels))
        self.h[place] = h[first:]
        self.labels[place] = -1 if labels is None else padded(labels)[first:]

    def state_restored(self) -> None:
        """Refuse what does not fit."""
        if not 0 <= self._seen < 2**62:
            raise ValueError(f"the saved number of activations is {self._seen}; needed is one from 0 to 2^62")
        for name, columns in (("h", self._width), ("labels", MAX_LABELS)):
            saved, needed = getattr(self, name), (min(self._seen, self._capacity), columns)
            if saved.shape != needed:
                raise ValueError(f"the saved activations' {name} have shape {saved.shape}; needed is {needed}")


def padded(labels: Rows | None) -> np.ndarray:
    """The first labels of every row of `Rows`, (n, 16) int32, -1 where there are fewer."""
    out = np.full((len(labels), MAX_LABELS), -1, np.int32)
    sample, ids = labels.flat()
    place = np.arange(len(ids)) - np.repeat(np.cumsum(labels.count) - labels.count, labels.count)
    few = place < MAX_LABELS
    out[sample[few], place[few]] = ids[few]
    return out
