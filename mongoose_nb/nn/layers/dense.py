"""A linear map of the last axis, and an activation."""

import math

import numpy as np

from mongoose_nb.core.arrays import Buffers, Parameter
from mongoose_nb.core.registry import register
from mongoose_nb.core.validation import check_choice, check_int
from mongoose_nb.nn.layers.activations import Identity, make_activation
from mongoose_nb.nn.layers.base import Layer
from mongoose_nb.nn.layers.initial import filled, normal, uniform


@register("layer", "dense")
class Dense(Layer):
    """``activation(X @ W + b)``; W (n_inputs, units).

    Parameters
    ----------
    units : int
    activation : str or Activation, optional
        That of the network by default.
    use_bias : bool
        Whether there is a b.
    init : {"he", "glorot"}
        Initial weights: normal with variance 2 / n_inputs (He et al., 2015), or uniform with variance 2 / (n_inputs + units)
        (Glorot and Bengio, 2010).
    dtype : {"float32", "float64"}
        Of the parameters; training needs float32.
    """

    def __init__(self, units: int, activation=None, *, use_bias: bool = True, init: str = "he", dtype: str = "float32"):
        self.units = check_int("units", units, low=1)
        self.activation = None if activation is None else make_activation(activation)
        self.use_bias = bool(use_bias)
        self.init = check_choice("init", init, ("he", "glorot"))
        self.dtype = check_choice("dtype", dtype, ("float32", "float64"))

    def build(self, n_inputs, rng):
        """See `Layer.build`."""
        self.n_inputs, self.n_outputs = n_inputs, self.units
        shape = n_inputs, self.units
        weights = (normal(rng, shape, math.sqrt(2.0 / n_inputs)).astype(self.dtype, copy=False) if self.init == "he"
                   else uniform(rng, shape, math.sqrt(6.0 / sum(shape)), self.dtype))
        self._parameters = {"weights": Parameter(weights)}
        if self.use_bias:
            self._parameters["bias"] = Parameter(filled(self.units, 0.0, self.dtype))
        self._buffers = Buffers()
        return self

    @property
    def weights(self) -> Parameter:
        """W."""
        return self._parameters["weights"]

    def parameters(self):
        """W, and b if there is one."""
        return dict(self._parameters)

    def forward(self, x, run):
        """(..., n_inputs) -> (..., units)."""
        from mongoose_nb.core.threads import one_blas_thread
        from mongoose_nb.kernels.layers.dense import matmul

        rows = x.reshape(-1, x.shape[-1])
        z = np.empty((len(rows), self.units), x.dtype)
        with one_blas_thread():  # answers through tables need none else, and setting it takes as long as the rest of a layer
            matmul(rows, self.weights.value, z)
        if self.use_bias:
            z += self._parameters["bias"].value
        z = z.reshape(*x.shape[:-1], -1)
        if isinstance(self.activation, Identity):
            return z, (x, None, None)
        a = self.activation.forward(z)
        return a, (x, z, a)

    def backward(self, g, cache, need_input=True):
        """See `Layer.backward`."""
        from mongoose_nb.kernels.layers.dense import count_parts, matmul, matmul_tn

        x, z, a = cache
        rows, w = x.reshape(-1, x.shape[-1]), self.weights.value
        if z is not None:
            g = self.activation.backward(g, z, a)
        g = np.ascontiguousarray(g).reshape(-1, self.units)
        dw, parts = np.empty(w.shape, w.dtype), count_parts(len(rows))
        if parts > 1:
            matmul_tn(rows, g, np.empty((parts, *w.shape), w.dtype), dw)
        else:  # shared among threads by rows of W
            matmul(np.ascontiguousarray(rows.T), g, dw)
        gradients = {"weights": dw}
        if self.use_bias:
            gradients["bias"] = g.sum(axis=0)
        if not need_input:
            return None, gradients
        dx = np.empty_like(rows)
        matmul(g, w.T, dx)
        return dx.reshape(x.shape), gradients
