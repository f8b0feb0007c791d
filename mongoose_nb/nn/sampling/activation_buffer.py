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
        self._shape = capacity, width
        self._h = np.zeros((capacity, width), np.float32)
        self._labels = np.full((capacity, MAX_LABELS), -1, np.int32)
        self._seen = 0

    def __len__(self) -> int:
        return min(self._seen, self._shape[0])

    @property
    def h(self) -> np.ndarray:
        """Activations, (len, width) float32, in no order."""
        return self._h[:len(self)]

    @h.setter
    def h(self, value: np.ndarray) -> None:
        self._h = value

    @property
    def labels(self) -> np.ndarray:
        """Their labels, (len, 16) int32, -1 where there are fewer."""
        return self._labels[:len(self)]

    @labels.setter
    def labels(self, value: np.ndarray) -> None:
        self._labels = value

    def add(self, h: np.ndarray, labels: Rows | None = None) -> None:
        """Keep the rows of `h` (n, width) with their `labels` (`Rows`), in the place of the oldest."""
        first = max(0, len(h) - len(self._h))
        place = (self._seen + np.arange(first, len(h))) % len(self._h)
        self._h[place] = h[first:]
        self._labels[place] = -1 if labels is None else padded(labels)[first:]
        self._seen += len(h)

    def state_restored(self) -> None:
        """Make room for what is still to come, and refuse what does not fit."""
        capacity, width = self._shape
        if not 0 <= self._seen < 2**62:
            raise ValueError(f"the saved number of activations is {self._seen}; needed is one from 0 to 2^62")
        for name, columns, empty in (("h", width, 0), ("labels", MAX_LABELS, -1)):
            saved = getattr(self, f"_{name}")
            if saved.shape != (len(self), columns):
                raise ValueError(f"the saved activations' {name} have shape {saved.shape}; needed is {(len(self), columns)}")
            ring = np.full((capacity, columns), empty, saved.dtype)
            ring[:len(saved)] = saved
            setattr(self, name, ring)


def padded(labels: Rows | None) -> np.ndarray:
    """The first labels of every row of `Rows`, (n, 16) int32, -1 where there are fewer."""
    out = np.full((len(labels), MAX_LABELS), -1, np.int32)
    sample, ids = labels.flat()
    place = np.arange(len(ids)) - np.repeat(np.cumsum(labels.count) - labels.count, labels.count)
    few = place < MAX_LABELS
    out[sample[few], place[few]] = ids[few]
    return out
