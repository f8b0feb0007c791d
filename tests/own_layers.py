"""A layer and an activation as a user writes them, in a module of their own."""

import numpy as np

from mongoose_nb import nn


class Softsign(nn.Activation):
    """z / (1 + |z| / scale)."""

    def __init__(self, scale=1.0):
        self.scale = scale

    def forward(self, z):
        return z / (1 + np.abs(z) / np.float32(self.scale))

    def derivative(self, z, a):
        return 1 / (1 + np.abs(z) / np.float32(self.scale)) ** 2


class Residual(nn.Layer):
    """x + W2 f(W1 x)."""

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
