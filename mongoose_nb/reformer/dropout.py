"""Dropout that can be done again."""

import numpy as np

from mongoose_nb.reformer.layer import Layer


class Dropout(Layer):
    """Zero a share `rate` of the values in training and scale the others up (Srivastava et al., 2014).

    The mask is a function of seed, step and place (`kernels.dropout`): computed again it is the same.
    """

    def __init__(self, rate, seed):
        self.rate, self.seed = rate, seed

    def forward(self, x, run):
        """Any shape."""
        if not run.train or self.rate == 0:
            return x, None
        key = np.random.SeedSequence([self.seed, run.step]).generate_state(1, np.uint64)[0]
        return self._drop(x, key), key

    def backward(self, g, cache):
        """The same mask on the gradient."""
        return (g if cache is None else self._drop(g, cache)), {}

    def _drop(self, x, key):
        from mongoose_nb.kernels.layers.dropout import drop

        x = np.ascontiguousarray(x)
        out = np.empty_like(x)
        drop(x.reshape(-1), key, np.uint32(round(self.rate * 2**32)), x.dtype.type(1.0 / (1.0 - self.rate)), out.reshape(-1))
        return out
