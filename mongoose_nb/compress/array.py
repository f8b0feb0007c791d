"""One small learnable array that stands for large matrices.

::

    array = HashedArray(100_000)
    table = array.view("robe", (1_000_000, 16))       a million rows of 16 numbers, in 400 KB
    rows  = table.gather([5, 77])                     (2, 16)
    table.gradient([5, 77], g).step(optimizer, 0)     adds the gradients by cell, and takes a step

An array may have many views: tables of embeddings, weights of dense layers, a wide output layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mongoose_nb.compress.base import MOST_CELLS, IndexMap, index_map
from mongoose_nb.compress.gradient import CellGradient
from mongoose_nb.core.arrays import Buffers, Parameter, aligned_zeros
from mongoose_nb.core.threads import kernel_threads
from mongoose_nb.core.validation import check_int, check_number


class HashedArray:
    """A flat array of learnable numbers, read through index maps.

    Parameters
    ----------
    cells : int
        Its length: 4 bytes each, and as many for each moment of the optimiser.
    init_std : float
        Standard deviation of the initial values.
    seed : int
        Of the initial values, and of maps that are made by name.
    grad_scale : bool
        Scale steps so that the result does not depend on `init_std`, and entries move as those of uncompressed matrices would
        (STABLE-RPS): by the inverse of the sum of squared scales of a cell's entries, and under optimisers that normalise gradients by
        that of their root mean square. Costs 4 bytes a cell.

    Attributes
    ----------
    parameter : core.arrays.Parameter
        The cells and the moments of the optimiser.
    views : list of View
    """

    def __init__(self, cells: int, *, init_std: float = 0.05, seed: int = 0, grad_scale: bool = False) -> None:
        self.cells = check_int("cells", cells, low=1, high=MOST_CELLS)
        self.init_std = check_number("init_std", init_std, low=0.0, open_low=True)
        self.seed = check_int("seed", seed, low=0)
        self.grad_scale = bool(grad_scale)
        value = aligned_zeros(self.cells)
        rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([self.seed, 0xA44A1])))
        for lo in range(0, self.cells, 1 << 20):
            part = value[lo:lo + (1 << 20)]
            rng.standard_normal(out=part, dtype=np.float32)
            part *= np.float32(self.init_std)
        self.parameter = Parameter(value)
        self.views: list[View] = []
        self.buffers = Buffers()
        self._room: np.ndarray | None = None
        self._metric: np.ndarray | None = None

    def __repr__(self) -> str:
        return f"HashedArray({self.cells}, views={[view.map.shape for view in self.views]})"

    @property
    def values(self) -> np.ndarray:
        """The cells, (cells,) float32."""
        return self.parameter.value

    @property
    def nbytes(self) -> int:
        """Bytes of the cells and of what maps keep beside them, without the moments of an optimiser."""
        kept = {id(part): part.nbytes for view in self.views for part in view.map.kept()}
        return self.values.nbytes + sum(kept.values())

    @property
    def compression(self) -> float:
        """Bytes of the matrices that the array stands for, over its own."""
        return 4 * sum(view.map.rows * view.map.width for view in self.views) / self.nbytes

    def view(self, map: str | IndexMap, shape: int | Sequence[int] | None = None, *, std: float | None = None, scale: float | None = None,
             **options: Any) -> View:
        """Let the array stand for one more matrix.

        Parameters
        ----------
        map : str or IndexMap
            A name gives a map whose entries follow those of the views before it.
        shape : int or sequence of int
            Of the matrix; left out with a map object.
        std : float, optional
            Standard deviation that the matrix is to have at first.
        scale : float, optional
            Factor on the cells instead; 1 by default.
        **options
            Of the map, where it is given by name.

        Returns
        -------
        View
        """
        if isinstance(map, IndexMap):
            if shape is not None or options:
                raise ValueError("a map object has its own shape and options; give either the object or a name with these")
            if map.cells != self.cells:
                raise ValueError(f"the map addresses {map.cells} cells, the array has {self.cells}")
        else:
            if shape is None:
                raise ValueError(f"shape is missing: view({map!r}, shape)")
            offset = sum(view.map.rows * view.map.width for view in self.views)
            map = index_map(map, shape, self.cells, options.pop("seed", self.seed), **{"offset": offset, **options})
        if std is not None:
            if scale is not None:
                raise ValueError("give std or scale, not both")
            scale = check_number("std", std, low=0.0, open_low=True) / self.init_std
        view = View(self, map, 1.0 if scale is None else check_number("scale", scale, low=0.0, open_low=True))
        self.views.append(view)
        self._metric = None
        return view

    def count(self) -> np.ndarray:
        """Number of entries of all views by cell, (cells,) int64."""
        return sum((view.map.count() for view in self.views), np.zeros(self.cells, np.int64))

    @property
    def room(self) -> int:
        """Length of the array in which a gradient is summed: blocks run on beyond the last cell."""
        return self.cells + max((view.map.block for view in self.views), default=1)

    def gradient_room(self) -> np.ndarray:
        """The array in which a gradient is summed: zeros."""
        if self._room is None or len(self._room) != self.room:
            self._room = aligned_zeros(self.room)
        else:
            self._room[:] = 0
        return self._room

    def metric(self) -> np.ndarray:
        """What steps are scaled by, cell by cell (see `grad_scale`); empty without."""
        if not self.grad_scale:
            return np.zeros(0, np.float32)
        if self._metric is None:
            squares, entries = np.zeros(self.cells), np.zeros(self.cells, np.int64)
            for view in self.views:
                count = view.map.count()
                squares += view.scale**2 * count
                entries += count
            adaptive = self.parameter.v is not self.parameter.value  # a second moment makes steps independent of the gradient's size
            squares = squares / np.maximum(entries, 1) if adaptive else squares
            self._metric = np.where(entries > 0, np.sqrt(squares), 1.0).astype(np.float32)
        return self._metric

    def gradient(self) -> CellGradient:
        """An empty gradient, to which views add."""
        return CellGradient(self)

    def step(self, gradient: CellGradient, optimizer: Any, step: int, rate: float = 1.0) -> None:
        """One step of an optimiser of `nn`.

        Parameters
        ----------
        gradient : CellGradient
        optimizer : nn.Optimizer
        step : int
            Steps taken before.
        rate : float
            Factor on the learning rate.
        """
        self.parameter.attach(optimizer)
        constants = optimizer.constants(step + 1, rate)
        gradient.apply(optimizer.method, constants, optimizer.constants(step + 1, rate, decay=False))


class View:
    """A matrix that a hashed array stands for: ``W = scale * sign * cells[index]``. `HashedArray.view` makes it.

    It has ``shape``, ``dtype`` and ``len``, and slices and lists of rows read it as they would read an array.

    Parameters
    ----------
    array : HashedArray
    map : IndexMap
    scale : float
    """

    dtype = np.dtype(np.float32)

    def __init__(self, array: HashedArray, map: IndexMap, scale: float) -> None:
        self.array, self.map, self.scale = array, map, scale
        self.layout = map.layout(scale)
        self.shape = (map.rows, map.width)
        self.size = map.rows * map.width

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """The whole matrix."""
        return self.gather().astype(np.float32 if dtype is None else dtype, copy=False)

    def __len__(self) -> int:
        return self.map.rows

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Rows of a slice or of a list of ids."""
        if isinstance(rows, slice):
            return self.gather(np.arange(*rows.indices(self.map.rows)))
        return self.gather(rows)

    def gather(self, rows: Any = None, *, bases: np.ndarray | None = None, out: np.ndarray | None = None) -> np.ndarray:
        """Some rows of the matrix.

        Parameters
        ----------
        rows : list of int, optional
            All by default.
        bases : (n, blocks) int64, optional
            Of the rows, where they are known; `rows` is then not checked.
        out : (n, width) float32, optional
            Where to write them.

        Returns
        -------
        (n, width) float32
        """
        from mongoose_nb.kernels.compress.cells import gather

        if bases is None:
            rows = self.map.check_rows(rows)
            bases = self.map.bases(rows)
        out = np.empty((len(rows), self.map.width), np.float32) if out is None else out
        with kernel_threads(8 * out.size):
            gather(self.array.values, rows, bases, self.layout, out)
        return out

    def product(self, X: np.ndarray, *, bases: np.ndarray | None = None) -> np.ndarray:
        """``X @ W.T``, reading a block of rows of W at a time: W as a whole is never made.

        Parameters
        ----------
        X : (n, width) float32
        bases : (rows, blocks) int64, optional
            Of all rows, where they are known.

        Returns
        -------
        (n, rows) float32
        """
        from mongoose_nb.core.threads import one_blas_thread
        from mongoose_nb.kernels.compress.products import multiply_rows

        X = np.ascontiguousarray(X, np.float32)
        if X.ndim != 2 or X.shape[1] != self.map.width:
            raise ValueError(f"X has shape {X.shape}; needed are rows of {self.map.width}")
        columns, out = np.ascontiguousarray(X.T), np.empty((len(self), len(X)), np.float32)
        step = max(64, (1 << 22) // self.map.blocks // 64 * 64)
        with one_blas_thread(), kernel_threads(len(X) * len(self) * self.map.width):
            for lo in range(0, len(self), step):  # not all addresses at once
                rows = np.arange(lo, min(len(self), lo + step))
                known = self.map.bases(rows) if bases is None else bases[rows[0]:rows[-1] + 1]
                multiply_rows(columns, self.array.values, rows, known, self.layout, out[lo:lo + len(rows)])
        return np.ascontiguousarray(out.T)

    def gradient(self, rows: Any, values: np.ndarray) -> CellGradient:
        """The gradient of the array from that of some rows.

        Parameters
        ----------
        rows : list of int
        values : (n, width) array

        Returns
        -------
        CellGradient
        """
        rows, values = self.map.check_rows(rows), np.ascontiguousarray(values, np.float32)
        if values.shape != (len(rows), self.map.width):
            raise ValueError(f"values have shape {values.shape}; needed is ({len(rows)}, {self.map.width}), one row for each of `rows`")
        return self.array.gradient().add(self, rows, values)

    def lift(self, cells: np.ndarray) -> np.ndarray:
        """The matrix that some cells stand for, in their dtype.

        Parameters
        ----------
        cells : (cells,) array

        Returns
        -------
        array of the map's shape
        """
        cells = np.asarray(cells)
        if cells.shape != (self.array.cells,):
            raise ValueError(f"cells have shape {cells.shape}; needed is ({self.array.cells},)")
        return cells[self.map.index()] * self.map.sign().astype(cells.dtype) * cells.dtype.type(self.scale)

    def lower(self, matrix: np.ndarray) -> np.ndarray:
        """The cells that stand for a matrix best, in the sense of least squares; `lift` of them is the projection of the matrix.

        Parameters
        ----------
        matrix : array of the map's shape

        Returns
        -------
        (cells,) float64
            Zero in cells without entries.
        """
        matrix = np.asarray(matrix, np.float64)
        if matrix.shape != tuple(self.map.shape):
            raise ValueError(f"the matrix has shape {matrix.shape}; needed is {tuple(self.map.shape)}")
        sums, count = np.zeros(self.array.cells), np.zeros(self.array.cells, np.int64)
        flat, step = matrix.reshape(self.map.rows, self.map.width), max(1, (1 << 22) // self.map.width)
        for lo in range(0, self.map.rows, step):
            rows = np.arange(lo, min(self.map.rows, lo + step))
            index = self.map.index(rows).ravel()
            sums += np.bincount(index, (flat[rows] * self.map.sign(rows)).ravel(), minlength=self.array.cells)
            count += np.bincount(index, minlength=self.array.cells)
        return sums / np.maximum(count, 1) / self.scale
