"""Positions, added to the vectors of the tokens."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mongoose_nb.core.arrays import Parameter
from mongoose_nb.core.validation import check_int
from mongoose_nb.nn.layers.base import Layer, Run
from mongoose_nb.nn.layers.initial import uniform
from mongoose_nb.reformer.embedding import BOUND


class SinusoidalPositions(Layer):
    """Fixed sines and cosines, wavelengths from 2 pi to 10,000 times that (Vaswani et al., 2017, section 3.5)."""

    def __init__(self, max_length: int, dtype: str = "float32") -> None:
        self.max_length, self.dtype = max_length, dtype

    def build(self, n_inputs: int, rng: np.random.Generator) -> SinusoidalPositions:
        self.n_outputs = n_inputs
        wave = np.exp(np.arange(0, n_inputs, 2) * (-math.log(10000.0) / n_inputs))
        angle = np.arange(self.max_length)[:, None] * wave
        self._table = np.empty((self.max_length, n_inputs), self.dtype)
        self._table[:, 0::2] = np.sin(angle)
        self._table[:, 1::2] = np.cos(angle)[:, : n_inputs // 2]
        return self

    def forward(self, x: np.ndarray, run: Run) -> tuple:
        """(batch, length, width)."""
        return x + self.vectors(np.arange(x.shape[1])), None

    def vectors(self, p: np.ndarray) -> np.ndarray:
        """(n, width) of the positions p (n,)."""
        return self._table[p]

    def backward(self, g: np.ndarray, cache: Any, need_input: bool = True) -> tuple:
        """Positions are fixed."""
        return g, {}


class AxialPositions(Layer):
    """Learned, position p as (p // columns, p % columns): a table for each, each giving its share of the width (Kitaev et al., 2020).

    `rows` * `columns` positions take rows + columns vectors.
    """

    def __init__(self, rows: int, columns: int, dtype: str = "float32") -> None:
        self.rows, self.columns, self.dtype = rows, columns, dtype

    def build(self, n_inputs: int, rng: np.random.Generator) -> AxialPositions:
        self.n_outputs, half = n_inputs, n_inputs // 2
        self.first = Parameter(uniform(rng, (self.rows, half), BOUND, self.dtype))
        self.second = Parameter(uniform(rng, (self.columns, n_inputs - half), BOUND, self.dtype))
        return self

    def forward(self, x: np.ndarray, run: Run) -> tuple:
        """(batch, length, width)."""
        return x + self.vectors(np.arange(x.shape[1])), None

    def vectors(self, p: np.ndarray) -> np.ndarray:
        """(n, width) of the positions p (n,)."""
        return np.concatenate([self.first.value[p // self.columns], self.second.value[p % self.columns]], axis=1)

    def backward(self, g: np.ndarray, cache: Any, need_input: bool = True) -> tuple:
        """Sums over the batch, and over the positions that share a row of a table."""
        total, half = g.sum(axis=0), self.first.value.shape[1]
        p = np.arange(len(total))
        first, second = np.zeros_like(self.first.value), np.zeros_like(self.second.value)
        np.add.at(first, p // self.columns, total[:, :half])
        np.add.at(second, p % self.columns, total[:, half:])
        return g, {"first": first, "second": second}


def make_positions(positions: str | tuple[int, int], max_length: int, dtype: str) -> Layer:
    """From ``"sinusoidal"``, ``"axial"`` (about square) or the shape of the axes (rows, columns)."""
    if isinstance(positions, str):
        if positions == "sinusoidal":
            return SinusoidalPositions(max_length, dtype)
        if positions == "axial":
            columns = math.isqrt(max_length - 1) + 1
            return AxialPositions(-(-max_length // columns), columns, dtype)
    elif len(positions) == 2:
        rows, columns = (check_int("positions", n, low=1) for n in positions)
        if rows * columns < max_length:
            raise ValueError(f"positions={tuple(positions)!r} gives {rows * columns} places; max_length={max_length} needs as many")
        return AxialPositions(rows, columns, dtype)
    raise ValueError(f"positions={positions!r} is unknown; give 'sinusoidal', 'axial' or (rows, columns)")
