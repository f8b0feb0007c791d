"""Index maps: which cell of a small array stands for each entry of a large matrix.

::

    entry (row, j)  --map-->  cell            many entries share a cell
                    --sign->  +1 or -1        of the entry, so that what collides cancels on average

A row is cut into blocks whose entries lie in neighbouring cells, and `IndexMap.bases` gives the first cell of each block. That is all that
a map has to define (after the last cell comes the first); gather, scatter, counts, projection and cache lines follow from it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mongoose_nb.core.registry import Registered, find, registered
from mongoose_nb.core.saving import Stateful
from mongoose_nb.core.validation import check_int

#: ids of rows lie below; one hash gives a row's place and another one its signs
MOST_ROWS = 2**40
#: cells of an array lie below: a place is drawn by multiplying 32 bits
MOST_CELLS = 2**32 - 1


class IndexMap(Registered, Stateful, kind="index map"):
    """The base of all index maps.

    Parameters
    ----------
    shape : int or sequence of int
        Of the matrix. Axes beyond the first are taken as one, row-major; a vector is one row.
    cells : int
        Length of the array.
    seed : int
        Maps of different seeds are independent.
    offset : int
        Place of the matrix among those that share the array, in entries. Matrices of one seed and different offsets are independent.
    signed : bool
        Whether entries have signs.

    Attributes
    ----------
    rows, width : int
        The matrix as rows.
    block : int
        Entries that lie in neighbouring cells.
    open_rows : bool
        Whether a place follows from the row's id by a hash alone, so that nothing is kept for each row. `bases` then takes ids
        beyond `shape`, too, for layers whose ids are hashes; everything else refuses them.
    """

    block = 1
    open_rows = True
    #: least entries of a row
    least_width = 1

    def __init__(self, shape: int | Sequence[int], cells: int, seed: int = 0, *, offset: int = 0, signed: bool = True) -> None:
        given = [shape] if isinstance(shape, int | np.integer) else shape
        self.shape = [check_int("shape", n, low=1) for n in given]
        if not self.shape:
            raise ValueError("shape must have one axis or more; got ()")
        self.rows, self.width = (1, self.shape[0]) if len(self.shape) == 1 else (self.shape[0], math.prod(self.shape[1:]))
        if self.rows > MOST_ROWS or self.width >= MOST_CELLS:
            raise ValueError(f"shape={tuple(self.shape)} has more than {MOST_ROWS:,} rows, or rows longer than {MOST_CELLS:,}")
        self.cells = check_int("cells", cells, low=1, high=MOST_CELLS)
        self.seed = check_int("seed", seed, low=0)
        self.offset = check_int("offset", offset, low=0)
        self.signed = bool(signed)

    def bases(self, rows: np.ndarray) -> np.ndarray:
        """First cell of every block of some rows.

        Parameters
        ----------
        rows : (n,) int64

        Returns
        -------
        (n, blocks) int64
        """
        raise NotImplementedError  # abstract

    @property
    def blocks(self) -> int:
        """Blocks of a row; the last one may be shorter."""
        return -(-self.width // self.block)

    def kept(self) -> list[np.ndarray]:
        """Arrays that the map itself needs, beside the array; none where it is a hash."""
        return []

    def key(self, purpose: int) -> np.uint64:
        """A key for hashes: `purpose` 0 for places and 1 for signs."""
        return np.uint64(np.random.SeedSequence([self.seed, self.offset, purpose, 0xCE115]).generate_state(1, np.uint64)[0])

    def hashed(self, keys: np.ndarray, blocks: int, span: int, *, modulus: int | None = None, stride: int = 1,
               shifts: np.ndarray | None = None) -> np.ndarray:
        """Places drawn by hashes: ``((hash(key, block) below span) mod modulus * stride + shift) mod cells``.

        Parameters
        ----------
        keys : (n,) integers
            Equal keys have equal places.
        blocks : int
        span : int
        modulus : int, optional
            `span` by default.
        stride : int
        shifts : (n,) int64, optional
            Added to the places of a row; below the number of cells.

        Returns
        -------
        (n, blocks) int64
        """
        from mongoose_nb.core.threads import kernel_threads
        from mongoose_nb.kernels.compress.addresses import Recipe, hash_blocks

        out = np.empty((len(keys), blocks), np.int64)
        shifts = np.zeros(len(keys), np.int64) if shifts is None else np.ascontiguousarray(shifts, np.int64)
        recipe = Recipe(self.key(0), np.int64(span), np.int64(span if modulus is None else modulus), np.int64(stride),
                        np.int64(self.cells))
        with kernel_threads(8 * out.size):
            hash_blocks(np.ascontiguousarray(keys, np.uint64), shifts, recipe, out)
        return out

    def check_rows(self, rows: Any = None) -> np.ndarray:
        """Ids of rows as int64; all of them without.

        Raises
        ------
        TypeError, ValueError
            For what is no list of integers, or for rows that the matrix does not have.
        """
        if rows is None:
            return np.arange(self.rows)
        return check_ids("rows", rows, self.rows, "the matrix")

    def index(self, rows: Any = None) -> np.ndarray:
        """The cell of every entry.

        Parameters
        ----------
        rows : list of int, optional
            All by default.

        Returns
        -------
        int64 array
            Of the map's shape; (n, width) for a list of rows.
        """
        ids = self.check_rows(rows)
        cells = (self.bases(ids)[:, :, None] + np.arange(self.block)).reshape(len(ids), self.blocks * self.block)[:, :self.width]
        cells = np.where(cells >= self.cells, cells - self.cells, cells)
        return np.ascontiguousarray(cells).reshape(self.shape if rows is None else cells.shape)

    def sign(self, rows: Any = None) -> np.ndarray:
        """The sign of every entry, +1 or -1 in int8, shaped as `index`."""
        ids = self.check_rows(rows)
        out = np.ones((len(ids), self.width), np.float32)
        if self.signed and out.size:
            from mongoose_nb.kernels.compress.cells import flip_rows

            flip_rows(np.ones_like(out), ids, self.layout(1.0), out)
        return out.astype(np.int8).reshape(self.shape if rows is None else out.shape)

    def layout(self, scale: float) -> Any:
        """`kernels.compress.cells.Layout` of the map."""
        from mongoose_nb.kernels.compress.cells import Layout

        return Layout(np.int64(self.block), self.signed, self.key(1), np.float32(scale))

    def count(self) -> np.ndarray:
        """Number of entries of each cell, (cells,) int64."""
        out = np.zeros(self.cells, np.int64)
        step = max(1, (1 << 22) // self.width)
        for lo in range(0, self.rows, step):
            cells = self.index(np.arange(lo, min(self.rows, lo + step))).ravel()
            out += np.bincount(cells, minlength=self.cells)
        return out

    def lines(self, rows: Any = None, *, line: int = 64, itemsize: int = 4) -> np.ndarray:
        """Cache lines that each row touches.

        Parameters
        ----------
        rows : list of int, optional
            All by default.
        line, itemsize : int
            Bytes of a cache line and of a cell.

        Returns
        -------
        (n,) int64
        """
        ids = self.check_rows(rows)
        touched = np.sort(self.index(ids) * itemsize // line, axis=1)
        return 1 + (np.diff(touched, axis=1) > 0).sum(axis=1)


def check_ids(name: str, ids: Any, top: int, what: str) -> np.ndarray:
    """Ids from 0 to `top` - 1 as int64.

    Parameters
    ----------
    name : str
        Of the argument.
    ids : list of int
    top : int
    what : str
        What has so many rows.

    Returns
    -------
    (n,) int64

    Raises
    ------
    TypeError, ValueError
        For what is no list of integers, or for other ids; the message names the largest id and `top`.
    """
    ids = np.asarray(ids)
    if ids.ndim != 1 or ids.dtype.kind not in "iu" and ids.size:
        raise TypeError(f"{name} must be a list of integers; got an array of shape {ids.shape} and dtype {ids.dtype}")
    if ids.size and (ids.min() < 0 or ids.max() >= top):
        raise ValueError(f"{name} go from {ids.min()} to {ids.max()}; {what} has {top:,} rows, 0 to {top - 1}: give ids of these, or make "
                         f"{what} with {int(ids.max()) + 1:,} rows or more" if ids.min() >= 0 else
                         f"{name} go from {ids.min()} to {ids.max()}; {what} has {top:,} rows, 0 to {top - 1}, and ids are not negative")
    return np.ascontiguousarray(ids, np.int64)


def index_map(name: str, shape: int | Sequence[int], cells: int, seed: int = 0, **options: Any) -> IndexMap:
    """An index map by name.

    Parameters
    ----------
    name : str
        ``"element"``, ``"row"``, ``"compositional"``, ``"robe"``, ``"roast"``, ``"fold"``, ``"collapsible"``, ``"lma"``, or one of your
        own.
    shape : int or sequence of int
        Of the matrix that the array stands for.
    cells : int
        Length of the array.
    seed : int
    **options
        Of the map, such as ``block=16`` of ``"robe"``.

    Returns
    -------
    IndexMap

    Raises
    ------
    NotRegisteredError
        For an unknown name; the message lists the known ones.
    """
    cls = find("index map", name)
    try:
        return cls(shape, cells, seed, **options)
    except TypeError as error:
        raise TypeError(f"index map {name!r}: {error}") from None


def names() -> list[str]:
    """Names of the index maps, sorted."""
    return sorted(registered("index map"))
