"""Tokens to vectors."""

from __future__ import annotations

from typing import Any

import numpy as np

from mongoose_nb.core.arrays import Parameter
from mongoose_nb.nn.layers.base import Layer, Run
from mongoose_nb.nn.layers.gradients import RowGradient, RowStore
from mongoose_nb.nn.layers.initial import uniform

# Tokens and positions start with the variance of sines and cosines, 1 / 2, so that neither dominates. With tokens in [-0.1, 0.1), as in the
# released code, the copy task was not learned.
BOUND = 1.5**0.5


class Embedding(Layer):
    """A row of W (n_tokens, width) for every token; built for ``n_inputs = n_tokens``.

    The gradient has the rows of the batch's tokens alone (`RowGradient`): a step costs nothing for the other tokens.
    """

    def __init__(self, width: int, dtype: str = "float32") -> None:
        self.width, self.dtype = width, dtype

    def build(self, n_inputs: int, rng: np.random.Generator) -> Embedding:
        self.n_outputs = self.width
        self.weights = Parameter(uniform(rng, (n_inputs, self.width), BOUND, self.dtype))
        self._store = RowStore(self.weights)
        return self

    def forward(self, x: np.ndarray, run: Run) -> tuple:
        """(batch, length) int32 -> (batch, length, width)."""
        return self.weights.value[x], x

    def backward(self, g: np.ndarray, cache: Any, need_input: bool = True) -> tuple:
        """There is nothing below tokens: the first result is None."""
        ids = np.ascontiguousarray(cache.reshape(-1))
        return None, {"weights": RowGradient.of_rows(self._store, ids, g.reshape(-1, g.shape[-1]))}
