"""Two linear maps with an activation between, position by position."""

from __future__ import annotations

from typing import Any

import numpy as np

from mongoose_nb.core.registry import make
from mongoose_nb.nn.layers.activations import Activation
from mongoose_nb.nn.layers.base import Layer, Run, named
from mongoose_nb.nn.layers.linear_map import make_linear, pair_of


class FeedForward(Layer):
    """``activation(x @ W1 + b1) @ W2 + b2``, computed in `chunks` parts of the positions.

    With more than one chunk the hidden values are computed again in the backward pass, so that no more than a part of them exists at a
    time (Kitaev et al., 2020, section 3). The linear maps are of the given kind, or a pair of kinds
    (`nn.layers.linear_map.make_linear`).
    """

    def __init__(self, hidden: int, activation: str | Activation = "relu", *, chunks: int = 1, dtype: str = "float32",
                 kind: str | dict | tuple = "dense") -> None:
        self.hidden, self.activation, self.chunks, self.dtype = hidden, make("activation", activation), chunks, dtype
        self.kind = kind

    def build(self, n_inputs: int, rng: np.random.Generator) -> FeedForward:
        self.n_outputs = n_inputs
        inner, outer = pair_of(self.kind)
        self.inner = make_linear(inner, self.hidden, self.activation, dtype=self.dtype).build(n_inputs, rng)
        self.outer = make_linear(outer, n_inputs, "identity", dtype=self.dtype).build(self.hidden, rng)
        return self

    def _part(self, x, run):
        a, inner = self.inner.forward(x, run)
        out, outer = self.outer.forward(a, run)
        return out, (inner, outer)

    def _slices(self, n):
        return [slice(i * n // self.chunks, (i + 1) * n // self.chunks) for i in range(self.chunks)]

    def forward(self, x: np.ndarray, run: Run) -> tuple:
        """(..., width)."""
        rows = x.reshape(-1, x.shape[-1])
        if self.chunks == 1:
            out, caches = self._part(rows, run)
            return out.reshape(x.shape), (x, run, caches)
        out = np.empty_like(rows)
        for part in self._slices(len(rows)):
            out[part] = self._part(rows[part], run)[0]
        return out.reshape(x.shape), (x, run, None)

    def by_rows(self, x: np.ndarray) -> np.ndarray:
        """(n, width), where the bits of a row do not depend on how many others there are."""
        return self.outer.by_rows(self.inner.by_rows(x))

    def backward(self, g: np.ndarray, cache: Any, need_input: bool = True) -> tuple:
        """Chunk by chunk."""
        x, run, caches = cache
        rows, g = x.reshape(-1, x.shape[-1]), g.reshape(-1, g.shape[-1])
        dx, total = np.empty_like(rows), None
        for part in self._slices(len(rows)):
            inner_cache, outer_cache = self._part(rows[part], run)[1] if caches is None else caches
            da, outer = self.outer.backward(g[part], outer_cache)
            dx[part], inner = self.inner.backward(da, inner_cache)
            grads = named([("inner", inner), ("outer", outer)])
            total = grads if total is None else {name: total[name] + grads[name] for name in total}
        return dx.reshape(x.shape), total
