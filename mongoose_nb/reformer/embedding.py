"""Tokens to vectors."""

import numpy as np

from mongoose_nb.core.arrays import Parameter
from mongoose_nb.nn.layers.row_update import RowUpdate
from mongoose_nb.reformer.gradients import RowGradient
from mongoose_nb.reformer.layer import Layer, uniform

# Rows of tokens and of positions start as large as sines and cosines are in the mean, variance 1 / 2, so that neither drowns the other.
# The released code starts tokens in [-0.1, 0.1) beside sines: 300 steps of the copy task at length 128 taught it nothing.
BOUND = 1.5**0.5


class Embedding(Layer):
    """A row of W (n_tokens, width) for every token.

    The gradient has the rows of the batch's tokens alone (`gradients.RowGradient`): a step costs nothing for the other tokens.
    """

    def __init__(self, n_tokens, width, *, rng, dtype):
        self.weights = Parameter(uniform(rng, (n_tokens, width), BOUND, dtype))
        self._rows = RowUpdate(self.weights)

    def parameters(self):
        """W."""
        return {"weights": self.weights}

    def forward(self, x, run):
        """(batch, length) int32 -> (batch, length, width)."""
        return self.weights.value[x], x

    def backward(self, g, cache):
        """There is nothing below tokens: the first value is None."""
        return None, {"weights": RowGradient(np.ascontiguousarray(cache.reshape(-1)), g.reshape(-1, g.shape[-1]), self._rows)}
