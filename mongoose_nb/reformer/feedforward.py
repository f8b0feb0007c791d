"""Two linear maps with an activation between, position by position."""

import numpy as np

from mongoose_nb.nn.layers.activations import get_activation
from mongoose_nb.reformer.layer import Layer, named
from mongoose_nb.reformer.linear import Linear


class FeedForward(Layer):
    """``activation(x @ W1 + b1) @ W2 + b2``, computed in `chunks` parts of the positions.

    With more than one chunk the hidden values are computed again in the backward pass, so that no more than a part of them exists at a
    time (Kitaev et al., 2020, section 3).
    """

    def __init__(self, width, hidden, activation="relu", *, chunks=1, rng, dtype):
        self.inner = Linear(width, hidden, rng=rng, dtype=dtype)
        self.outer = Linear(hidden, width, rng=rng, dtype=dtype)
        self.activation = get_activation(activation)
        self.chunks = chunks

    def parameters(self):
        """Those of both maps."""
        return named([("inner", self.inner.parameters()), ("outer", self.outer.parameters())])

    def _part(self, x, run):
        z, _ = self.inner.forward(x, run)
        a = self.activation.forward(z)
        out, _ = self.outer.forward(a, run)
        return out, (z, a)

    def _slices(self, n):
        return [slice(i * n // self.chunks, (i + 1) * n // self.chunks) for i in range(self.chunks)]

    def forward(self, x, run):
        """(..., width)."""
        rows = x.reshape(-1, x.shape[-1])
        if self.chunks == 1:
            out, hidden = self._part(rows, run)
            return out.reshape(x.shape), (x, run, hidden)
        out = np.empty_like(rows)
        for part in self._slices(len(rows)):
            out[part] = self._part(rows[part], run)[0]
        return out.reshape(x.shape), (x, run, None)

    def backward(self, g, cache):
        """Chunk by chunk."""
        x, run, hidden = cache
        rows, g = x.reshape(-1, x.shape[-1]), g.reshape(-1, g.shape[-1])
        dx, total = np.empty_like(rows), None
        for part in self._slices(len(rows)):
            z, a = self._part(rows[part], run)[1] if hidden is None else hidden
            da, outer = self.outer.backward(g[part], a)
            dz = self.activation.backward(da, z, a)
            dx[part], inner = self.inner.backward(dz, rows[part])
            grads = named([("inner", inner), ("outer", outer)])
            total = grads if total is None else {name: total[name] + grads[name] for name in total}
        return dx.reshape(x.shape), total
