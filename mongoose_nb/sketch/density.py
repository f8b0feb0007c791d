"""Density sketches: log densities, samples and anomaly scores from counts of grid cells (after Desai, Coleman and Shrivastava)."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np

from mongoose_nb.core import files
from mongoose_nb.core.arrays import read_only
from mongoose_nb.core.registry import describe, parameters
from mongoose_nb.core.streams import stream
from mongoose_nb.core.types import PathLike
from mongoose_nb.core.validation import check_int, check_number, unmasked
from mongoose_nb.sketch.axes import Axes, choose_axes
from mongoose_nb.sketch.storage import check_version, take

KIND = "density_sketch"
VERSION = 1
#: counts are int32
MOST_ROWS = (1 << 31) - 1
#: share of the density that a grid has of what finer ones leave
FINER = 0.9
#: and that of the distribution that all grids leave
TAIL = 0.001


class DensitySketch:
    """A summary of a stream of rows that gives log densities and new rows like them. Two sketches of parts merge into that of the whole.

    Rows are counted in the cells of `n_repeats` randomly rotated and shifted grids, by count-min tables. The density at a point is the
    mean over the grids of count / (rows x volume of a cell). Coarser grids, each twice as wide as the one before, have a tenth of the
    weight of the finer ones, and a Cauchy distribution with the mean and the scales of the first rows a weight of 0.001: far points have
    a density too, the lower the farther. Cells of one grid are kept besides, to draw samples from.

    Parameters
    ----------
    bandwidth : float or "auto"
        Side of a cell of the finest grids, in standard deviations of the rows. "auto" is sqrt(6) n^(-1/(d + 4)) for the n rows of the first
        `fit` or `partial_fit`: a triangular kernel with the variance of Scott's rule. Take about half for samples.
    n_repeats : int
        Grids of a level.
    levels : int
        Widths of grids.
    width, depth : int
        Cells of a row and rows of the count-min table of each grid.
    max_cells : int
        Cells to draw samples from. With more, a sample of the cells is kept, those with more rows more likely.
    whiten : bool
        Rotate and scale rows by their covariance first; otherwise scale each column by its standard deviation.
    seed : int

    Notes
    -----
    A count is never too small, and too large by more than e n / `width` with probability at most exp(-`depth`).

    `fit`, and the first `partial_fit`, learn means, scales and axes from their rows. Sketches can be merged if they have the same: make
    one with `fit` or `partial_fit`, and the others with `like`.

    In many dimensions cells hold single rows: then samples are rows with some noise, and the sketch is no protection of privacy. `report`
    says how many cells are occupied.

    Examples
    --------
    >>> import numpy as np
    >>> from mongoose_nb.sketch import DensitySketch
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((20_000, 2))
    >>> sketch = DensitySketch().fit(X)
    >>> bool(abs(sketch.score_samples([[0, 0]])[0] - -np.log(2 * np.pi)) < 0.2)
    True
    >>> sketch.sample(1000, seed=1).shape
    (1000, 2)
    """

    def __init__(self, bandwidth: float | str = "auto", *, n_repeats: int = 16, levels: int = 3, width: int = 4096, depth: int = 2,
                 max_cells: int = 65536, whiten: bool = True, seed: int = 0) -> None:
        self.bandwidth = bandwidth if bandwidth == "auto" else check_number("bandwidth", bandwidth, low=0, open_low=True)
        self.n_repeats = check_int("n_repeats", n_repeats, low=1, high=1024)
        self.levels = check_int("levels", levels, low=1, high=16)
        self.width = check_int("width", width, low=1, high=1 << 30)
        self.depth = check_int("depth", depth, low=1, high=16)
        self.max_cells = check_int("max_cells", max_cells, low=1)
        self.whiten = bool(whiten)
        self.seed = check_int("seed", seed, low=0, high=(1 << 62) - 1)
        self._forget(None)

    def _forget(self, axes):
        self._axes: Axes | None = axes
        self.n_rows = 0
        rank = 0 if axes is None else axes.rank
        self._table = np.zeros((0 if axes is None else self.levels, self.n_repeats, self.depth, self.width), np.int32)
        self._cells, self._words = np.zeros((0, rank), np.int64), np.zeros(0, np.uint64)

    # --- parameters, as scikit-learn has them -----------------------------------------------------------------------------

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Arguments of the constructor by name.

        Parameters
        ----------
        deep : bool
            Plays no part.
        """
        return {name: getattr(self, name) for name in parameters(type(self))}

    def set_params(self, **params: Any) -> Self:
        """Set arguments of the constructor. The sketch is empty then.

        Parameters
        ----------
        **params
        """
        unknown = set(params) - set(parameters(type(self)))
        if unknown:
            raise ValueError(f"unknown parameter {min(unknown)!r}; there are {sorted(parameters(type(self)))}")
        type(self).__init__(self, **{**self.get_params(), **params})
        return self

    def __repr__(self) -> str:
        return f"DensitySketch({', '.join(f'{name}={value!r}' for name, value in self.get_params().items())})"

    def __sklearn_is_fitted__(self) -> bool:
        """Whether there are axes."""
        return self._axes is not None

    def __sklearn_tags__(self) -> Any:
        """Tags of the estimator, for scikit-learn: it can be searched over and stand at the end of a pipeline."""
        from sklearn.utils import InputTags, Tags, TargetTags

        return Tags(estimator_type="density_estimator", target_tags=TargetTags(required=False), input_tags=InputTags())

    # --- rows -----------------------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None) -> Self:
        """Sketch rows, and forget those of before.

        Parameters
        ----------
        X : (n, d) array
        y : ignored
        """
        X = self._checked(X)
        self._forget(self._chosen(X))
        return self._add(X)

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Add rows. The order of rows and their division into calls play no part, except that the first call chooses the axes.

        Parameters
        ----------
        X : (n, d) array
        y : ignored
        """
        X = self._checked(X)
        if self._axes is None:
            self._forget(self._chosen(X))
        return self._add(X)

    def _checked(self, X):
        X = unmasked(X, "X")
        if X.dtype.kind not in "fiub" or X.ndim != 2:
            raise ValueError(f"X has dtype {X.dtype} and shape {X.shape}; give real numbers in two dimensions, a row for each point")
        X = read_only(np.ascontiguousarray(X, np.float64))
        if not np.isfinite(X).all():
            raise ValueError("X holds NaN or infinity; remove or replace them first")
        if self._axes is not None and X.shape[1] != self._axes.dim:
            raise ValueError(f"X has {X.shape[1]} columns; the sketch was made for {self._axes.dim}")
        return X

    def _chosen(self, X):
        return choose_axes(X, self.bandwidth, self.n_repeats, self.levels, self.whiten, self.seed)

    def _level(self, level):
        axes = self._axes
        return axes.mean, axes.axes, 1.0 / (axes.side * 2**level), axes.offsets[level], np.uint64(self.seed + 1024 * (level + 1))

    def _add(self, X):
        from mongoose_nb.kernels.sketch.counts import add_cells, list_cells

        if self.n_rows + len(X) > MOST_ROWS:
            raise ValueError(f"a sketch holds at most {MOST_ROWS:,} rows")
        for level, table in enumerate(self._table):
            add_cells(X, *self._level(level), table)
        mean, axes, scale, offsets, seed = self._level(0)
        cells, words = np.empty((len(X), self._axes.rank), np.int64), np.empty(len(X), np.uint64)
        list_cells(X, mean, axes[0], scale, offsets[0], seed, cells, words)
        self._keep(cells, words)
        self.n_rows += len(X)
        return self

    def _keep(self, cells, words):
        """Keep the `max_cells` cells whose least word of a row is least: each is among those of the part that the row is in."""
        cells, words = np.concatenate((self._cells, cells)), np.concatenate((self._words, words))
        order = np.argsort(words, kind="stable")
        cells, words = cells[order], words[order]
        _, first = np.unique(cells, axis=0, return_index=True)
        first = np.sort(first)[:self.max_cells]
        self._cells, self._words = cells[first], words[first]

    # --- what the sketch says ---------------------------------------------------------------------------------------------

    def _fitted(self):
        if self._axes is None or self.n_rows == 0:
            raise ValueError("the sketch is empty; call fit or partial_fit first")
        return self._axes

    def score_samples(self, X: Any) -> np.ndarray:
        """Log density at points.

        Parameters
        ----------
        X : (n, d) array

        Returns
        -------
        (n,) float64
            Always finite. Where columns are linear functions of others, it is the density within the space
            that rows fill.
        """
        from mongoose_nb.kernels.sketch.counts import read_cells

        axes, X = self._fitted(), self._checked(X)
        share, counts = 1 - TAIL, np.empty(len(X), np.int64)
        parts = [axes.log_tail(X) + math.log(TAIL)]
        for level, table in enumerate(self._table):
            read_cells(X, *self._level(level), table, counts)
            weight = share if level == self.levels - 1 else share * FINER
            share -= weight
            with np.errstate(divide="ignore"):
                log = np.log(counts / self.n_repeats * weight / self.n_rows)
            parts.append(log - axes.rank * math.log(axes.side * 2.0**level))  # volumes of many dimensions overflow
        return np.logaddexp.reduce(parts) - axes.log_volume

    def score(self, X: Any, y: Any = None) -> float:
        """Sum of the log densities, as `sklearn.neighbors.KernelDensity.score`.

        Parameters
        ----------
        X : (n, d) array
        y : ignored
        """
        return float(self.score_samples(X).sum())

    def anomaly_scores(self, X: Any) -> np.ndarray:
        """Negative log densities: the larger, the stranger.

        Parameters
        ----------
        X : (n, d) array

        Returns
        -------
        (n,) float64
        """
        return -self.score_samples(X)

    def sample(self, n_samples: int = 1, *, seed: int = 0) -> np.ndarray:
        """Draw rows: a cell by its count, and a uniform point in it.

        Parameters
        ----------
        n_samples : int
        seed : int
            Of the draw.

        Returns
        -------
        (n_samples, d) float64
        """
        from mongoose_nb.kernels.sketch.counts import read_listed

        axes = self._fitted()
        n_samples, rng = check_int("n_samples", n_samples, low=0), stream(check_int("seed", seed, low=0), "samples of a density")
        mean, rotated, scale, offsets, key = self._level(0)
        counts = np.empty(len(self._cells), np.int64)
        read_listed(read_only(self._cells), key, self._table[0, 0], counts)
        weights = counts.astype(np.float64)
        if len(self._cells) == self.max_cells:  # a cell with c rows is kept with probability 1 - (1 - t)^c
            kept = float(self._words[-1]) / 2.0**64
            weights /= -np.expm1(counts * math.log1p(-min(kept, 1 - 1e-12)))
        chosen = rng.choice(len(weights), n_samples, p=weights / weights.sum())
        inside = (self._cells[chosen] + rng.random((n_samples, axes.rank)) - offsets[0]) / scale
        return mean + inside @ np.linalg.pinv(rotated[0]).T

    def report(self) -> dict[str, Any]:
        """Rows, occupied cells that are kept, dimensions, side of a cell, error bound of a count and its probability, bytes."""
        axes = self._fitted()
        return {"rows": self.n_rows, "cells": len(self._cells), "dimensions": axes.rank, "side": axes.side,
                "count_error": math.e * self.n_rows / self.width, "error_probability": math.exp(-self.depth), "bytes": self.nbytes}

    @property
    def nbytes(self) -> int:
        """Bytes of counts and cells."""
        return self._table.nbytes + self._cells.nbytes + self._words.nbytes

    # --- merging and files --------------------------------------------------------------------------------------------------

    def like(self) -> DensitySketch:
        """An empty sketch with the same axes, for another part of the rows."""
        self._fitted()
        return self._with(self.get_params(), self._axes)

    @classmethod
    def _with(cls, params, axes):
        sketch = cls(**params)
        sketch._forget(axes)
        return sketch

    def parts(self) -> dict[str, np.ndarray]:
        """The arrays of the sketch: counts (levels, grids, depth, width), kept cells and the least word of a row in each."""
        return {"table": self._table, "cells": self._cells, "words": self._words}

    def merge(self, other: DensitySketch) -> Self:
        """Add the rows of another sketch with the same axes: bit for bit the sketch of all rows.

        Parameters
        ----------
        other : DensitySketch
            Made with `like`.
        """
        if not isinstance(other, DensitySketch):
            raise TypeError(f"a sketch merges with another sketch; got a {type(other).__name__}")
        mine = self._fitted()
        if self.get_params() != other.get_params() or not other.has_axes(mine):
            raise ValueError("the sketches have different settings or axes; make the second with first.like()")
        if self.n_rows + other.n_rows > MOST_ROWS:
            raise ValueError(f"a sketch holds at most {MOST_ROWS:,} rows")
        parts = other.parts()
        self._table += parts["table"]
        self._keep(parts["cells"], parts["words"])
        self.n_rows += other.n_rows
        return self

    def has_axes(self, axes: Axes) -> bool:
        """Whether the sketch has these axes.

        Parameters
        ----------
        axes : Axes
        """
        return self._axes is not None and axes.same(self._axes)

    def save(self, path: PathLike) -> None:
        """Write the sketch to a file.

        Parameters
        ----------
        path : path-like
        """
        axes = self._fitted()
        settings = {"version": VERSION, "params": describe(self.get_params()), "n_rows": self.n_rows, "side": axes.side,
                    "log_volume": axes.log_volume}
        files.save(path, KIND, settings, {**self.parts(), "mean": axes.mean, "axes": axes.axes, "offsets": axes.offsets})

    @classmethod
    def load(cls, path: PathLike) -> DensitySketch:
        """Read a sketch.

        Parameters
        ----------
        path : path-like
        """
        settings, arrays = files.load(path, KIND)
        check_version(path, settings, VERSION)
        sketch = cls(**settings["params"])
        mean = take(path, arrays, "mean", np.float64, (-1,))
        axes = take(path, arrays, "axes", np.float64, (sketch.n_repeats, -1, len(mean)))
        offsets = take(path, arrays, "offsets", np.float64, (sketch.levels, sketch.n_repeats, axes.shape[1]))
        sketch._forget(Axes(read_only(mean), read_only(axes), read_only(offsets), settings["side"], settings["log_volume"]))
        sketch._table = take(path, arrays, "table", np.int32, sketch._table.shape)
        sketch._cells = take(path, arrays, "cells", np.int64, (-1, axes.shape[1]))
        sketch._words = take(path, arrays, "words", np.uint64, (len(sketch._cells),))
        sketch.n_rows = settings["n_rows"]
        return sketch
