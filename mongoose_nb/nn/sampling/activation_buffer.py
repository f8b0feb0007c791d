"""The last activations of a layer with their labels: what hash functions learn from."""

import numpy as np

# Labels kept of a sample, in the order of their ids; more than anyone asks for as examples.
MAX_LABELS = 16


class Recent:
    """A ring of the last `capacity` activations.

    Parameters
    ----------
    capacity : int
    width : int
        Length of an activation.
    """

    def __init__(self, capacity, width):
        self._h = np.zeros((capacity, width), np.float32)
        self._labels = np.full((capacity, MAX_LABELS), -1, np.int32)
        self._seen = 0

    def __len__(self):
        return min(self._seen, len(self._h))

    @property
    def h(self):
        """Activations, (len, width) float32, in no order."""
        return self._h[:len(self)]

    @property
    def labels(self):
        """Their labels, (len, 16) int32, -1 where there are fewer."""
        return self._labels[:len(self)]

    def add(self, h, labels=None):
        """Keep the rows of `h` (n, width) with their `labels` (`nn.arrays.Rows`), in the place of the oldest."""
        first = max(0, len(h) - len(self._h))
        place = (self._seen + np.arange(first, len(h))) % len(self._h)
        self._h[place] = h[first:]
        self._labels[place] = -1 if labels is None else padded(labels)[first:]
        self._seen += len(h)

    def arrays(self):
        """What `restore` takes back."""
        return {"h": self.h, "labels": self.labels, "seen": np.array([self._seen])}

    def restore(self, arrays):
        """Put back what `arrays` gave."""
        seen = int(arrays["seen"][0])
        n = min(seen, len(self._h))
        for name, own in (("h", self._h), ("labels", self._labels)):
            if arrays[name].shape != (n, own.shape[1]):
                raise ValueError(f"the saved recent {name} have shape {arrays[name].shape}; needed is {(n, own.shape[1])}")
        if arrays["labels"].dtype != np.int32 or arrays["h"].dtype != np.float32 or not 0 <= seen < 2**62:
            raise ValueError("the saved recent activations and labels must be float32 and int32, and their number below 2^62")
        self._h[:n], self._labels[:n], self._seen = arrays["h"], arrays["labels"], seen


def padded(labels):
    """The first labels of every row of `Rows`, (n, 16) int32, -1 where there are fewer."""
    out = np.full((len(labels), MAX_LABELS), -1, np.int32)
    sample, ids = labels.flat()
    place = np.arange(len(ids)) - np.repeat(np.cumsum(labels.count) - labels.count, labels.count)
    few = place < MAX_LABELS
    out[sample[few], place[few]] = ids[few]
    return out
