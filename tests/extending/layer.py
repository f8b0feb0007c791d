"""A layer of one's own: a residual block of two dense layers."""

from mongoose_nb import nn
from mongoose_nb.core.registry import register


@register("layer", "residual")
class Residual(nn.Layer):
    """``x + W2 activation(W1 x + b1) + b2``: its value is as wide as its input.

    Parameters
    ----------
    units : int
        Width of the inner layer.
    """

    def __init__(self, units):
        self.units = units

    def build(self, n_inputs, rng):
        self.n_outputs = n_inputs
        self.inner = nn.Dense(self.units, self.activation).build(n_inputs, rng)
        self.outer = nn.Dense(n_inputs, "identity").build(self.units, rng)
        return self

    def parameters(self):
        return nn.named([("inner", self.inner.parameters()), ("outer", self.outer.parameters())])

    def forward(self, x, run):
        a, inner = self.inner.forward(x, run)
        y, outer = self.outer.forward(a, run)
        return x + y, (inner, outer)

    def backward(self, g, cache, need_input=True):
        da, outer = self.outer.backward(g, cache[1])
        dx, inner = self.inner.backward(da, cache[0])
        return g + dx, nn.named([("inner", inner), ("outer", outer)])
