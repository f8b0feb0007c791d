"""Embeddings of ids, of a full table or of a hashed array."""

from __future__ import annotations

from typing import Any

import numpy as np

from mongoose_nb.compress import HashedArray, make_compression
from mongoose_nb.compress.base import MOST_ROWS, check_ids
from mongoose_nb.core.arrays import Buffers, Parameter
from mongoose_nb.core.validation import check_int, check_number
from mongoose_nb.nn.layers.base import Layer, Run
from mongoose_nb.nn.layers.gradients import RowGradient, RowStore
from mongoose_nb.nn.layers.initial import normal


class Embedding(Layer):
    """One vector for each of a sample's ids, (n, fields) -> (n, fields, units), or their sum.

    Parameters
    ----------
    units : int
        Numbers of a vector.
    n_ids : int
        Ids lie below.
    combine : {None, "sum"}
        Sum the vectors of a sample, (n, units).
    compress : float, str or compress.Compress, optional
        Keep the vectors in a hashed array; a full table by default.
    array : compress.HashedArray, optional
        The array, where others share it.
    init_std : float
        Standard deviation of the initial vectors.
    open_ids : bool
        Whether ids are hashes, below 2**40, of which about `n_ids` occur: all of them have vectors. It needs an array whose map has
        `open_rows`.
    """

    def __init__(self, units: int, n_ids: int, *, combine: str | None = None, compress: Any = None, array: HashedArray | None = None,
                 init_std: float = 0.05, open_ids: bool = False) -> None:
        self.units, self.n_ids = check_int("units", units, low=1), check_int("n_ids", n_ids, low=1)
        if combine not in (None, "sum"):
            raise ValueError(f"combine must be None or 'sum'; got {combine!r}")
        self.combine, self.compress, self.array = combine, make_compression(compress), array
        self.init_std = check_number("init_std", init_std, low=0.0, open_low=True)
        self.open_ids = bool(open_ids)

    def build(self, n_inputs: int, rng: np.random.Generator, **options: Any) -> Embedding:
        """Make the parameters; `options` are more options of the map."""
        self.n_outputs = self.units if self.combine else n_inputs * self.units
        self.view = None
        if self.compress is None and self.array is None:
            self.weights = Parameter(normal(rng, (self.n_ids, self.units), self.init_std))
            self._store = RowStore(self.weights)
            if self.open_ids:
                raise ValueError("open_ids=True needs a hashed array, and this embedding is a full table: give compress=, or leave it out")
        else:
            spec, shape = self.compress or make_compression("robe"), (self.n_ids, self.units)
            if self.open_ids and not spec.map_class.open_rows:
                raise ValueError(f"open_ids=True needs an index map that places every id by a hash; {spec.map!r} does not: give another "
                                 "map, such as 'robe', or leave it out")
            if self.array is None:
                self.array = spec.array([shape], init_std=self.init_std, seed=int(rng.integers(2**31)))
            self.view = self.array.view(spec.map, shape, std=self.init_std, **{**spec.options, **options})
            self.weights = self.array.parameter
        self._buffers = Buffers()
        return self

    def forward(self, x: np.ndarray, run: Run) -> tuple:
        """Vectors of ids (n, fields) int64."""
        n, fields = x.shape
        ids = check_ids("ids", np.asarray(x).ravel(), MOST_ROWS if self.open_ids else self.n_ids, "the embedding")
        out = (self._buffers.lend("e", (len(ids), self.units)) if run.train and not self.combine
               else np.empty((len(ids), self.units), np.float32))
        if self.view is None:
            bases = None
            np.take(self.weights.value, ids, axis=0, out=out, mode="clip")  # ids are checked; the default mode makes a copy first
        else:
            bases = self.view.map.bases(ids)
            self.view.gather(ids, bases=bases, out=out)
        out = out.reshape(n, fields, self.units)
        return (out.sum(axis=1) if self.combine else out), (ids, bases, fields)

    def backward(self, g: np.ndarray, cache: Any, need_input: bool = True) -> tuple:
        """Gradients; ids have none."""
        ids, bases, fields = cache
        if self.combine:
            g = np.repeat(g, fields, axis=0)
        values = np.ascontiguousarray(g, np.float32).reshape(-1, self.units)
        if self.view is None:
            return None, {"weights": RowGradient.of_rows(self._store, ids.astype(np.int32), values)}
        return None, {"weights": self.array.gradient().add(self.view, ids, values, bases)}
