"""A vector for every set of records, whatever their number and order (Zaheer et al., "Deep Sets", 2017; SESDI, arXiv 2102.13631)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mongoose_nb.core.validation import check_choice, check_int, check_list
from mongoose_nb.hashing import HashFamily
from mongoose_nb.nn.layers.activations import Activation
from mongoose_nb.nn.layers.base import Layer, Run, named
from mongoose_nb.nn.layers.dense import Dense
from mongoose_nb.nn.layers.sequential import Sequential


class SetEmbedding(Layer):
    """``rho(pool(phi(record)))`` for ragged sets: record i of set s is row ``start[s] + i`` of the records.

    The pooled values of a set, with the logarithm of one plus the number of records, are the input of rho. Empty sets pool to zeros. With
    `bins`, records are pooled bin by bin of a hash family, so that those at similar places come together.

    Parameters
    ----------
    phi, rho : sequence of int
        Widths of dense layers on every record, and on the pooled values; the last one of rho is linear.
    pool : {"mean", "sum", "max"}
    bins : hashing.HashFamily, optional
        Its first table hashes the first columns of the records, as many as the family has dimensions.
    n_bins : int
        Codes are taken modulo this.
    activation : str or Activation
    dtype : {"float32", "float64"}
    """

    def __init__(self, phi: Sequence[int], rho: Sequence[int], pool: str = "mean", bins: HashFamily | None = None, n_bins: int = 1,
                 activation: str | Activation = "relu", dtype: str = "float32") -> None:
        self.phi = [check_int("phi", n, low=1) for n in check_list("phi", phi, "widths, such as (64, 64)")]
        self.rho = [check_int("rho", n, low=1) for n in check_list("rho", rho, "widths, such as (64,)")]
        if not self.phi or not self.rho:
            raise ValueError(f"phi and rho need one width each at least; got phi={phi!r} and rho={rho!r}")
        self.pool = check_choice("pool", pool, ("mean", "sum", "max"))
        self.n_bins = check_int("n_bins", n_bins, low=1)
        if (bins is None) != (self.n_bins == 1):
            raise ValueError(f"bins, a hash family, and n_bins > 1 belong together; got bins={bins!r} and n_bins={n_bins}")
        if bins is not None and not isinstance(bins, HashFamily):
            raise TypeError(f"bins must be a hash family, such as hashing.PStable(2, K=1, L=1), which knows how many columns it hashes; "
                            f"got {bins!r}")
        self.bins, self.activation, self.dtype = bins, activation, dtype

    def build(self, n_inputs: int, rng: np.random.Generator) -> SetEmbedding:
        """For records of so many columns."""
        self.n_inputs = n_inputs
        self.each = Sequential([Dense(n, self.activation, dtype=self.dtype) for n in self.phi]).build(n_inputs, rng)
        self.whole = Sequential([Dense(n, self.activation if i + 1 < len(self.rho) else "identity", dtype=self.dtype)
                                 for i, n in enumerate(self.rho)]).build(self.n_bins * (self.phi[-1] + 1), rng)
        self.n_outputs = self.rho[-1]
        return self

    def _check(self, x):
        if not isinstance(x, tuple | list) or len(x) != 2:
            raise ValueError(f"sets must be a pair (records, start), all records and where each set begins; got {type(x).__name__}")
        records, start = x
        records, start = np.ascontiguousarray(records), np.asarray(start)
        if records.ndim != 2 or records.shape[1] != self.n_inputs or records.dtype != np.dtype(self.dtype):
            raise ValueError(f"records must be a {self.dtype} array (records, {self.n_inputs}); got {records.dtype} {records.shape}")
        if (start.ndim != 1 or len(start) < 1 or not np.issubdtype(start.dtype, np.integer) or start[0] != 0 or start[-1] != len(records)
                or (start[1:] < start[:-1]).any()):  # differences of unsigned numbers are never below 0
            raise ValueError(f"start must be integers (sets + 1,) that grow from 0 to the number of records, {len(records)}; got "
                             f"{start.dtype} {start.shape}")
        start = start.astype(np.int64)
        places = np.repeat(np.arange(len(start) - 1), np.diff(start)) * self.n_bins
        if self.bins is not None and len(records):
            places += (self.bins.hash(np.ascontiguousarray(records[:, :self.bins.dim], np.float32))[:, 0] % self.n_bins).astype(np.int64)
        return records, places, (len(start) - 1) * self.n_bins

    def pooled(self, values: np.ndarray, places: np.ndarray, n: int) -> np.ndarray:
        """Pool the rows of `values` with equal `places`, numbers below n: (n, width). Sums are taken in float64."""
        if (np.diff(places) < 0).any():
            order = np.argsort(places, kind="stable")
            values, places = values[order], places[order]
        first = np.flatnonzero(np.diff(places, prepend=-1))
        taken = places[first]
        if self.pool == "max":
            out = np.zeros((n, values.shape[1]), values.dtype)
            if len(first):
                out[taken] = np.maximum.reduceat(values, first)
            return out
        out = np.zeros((n, values.shape[1]))
        if len(first):
            out[taken] = np.add.reduceat(values, first, dtype=np.float64)
        if self.pool == "mean":
            out /= np.maximum(np.bincount(places, minlength=n), 1)[:, None]
        return out.astype(values.dtype)

    def forward(self, x: tuple, run: Run) -> tuple:
        """(records (n, n_inputs), start (sets + 1,)) -> (sets, n_outputs)."""
        records, places, n = self._check(x)
        values, each = self.each.forward(records, run)
        pooled = self.pooled(values, places, n)
        counts = np.bincount(places, minlength=n)
        joined = np.concatenate([pooled, np.log1p(counts)[:, None].astype(values.dtype)], axis=1)
        out, whole = self.whole.forward(joined.reshape(n // self.n_bins, joined.shape[1] * self.n_bins), run)
        return out, (values, pooled, places, counts, each, whole)

    def backward(self, g: np.ndarray, cache: Any, need_input: bool = True) -> tuple:
        """The gradient of the records, and those of the parameters. Equal largest values share their gradient in equal parts."""
        values, pooled, places, counts, each, whole = cache
        d, rho = self.whole.backward(g, whole)
        d = d.reshape(len(counts), -1)[:, :-1]
        if self.pool == "max":
            largest = values == pooled[places]
            ties = np.zeros(pooled.shape, values.dtype)
            np.add.at(ties, places, largest)
            dvalues = np.where(largest, d[places] / np.maximum(ties, 1)[places], 0).astype(values.dtype)
        else:
            dvalues = d[places]
            if self.pool == "mean":
                dvalues = (dvalues / counts[places][:, None]).astype(values.dtype)
        dx, phi = self.each.backward(np.ascontiguousarray(dvalues), each, need_input)
        return dx, named([("each", phi), ("whole", rho)])
