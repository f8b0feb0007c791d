"""Multi-head self-attention with one projection for queries and keys, around an attention core."""

import numpy as np

from mongoose_nb.reformer.layer import Layer, named
from mongoose_nb.reformer.linear import Linear


class MultiHeadAttention(Layer):
    """Project to heads, attend, project back (Kitaev et al., 2020, section 2): queries and keys share a projection.

    Parameters
    ----------
    width, n_heads : int
    core : attention.LSHAttention
        ``forward(qk, v, mask=, step=) -> (out, cache)`` and ``backward(dout, cache) -> (dqk, dv)`` on (batch, heads, length, width of
        a head).
    """

    def __init__(self, width, n_heads, core, *, rng, dtype):
        self.n_heads, self.core = n_heads, core
        self.qk = Linear(width, width, rng=rng, dtype=dtype, bias=False)
        # Keys have length one, so logits q . k / sqrt(width of a head) would all lie within about 1 and -1, and every token would attend
        # to all others alike until queries have grown. Queries start longer, so that logits are spread as with keys of any length.
        self.qk.weights.value *= dtype.type(np.sqrt(width // n_heads))
        self.v = Linear(width, width, rng=rng, dtype=dtype, bias=False)
        self.out = Linear(width, width, rng=rng, dtype=dtype)

    def parameters(self):
        """Those of the three projections."""
        return named((name, getattr(self, name).parameters()) for name in ("qk", "v", "out"))

    def _split(self, x):
        batch, length, width = x.shape
        return x.reshape(batch, length, self.n_heads, width // self.n_heads).transpose(0, 2, 1, 3)

    def _join(self, x):
        # the core keeps the layout of what it is given: no copy
        batch, _, length, _ = x.shape
        return np.ascontiguousarray(x.transpose(0, 2, 1, 3)).reshape(batch, length, -1)

    def forward(self, x, run):
        """(batch, length, width); hashes are a function of the core's seed and ``run.step``."""
        qk, v = (self._split(layer.forward(x, run)[0]) for layer in (self.qk, self.v))
        heads, core = self.core.forward(qk, v, mask=run.mask, step=run.step)
        joined = self._join(heads)
        return self.out.forward(joined, run)[0], (x, joined, core)

    def backward(self, g, cache):
        """Through the core."""
        x, joined, core = cache
        g, out = self.out.backward(g, joined)
        dqk, dv = self.core.backward(self._split(g), core)
        dx, qk = self.qk.backward(self._join(dqk), x)
        dx_v, v = self.v.backward(self._join(dv), x)
        return dx + dx_v, named([("qk", qk), ("v", v), ("out", out)])

    def rows(self):
        """Rows of the query-key projection, head by head, (width, width)."""
        return np.ascontiguousarray(self.qk.weights.value.T)

    def after_step(self, step):
        """After the optimiser step: let rotations learn when it is time to."""
        self.core.after_step(step, self.rows())

    def state(self):
        """(settings, arrays) beside the parameters."""
        return self.core.state()

    def load_state(self, settings, arrays):
        """Put back what `state` gave, after the parameters."""
        self.core.load_state(settings, arrays, self.rows())
