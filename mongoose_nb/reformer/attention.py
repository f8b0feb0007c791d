"""Multi-head self-attention with one projection for queries and keys, around an attention core."""

from __future__ import annotations

from typing import Any

import numpy as np

from mongoose_nb.core.validation import check_int
from mongoose_nb.nn.layers.base import Layer, Run, named
from mongoose_nb.nn.layers.linear_map import make_linear


class MultiHeadAttention(Layer):
    """Project to heads, attend, project back (Kitaev et al., 2020, section 2): queries and keys share a projection.

    Parameters
    ----------
    n_heads : int
    core : attention.LSHAttention or cores.Core
        ``forward(qk, v, mask=, step=) -> (out, cache)`` and ``backward(dout, cache) -> (dqk, dv)`` on (batch, heads, length, width of
        a head); with ``after_step(step, weights)`` and ``bind(n_rows, width)`` where it learns.
    kind : str or dict
        Of the projections, see `nn.layers.linear_map.make_linear`.
    """

    def __init__(self, n_heads: int, core: Any, *, dtype: str = "float32", kind: str | dict = "dense") -> None:
        self.n_heads, self.core, self.dtype, self.kind = check_int("n_heads", n_heads, low=1), core, dtype, kind

    def build(self, n_inputs: int, rng: np.random.Generator) -> MultiHeadAttention:
        if n_inputs % self.n_heads or not n_inputs:
            raise ValueError(f"the width of the inputs must be a multiple of n_heads={self.n_heads}, and not 0; got {n_inputs}")
        self.n_outputs = n_inputs
        self.qk, self.v, self.out = (make_linear(self.kind, n_inputs, "identity", use_bias=use_bias, dtype=self.dtype)
                                     for use_bias in (False, False, True))
        self.qk.build(n_inputs, rng)
        # Keys have length one, so logits q . k / sqrt(width of a head) would all lie within about 1 and -1, and every token would attend
        # to all others alike until queries have grown. Queries start longer, so that logits are spread as with keys of any length.
        self.qk.scale_weights(np.sqrt(n_inputs // self.n_heads))
        self.v.build(n_inputs, rng)
        self.out.build(n_inputs, rng)
        if hasattr(self.core, "bind"):
            self.core.bind(*self.rows().shape)
        return self

    def _split(self, x):
        batch, length, width = x.shape
        return x.reshape(batch, length, self.n_heads, width // self.n_heads).transpose(0, 2, 1, 3)

    def _join(self, x):
        # the core keeps the layout of what it is given: no copy
        batch, _, length, _ = x.shape
        return np.ascontiguousarray(x.transpose(0, 2, 1, 3)).reshape(batch, length, -1)

    def forward(self, x: np.ndarray, run: Run) -> tuple:
        """(batch, length, width); hashes are a function of the core's seed and ``run.step``."""
        (qk, qk_cache), (v, v_cache) = self.qk.forward(x, run), self.v.forward(x, run)
        heads, core = self.core.forward(self._split(qk), self._split(v), mask=run.mask, step=run.step)
        out, out_cache = self.out.forward(self._join(heads), run)
        return out, (qk_cache, v_cache, out_cache, core)

    def backward(self, g: np.ndarray, cache: Any, need_input: bool = True) -> tuple:
        """Through the core."""
        qk_cache, v_cache, out_cache, core = cache
        g, out = self.out.backward(g, out_cache)
        dqk, dv = self.core.backward(self._split(g), core)
        dx, qk = self.qk.backward(self._join(dqk), qk_cache)
        dx_v, v = self.v.backward(self._join(dv), v_cache)
        return dx + dx_v, named([("qk", qk), ("v", v), ("out", out)])

    def rows(self) -> np.ndarray:
        """Rows of the query-key projection, head by head, (width, width)."""
        return np.ascontiguousarray(self.qk.dense_weights().T)

    def after_update(self, run: Run, gradients: dict[str, Any]) -> None:
        """Let rotations learn when it is time to."""
        if getattr(self.core, "rotations", None) is None:
            return
        with run.timer("learn"):
            self.core.after_step(run.step, self.rows())
