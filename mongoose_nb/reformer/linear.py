"""A linear map of the last axis."""

import math

import numpy as np

from mongoose_nb.core.arrays import Parameter
from mongoose_nb.reformer.layer import Layer, filled, uniform


class Linear(Layer):
    """``x @ W + b``; W (n_inputs, n_outputs) starts uniform with variance 2 / (n_inputs + n_outputs) (Glorot and Bengio, 2010)."""

    def __init__(self, n_inputs, n_outputs, *, rng, dtype, bias=True):
        self.weights = Parameter(uniform(rng, (n_inputs, n_outputs), math.sqrt(6.0 / (n_inputs + n_outputs)), dtype))
        self.bias = Parameter(filled(n_outputs, 0.0, dtype)) if bias else None

    def parameters(self):
        """W, and b if there is one."""
        return {"weights": self.weights} | ({} if self.bias is None else {"bias": self.bias})

    def forward(self, x, run):
        """(..., n_inputs) -> (..., n_outputs)."""
        from mongoose_nb.kernels.layers.dense import matmul

        rows = x.reshape(-1, x.shape[-1])
        out = np.empty((len(rows), self.weights.value.shape[1]), x.dtype)
        matmul(rows, self.weights.value, out)
        if self.bias is not None:
            out += self.bias.value
        return out.reshape(*x.shape[:-1], -1), x

    def backward(self, g, cache):
        """From the input that was kept."""
        from mongoose_nb.kernels.layers.dense import count_parts, matmul, matmul_tn

        x, w = cache.reshape(-1, cache.shape[-1]), self.weights.value
        g = g.reshape(-1, g.shape[-1])
        dx, dw = np.empty_like(x), np.empty(w.shape, w.dtype)
        matmul(g, w.T, dx)
        matmul_tn(x, g, np.empty((count_parts(len(x)), *w.shape), w.dtype), dw)
        grads = {"weights": dw}
        if self.bias is not None:
            grads["bias"] = g.sum(axis=0)
        return dx.reshape(cache.shape), grads
