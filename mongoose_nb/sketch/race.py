"""RACE: repeated arrays of counts over an LSH family (Coleman and Shrivastava 2020)."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from mongoose_nb.core import files
from mongoose_nb.core.saving import join, split
from mongoose_nb.core.types import PathLike
from mongoose_nb.core.validation import check_int
from mongoose_nb.hashing.base import HashFamily, family_from_state
from mongoose_nb.sketch.storage import check_version, take

KIND = "race"
VERSION = 1


class RACE:
    """Sums of a similarity over a stream of rows: for a query q, the mean over rows x of the probability that q and x have equal codes.

    Each of the L tables of the family counts its codes in one array. The mean over the tables of the count at the query's code estimates
    the sum of p(q, x)^K over all rows, where p is `family.collision_probability`. Nothing else is kept of the rows.

    Parameters
    ----------
    family : HashFamily
        For example ``PStable(dim, K=2, L=200)``.
    width : int
        Cells of an array; codes are taken modulo it. Then rows of other codes fall into a cell by chance, and `estimate` subtracts
        what is expected of them.

    References
    ----------
    Coleman and Shrivastava, "Sub-linear RACE sketches for approximate kernel density estimation on streaming data", WWW 2020,
    arXiv 1912.02283.

    Examples
    --------
    >>> import numpy as np
    >>> from mongoose_nb import PStable
    >>> from mongoose_nb.sketch import RACE
    >>> rows = np.random.default_rng(0).standard_normal((2000, 3)).astype("float32")
    >>> sketch = RACE(PStable(3, K=2, L=100, width=4.0)).add(rows)
    >>> inside, outside = sketch.estimate([[0, 0, 0], [30, 30, 30]])
    >>> bool(inside > 0.2 > 0.05 > outside)
    True
    """

    def __init__(self, family: HashFamily, width: int = 4096) -> None:
        if not isinstance(family, HashFamily):
            raise TypeError(f"family must be a hash family, such as PStable(dim, K=2, L=200); got a {type(family).__name__}")
        self.family = family
        self.width = check_int("width", width, low=2, high=1 << 30)
        self.counts = np.zeros((family.L, self.width), np.int64)
        #: rows that were added
        self.n = 0

    def __repr__(self) -> str:
        return f"RACE({self.family!r}, width={self.width})"

    def _cells(self, X):
        from mongoose_nb.kernels.sketch.counts import mix_codes

        codes = np.ascontiguousarray(self.family.hash_tables(X)).astype(np.uint64)
        cells = np.empty(codes.shape, np.int64)
        mix_codes(codes, self.width, cells)
        return cells

    def add(self, X: Any) -> Self:
        """Count rows.

        Parameters
        ----------
        X : (n, dim) array or CSR

        Returns
        -------
        RACE
            self
        """
        cells = self._cells(X)
        for table, row in zip(self.counts, cells):
            table += np.bincount(row, minlength=self.width)
        self.n += cells.shape[1]
        return self

    def estimate(self, Q: Any) -> np.ndarray:
        """The mean over all rows of the probability to have the code of the query.

        Parameters
        ----------
        Q : (n, dim) array or CSR

        Returns
        -------
        (n,) float64
            In [0, 1] up to noise; 0 before any row was added.
        """
        cells = self._cells(Q)
        if self.n == 0:
            return np.zeros(cells.shape[1])
        mean = np.take_along_axis(self.counts, cells, axis=1).mean(axis=0) / self.n
        return (mean - 1 / self.width) / (1 - 1 / self.width)

    def merge(self, other: RACE) -> Self:
        """Add the counts of another sketch with the same functions: bit for bit what adding its rows gives.

        Parameters
        ----------
        other : RACE

        Returns
        -------
        RACE
            self
        """
        if not isinstance(other, RACE) or repr(self) != repr(other):
            raise ValueError(f"{self!r} cannot be merged with {other!r}: only sketches with the same functions can")
        self.counts += other.counts
        self.n += other.n
        return self

    def save(self, path: PathLike) -> None:
        """Write the sketch to a file.

        Parameters
        ----------
        path : path-like
        """
        settings, arrays = split({"family": self.family.state()})
        files.save(path, KIND, {"version": VERSION, "width": self.width, "n": self.n, **settings}, {"counts": self.counts, **arrays})

    @classmethod
    def load(cls, path: PathLike) -> RACE:
        """Read a sketch.

        Parameters
        ----------
        path : path-like
        """
        settings, arrays = files.load(path, KIND)
        check_version(path, settings, VERSION)
        family = join({"family": settings["family"]}, {name: array for name, array in arrays.items() if name != "counts"})["family"]
        sketch = cls(family_from_state(family), settings["width"])
        sketch.counts[...] = take(path, arrays, "counts", np.int64, sketch.counts.shape)
        sketch.n = settings["n"]
        return sketch
