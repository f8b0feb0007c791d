"""What count-min and count sketches have in common: a table of counts, additions, merging, files."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from mongoose_nb.core import files
from mongoose_nb.core.threads import ROWS_FROM
from mongoose_nb.core.types import PathLike
from mongoose_nb.core.validation import check_int
from mongoose_nb.sketch.keys import as_keys
from mongoose_nb.sketch.storage import check_version, take

VERSION = 1
#: largest total, so that no cell overflows
MOST = 1 << 62


class CountTable:
    """Base of sketches of counts: `depth` rows of `width` cells, and a hash function for each row.

    Parameters
    ----------
    width : int
        Cells of a row.
    depth : int
        Rows.
    seed : int
    """

    signed = False
    file_kind = ""

    def __init__(self, width: int, depth: int, seed: int) -> None:
        self.width = check_int("width", width, low=1, high=1 << 32)
        self.depth = check_int("depth", depth, low=1, high=64)
        self.seed = check_int("seed", seed, low=0, high=(1 << 63) - 1)
        self.table = np.zeros((self.depth, self.width), np.int64)
        #: sum of the amounts, of negative ones their size
        self.total = 0

    def __repr__(self) -> str:
        return f"{type(self).__name__}(width={self.width}, depth={self.depth}, seed={self.seed})"

    @property
    def nbytes(self) -> int:
        """Bytes of the table."""
        return self.table.nbytes

    def add(self, keys: Any, amounts: Any = 1) -> Self:
        """Add to the counts of keys.

        Parameters
        ----------
        keys : int, str, bytes, or an array or list of them
        amounts : int or (n,) array of int
            What is added, for all keys or for each.

        Returns
        -------
        CountTable
            self
        """
        from mongoose_nb.kernels.sketch.counts import add_counts, add_few_counts

        words, more = as_keys(keys), np.asarray(amounts)
        if more.dtype.kind not in "iu" or more.ndim > 1 or more.ndim == 1 and len(more) != len(words):
            raise ValueError(f"amounts has dtype {more.dtype} and shape {more.shape}; give an integer, or {len(words)} of them, one a key")
        size = abs(int(more)) * len(words) if more.ndim == 0 else int(np.abs(more.astype(object)).sum()) if len(more) < 64 else \
            int(np.abs(more.astype(np.float64)).sum())
        if not self.signed and more.size and int(more.min()) < 0:
            raise ValueError(f"amounts has {int(more.min())}; a count-min sketch takes no negative amounts, CountSketch does")
        if self.total + size > MOST:
            raise ValueError(f"the sum of all amounts would pass {MOST:,}; give smaller ones")
        add = add_few_counts if len(words) < ROWS_FROM else add_counts
        add(words, np.atleast_1d(more).astype(np.int64), np.uint64(self.seed), self.signed, self.table)
        self.total += size
        return self

    def _read(self, keys):
        from mongoose_nb.kernels.sketch.counts import read_counts, read_few_counts

        words = as_keys(keys)
        out = np.empty((len(words), self.depth), np.int64)
        read = read_few_counts if len(words) < ROWS_FROM else read_counts
        read(words, np.uint64(self.seed), self.signed, self.table, out)
        return out

    def like(self) -> Self:
        """An empty sketch with the same functions."""
        return type(self)(self.width, self.depth, self.seed)

    def merge(self, other: CountTable) -> Self:
        """Add the counts of another sketch: bit for bit what adding its keys gives.

        Parameters
        ----------
        other : CountTable
            Of the same class, width, depth and seed.

        Returns
        -------
        CountTable
            self
        """
        if type(other) is not type(self) or repr(self) != repr(other):
            raise ValueError(f"{self!r} cannot be merged with {other!r}: only sketches with the same functions can")
        if self.total + other.total > MOST:
            raise ValueError(f"the sum of all amounts would pass {MOST:,}")
        self.table += other.table
        self.total += other.total
        return self

    def save(self, path: PathLike) -> None:
        """Write the sketch to a file.

        Parameters
        ----------
        path : path-like
        """
        settings = {"version": VERSION, "width": self.width, "depth": self.depth, "seed": self.seed, "total": self.total}
        files.save(path, self.file_kind, settings, {"table": self.table})

    @classmethod
    def load(cls, path: PathLike) -> Self:
        """Read a sketch.

        Parameters
        ----------
        path : path-like
        """
        settings, arrays = files.load(path, cls.file_kind)
        check_version(path, settings, VERSION)
        return cls.restored(path, settings, arrays)

    @classmethod
    def restored(cls, path: PathLike, settings: dict[str, Any], arrays: dict[str, np.ndarray]) -> Self:
        """A sketch from what a file holds.

        Parameters
        ----------
        path : path-like
            What errors name.
        settings, arrays : dict
            As `save` writes them.
        """
        sketch = cls(settings["width"], settings["depth"], settings["seed"])
        sketch.table[...] = take(path, arrays, "table", np.int64, sketch.table.shape)
        sketch.total = settings["total"]
        return sketch
