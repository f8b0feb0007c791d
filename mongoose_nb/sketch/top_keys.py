"""The most frequent keys of a stream."""

from __future__ import annotations

from typing import Any

import numpy as np

from mongoose_nb.core.validation import check_int
from mongoose_nb.sketch.count_min import CountMinSketch
from mongoose_nb.sketch.keys import as_keys


class TopKeys:
    """The keys with the largest counts, by the estimates of a count-min sketch.

    Parameters
    ----------
    k : int
        Keys to keep.
    sketch : CountMinSketch, optional
        An empty one; by default of width 2048 and depth 5.

    Notes
    -----
    A key that has one of the `k` largest estimates of all when it is last added is kept.

    Examples
    --------
    >>> from mongoose_nb.sketch import TopKeys
    >>> top = TopKeys(2)
    >>> top.add(["to", "be", "or", "not", "to", "be", "to"])
    >>> top.items()
    [('to', 3), ('be', 2)]
    """

    def __init__(self, k: int, sketch: CountMinSketch | None = None) -> None:
        self.k = check_int("k", k, low=1)
        self.sketch = CountMinSketch() if sketch is None else sketch
        if not isinstance(self.sketch, CountMinSketch):
            raise TypeError(f"sketch must be a CountMinSketch; got a {type(sketch).__name__}")
        self._kept: dict[int, Any] = {}  # word -> the key

    def add(self, keys: Any) -> None:
        """Count keys.

        Parameters
        ----------
        keys : int, str, bytes, or an array or list of them
        """
        words = as_keys(keys)
        self.sketch.add(keys)
        named = [keys] if isinstance(keys, int | str | bytes | np.integer) else keys.tolist() if isinstance(keys, np.ndarray) else keys
        some, first = np.unique(words, return_index=True)
        self._keep({int(word): named[at] for word, at in zip(some.tolist(), first.tolist())})

    def _keep(self, more):
        together = {**self._kept, **more}
        if len(together) > self.k:
            words = np.array(sorted(together), np.uint64)
            best = np.lexsort((words, -self.sketch.estimate(words)))[:self.k]
            together = {word: together[word] for word in words[best].tolist()}
        self._kept = together

    def items(self) -> list[tuple[Any, int]]:
        """The kept keys and estimates of their counts, the largest first."""
        words = np.array(sorted(self._kept), np.uint64)
        estimates = self.sketch.estimate(words)
        return [(self._kept[int(words[i])], int(estimates[i])) for i in np.lexsort((words, -estimates))]

    def merge(self, other: TopKeys) -> None:
        """Add the counts and keys of another.

        Parameters
        ----------
        other : TopKeys
            Whose sketch has the same functions.
        """
        if not isinstance(other, TopKeys) or other.k != self.k:
            raise ValueError(f"TopKeys({self.k}) merges with another of the same k; got {other!r}")
        self.sketch.merge(other.sketch)
        self._keep(other.kept())

    def kept(self) -> dict[int, Any]:
        """The kept keys by their words."""
        return dict(self._kept)

    def __repr__(self) -> str:
        return f"TopKeys({self.k}, {self.sketch!r})"
