"""What all row stores share: checks of what is given, arrays with room to grow, and the interface."""

from __future__ import annotations

import abc
import functools
import math
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from mongoose_nb.core.arrays import read_only
from mongoose_nb.core.registry import Registered, find, name_of

if TYPE_CHECKING:
    import scipy.sparse

    from mongoose_nb.search.metrics import Metric

_LINE = 64
GROWTH = 4  # room is made for one part in so many

#: checked rows in the form in which a store keeps them: an array, or the parts of CSR rows
Batch = Any


@functools.cache
def kernels() -> ModuleType:
    """Kernels of single rows. They are imported once, when they are needed: the import statement takes as long as a check of a row."""
    from mongoose_nb.kernels.search import project

    return project


@functools.cache
def candidates() -> ModuleType:
    """Kernels and bundles of candidates, likewise."""
    from mongoose_nb.kernels.search import candidates

    return candidates


@functools.cache
def scan() -> ModuleType:
    """Kernels of searches among dense rows and bits, likewise."""
    from mongoose_nb.kernels.search import scan

    return scan


@functools.cache
def scan_csr() -> ModuleType:
    """Kernels of searches among sparse rows, likewise."""
    from mongoose_nb.kernels.search import scan_csr

    return scan_csr


#: a longer row is refused where distances are squared: the square of a difference of two rows must fit float32
LONGEST = 2.0**62
#: largest relative error of one operation on float32
UNIT = 2.0**-24
_FINITE = 1e300  # squares of finite float32 add up to less


def check_numbers(X: np.ndarray, squared: bool) -> None:
    """Refuse NaN and infinity in read-only rows (n, d) and, if they are to be squared, rows longer than `LONGEST`."""
    if kernels().none_beyond(X, LONGEST**2 if squared else _FINITE):
        return
    if not np.isfinite(X).all():
        raise ValueError("rows hold NaN or infinity (in float32); replace them first, for instance with numpy.nan_to_num")
    raise too_long()


def too_long() -> ValueError:
    """The refusal of rows longer than `LONGEST`."""
    return ValueError(f"there are rows longer than {LONGEST:.1e}, whose squares do not fit float32; divide rows and queries by a number")


def contiguous(X: np.ndarray) -> np.ndarray:
    """X as the kernels take it, read-only."""
    flags = X.flags  # numpy.require alone takes a tenth of a query
    return read_only(X if flags.c_contiguous and flags.aligned else np.require(X, None, ["C", "A"]))


def two_axes(X: np.ndarray, dim: int) -> np.ndarray:
    """X as (n, dim)."""
    if X.ndim == 1:
        X = X[None, :]
    if X.ndim != 2 or X.shape[1] != dim:
        raise ValueError(f"rows have shape {X.shape}; this index holds rows of dim={dim}: give (n, {dim}) or ({dim},)")
    return X


def zeros(shape: tuple[int, ...], dtype: type) -> np.ndarray:
    """Zeros that begin at a cache line: a row of whole lines then touches no line more."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    raw = np.zeros(size + _LINE, np.uint8)
    start = -raw.ctypes.data % _LINE
    return raw[start:start + size].view(dtype).reshape(shape)


def grown(array: np.ndarray, need: int) -> np.ndarray:
    """An array with at least `need` rows and the same ones at its beginning."""
    if need <= len(array):
        return array
    out = zeros((need + need // GROWTH + 16, *array.shape[1:]), array.dtype)
    out[:len(array)] = array
    return out


def taken(array: np.ndarray, slots: np.ndarray) -> np.ndarray:
    """A copy of these rows; of one row without an array of places, which takes a third of the time."""
    if len(slots) == 1:
        slot = int(slots[0])
        return array[slot:slot + 1].copy()
    return array[slots]


def put(array: np.ndarray, slots: np.ndarray, rows: np.ndarray) -> None:
    """``array[slots] = rows``, which for one row takes a fifth of the time so."""
    if len(slots) == 1:
        array[int(slots[0])] = rows[0]
    else:
        array[slots] = rows


def own(array: np.ndarray) -> np.ndarray:
    """The array, or a copy where it is read-only, as what comes from a file or a pickle may be."""
    return array if array.flags.writeable else array.copy()


class RowStore(Registered, abc.ABC, kind="row store"):
    """Base of the row stores.

    Parameters
    ----------
    metric : Metric
    dim : int
        Columns of the rows that are given.

    Attributes
    ----------
    width : int
        Columns of the rows that are kept.
    """

    #: whether batches are the parts of CSR rows
    sparse = False
    #: whether `scores` proposes rows by matrix products
    proposes = True
    #: name of the store whose batches this one takes; by default its own
    batches: str | None = None

    def __init__(self, metric: Metric, dim: int) -> None:
        self.metric, self.dim, self.width = metric, dim, metric.width(dim)
        self.transforms = metric.transforms
        self.squared = not (metric.unit or metric.sets)  # whether lengths of rows are squared in float32
        # which distance: see kernels.search.candidates.Form
        self.form = bool(metric.sets if self.sparse else metric.euclidean), np.float32(1 if metric.unit else 0)

    @property
    def name(self) -> str:
        """The registered name."""
        return name_of(type(self))

    @property
    def takes(self) -> str:
        """Name of the store whose batches this one takes."""
        return self.batches or self.name

    @abc.abstractmethod
    def check(self, X: np.ndarray | scipy.sparse.csr_matrix) -> Batch:
        """The batch of rows that are given, or a ValueError or TypeError."""

    def arrive(self, X: np.ndarray | scipy.sparse.csr_matrix) -> Batch:
        """As `check`, of rows that are to be kept."""
        return self.check(X)

    @abc.abstractmethod
    def count(self, batch: Batch) -> int:
        """Rows of a batch."""

    @abc.abstractmethod
    def part(self, batch: Batch, lo: int, hi: int) -> Batch:
        """Rows lo to hi of a batch."""

    @abc.abstractmethod
    def reserve(self, slots: np.ndarray, batch: Batch, need: int) -> None:
        """Make room for `put` of the same arguments, which then cannot fail."""

    @abc.abstractmethod
    def put(self, slots: np.ndarray, batch: Batch, need: int) -> None:
        """Keep a batch in these slots, which are below `need`. Where memory runs out, nothing has changed."""

    @abc.abstractmethod
    def take(self, slots: np.ndarray) -> Batch:
        """The batch in these slots."""

    def sealed(self, batch: Batch) -> Batch:
        """The same batch, read-only, as `check` gives batches."""
        return read_only(batch) if isinstance(batch, np.ndarray) else tuple(read_only(part) for part in batch)

    def taken_over(self, batch: Batch) -> Batch:
        """A batch that another store of the same `batches` gave, as this one keeps it, read-only."""
        return self.sealed(batch)

    @abc.abstractmethod
    def restrict(self, slots: np.ndarray) -> None:
        """Keep these slots only, as 0, 1, ..."""

    @abc.abstractmethod
    def matrix(self, batch: Batch) -> np.ndarray | scipy.sparse.csr_matrix:
        """A batch as a user sees it."""

    @abc.abstractmethod
    def row_bytes(self, stored: float | None = None) -> float:
        """Bytes of a row, of a sparse one with so many columns."""

    @property
    @abc.abstractmethod
    def nbytes(self) -> int:
        """Bytes of all arrays."""

    @abc.abstractmethod
    def state(self, used: int) -> dict[str, np.ndarray]:
        """The arrays of the first slots, for `restore`; nothing is copied."""

    @abc.abstractmethod
    def restore(self, state: dict[str, np.ndarray], used: int, frozen: bool) -> None:
        """Take back what `state` gave; arrays of a store that is frozen may be read-only. ValueError where they do not fit."""

    # --- what searches read: see `mongoose_nb.kernels.search.scan` for the arguments -----------------------------------

    @abc.abstractmethod
    def arrays(self, slots: int) -> tuple:
        """The arrays of the first slots, read-only, for the methods below."""

    @abc.abstractmethod
    def search(self, arrays: tuple, batch: Batch, buckets: tuple, probes: tuple, coordinates: tuple, sketches: tuple, scratch: tuple,
               found: tuple) -> None:
        """The nearest rows, into `found`."""

    @abc.abstractmethod
    def measure(self, arrays: tuple, batch: Batch, indptr: np.ndarray, slots: np.ndarray, scratch: tuple, out: np.ndarray) -> None:
        """Distances of query i and ``slots[indptr[i] : indptr[i + 1]]``, the same to the bit as in `search`."""

    def scores(self, arrays: tuple, batch: Batch, step: int) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Yield (first slot, scores (n, rows), errors (n,)) of blocks of `step` rows; scores are in the order of distances, but for
        rounding errors of at most so much for a query."""
        raise NotImplementedError


def store_of(metric: Metric, sparse: bool, storage: str | None = None) -> type[RowStore]:
    """The class of stores for rows that come dense or sparse, by default that of the metric.

    Parameters
    ----------
    metric : Metric
    sparse : bool
        Whether the rows are CSR.
    storage : str, optional
        Name of a store that keeps such rows in another form.

    Returns
    -------
    type

    Raises
    ------
    ValueError, TypeError
        There is no such storage, it does not take these rows, or the metric does not.
    """
    usual = metric.store(sparse)
    cls = find("row store", usual if storage is None else storage)
    if storage is not None and (cls.batches or storage) != usual:
        raise ValueError(f"storage={storage!r} keeps {cls.batches or storage} rows, and rows {'given as CSR ' if sparse else ''}under "
                         f"metric {metric.name!r} are {usual}; leave storage out" + (", or pass X.toarray()" if sparse else ""))
    return cls
