"""Dropout that can be repeated."""

from __future__ import annotations

from typing import Any

import numpy as np

from mongoose_nb.core.registry import register
from mongoose_nb.core.validation import check_int, check_number
from mongoose_nb.nn.layers.base import Layer, Run


@register("layer", "dropout")
class Dropout(Layer):
    """Zero a share of the values in training, and scale the others up.

    The mask is a function of seed, step and place (`kernels.layers.dropout`): computed again it is the same.

    Parameters
    ----------
    rate : float
        Share of the values that are zeroed, in [0, 1).
    seed : int, optional
        Drawn when the layer is built by default.

    References
    ----------
    Srivastava et al., "Dropout: A simple way to prevent neural networks from overfitting", JMLR 15, 2014.
    """

    def __init__(self, rate: float, seed: int | None = None) -> None:
        self.rate = check_number("rate", rate, low=0.0, high=1.0, open_high=True)
        self.seed = None if seed is None else check_int("seed", seed, low=0)

    def build(self, n_inputs: int, rng: np.random.Generator) -> Dropout:
        self.n_outputs = n_inputs
        self._seed = int(rng.integers(2**32)) if self.seed is None else self.seed
        return self

    def forward(self, x: Any, run: Run) -> tuple:
        """Any shape."""
        if not run.train or self.rate == 0:
            return x, None
        key = self._key(run)
        return self._drop(x, key), key

    def backward(self, g: np.ndarray, cache: Any, need_input: bool = True) -> tuple:
        """The same mask on the gradient."""
        return (g if cache is None else self._drop(g, cache)), {}

    def _key(self, run):
        return np.random.SeedSequence([self._seed, run.step]).generate_state(1, np.uint64)[0]

    def _drop(self, x, key):
        from mongoose_nb.kernels.layers.dropout import drop

        x = np.ascontiguousarray(x)
        out = np.empty_like(x)
        drop(x.reshape(-1), key, np.uint32(round(self.rate * 2**32)), x.dtype.type(1.0 / (1.0 - self.rate)), out.reshape(-1))
        return out
