"""The most frequent keys of a stream."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from mongoose_nb.core import files
from mongoose_nb.core.types import PathLike
from mongoose_nb.core.validation import check_int
from mongoose_nb.sketch.count_min import CountMinSketch
from mongoose_nb.sketch.keys import as_keys
from mongoose_nb.sketch.storage import check_version

KIND = "top_keys"
VERSION = 1


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
    >>> top.add(["to", "be", "or", "not", "to", "be", "to"]).items()
    [('to', 3), ('be', 2)]
    """

    def __init__(self, k: int, sketch: CountMinSketch | None = None) -> None:
        self.k = check_int("k", k, low=1)
        self.sketch = CountMinSketch() if sketch is None else sketch
        if not isinstance(self.sketch, CountMinSketch):
            raise TypeError(f"sketch must be a CountMinSketch; got a {type(sketch).__name__}")
        self._kept: dict[int, Any] = {}  # word -> the key

    def add(self, keys: Any, amounts: Any = 1) -> Self:
        """Count keys.

        Parameters
        ----------
        keys : int, str, bytes, or an array or list of them
        amounts : int or (n,) array of int
            How often they are counted, all or each; not negative. Keys that are counted 0 times are left out.

        Returns
        -------
        TopKeys
            self
        """
        words = as_keys(keys)
        self.sketch.add(keys, amounts)
        named = [keys] if isinstance(keys, int | str | bytes | np.integer) else keys.tolist() if isinstance(keys, np.ndarray) else keys
        counted = np.flatnonzero(np.broadcast_to(amounts, words.shape))
        some, first = np.unique(words[counted], return_index=True)
        self._keep({int(word): named[at] for word, at in zip(some.tolist(), counted[first].tolist())})
        return self

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

    def merge(self, other: TopKeys) -> Self:
        """Add the counts and keys of another.

        Parameters
        ----------
        other : TopKeys
            Whose sketch has the same functions.

        Returns
        -------
        TopKeys
            self
        """
        if not isinstance(other, TopKeys) or other.k != self.k:
            raise ValueError(f"TopKeys({self.k}) merges with another of the same k; got {other!r}")
        self.sketch.merge(other.sketch)
        self._keep(other.kept())
        return self

    def kept(self) -> dict[int, Any]:
        """The kept keys by their words."""
        return dict(self._kept)

    def save(self, path: PathLike) -> None:
        """Write the keys and their sketch to a file.

        Parameters
        ----------
        path : path-like
        """
        kept = [{"bytes": key.hex()} if isinstance(key, bytes) else key if isinstance(key, str) else int(key)
                for key in self._kept.values()]
        sketch = {"width": self.sketch.width, "depth": self.sketch.depth, "seed": self.sketch.seed, "total": self.sketch.total}
        files.save(path, KIND, {"version": VERSION, "k": self.k, "sketch": sketch, "kept": kept}, {"table": self.sketch.table})

    @classmethod
    def load(cls, path: PathLike) -> Self:
        """Read what `save` wrote.

        Parameters
        ----------
        path : path-like
        """
        settings, arrays = files.load(path, KIND)
        check_version(path, settings, VERSION)
        top = cls(settings["k"], CountMinSketch.restored(path, settings["sketch"], arrays))
        for key in settings["kept"]:
            key = bytes.fromhex(key["bytes"]) if isinstance(key, dict) else key
            top._kept[int(as_keys(key)[0])] = key
        return top

    def __repr__(self) -> str:
        return f"TopKeys({self.k}, {self.sketch!r})"
