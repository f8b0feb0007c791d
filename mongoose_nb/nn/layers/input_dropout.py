"""Dropout of features: a share of the entries of sparse rows is left out in training."""

from __future__ import annotations

from typing import Any

import numpy as np

from mongoose_nb.core.arrays import Rows
from mongoose_nb.core.registry import register
from mongoose_nb.nn.layers.base import Run
from mongoose_nb.nn.layers.dropout import Dropout


@register("layer", "input dropout")
class InputDropout(Dropout):
    """Leave out a share of the features of every row in training, and scale the others up.

    It comes first: ``Network(..., hidden=(nn.InputDropout(0.2), 128))``. Rows are shorter then, so that a step takes less time, and
    a network that cannot rely on any one feature overfits less.

    Parameters
    ----------
    rate : float
        Share of the entries that are left out, in [0, 1).
    seed : int, optional
        Drawn when the layer is built by default.

    References
    ----------
    Srivastava et al., "Dropout: A simple way to prevent neural networks from overfitting", JMLR 15, 2014.
    """

    sparse_input = sparse_output = True

    def forward(self, x: Any, run: Run) -> tuple:
        """Rows with fewer entries, of sparse rows `x` (`Rows`)."""
        if not run.train or self.rate == 0:
            return x, None
        sample, place = x.places()
        scale = self._drop(np.ones(len(place), np.float32), self._key(run))
        kept = scale > 0
        place, scale = place[kept], scale[kept]
        count = np.bincount(sample[kept], minlength=len(x)).astype(np.int64)
        return Rows(np.cumsum(count) - count, count, x.ids[place], x.values[place] * scale), (len(x.values), place, scale)

    def backward(self, g: np.ndarray, cache: Any, need_input: bool = True) -> tuple:
        """The gradient of the entries that were kept; 0 of the others."""
        if cache is None or not need_input:
            return g if need_input else None, {}
        n, place, scale = cache
        out = np.zeros(n, np.float32)
        out[place] = g * scale
        return out, {}
