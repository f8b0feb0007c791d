"""Residual layers whose input is computed back from their output (Gomez et al., 2017; Kitaev et al., 2020, section 3).

The streams are fixed-point numbers (`kernels.layers.fixed_point` says why): the input is recovered to the last bit, and with it hashes,
dropout and gradients. Layers that store their activations add in the same way, so that both modes train the same model.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mongoose_nb.nn.layers.base import Layer, Run, named

#: integer type, digits after the point and the size that a stream may reach, by type of the values
FORMATS = {np.dtype("float32"): (np.int32, 20, 2.0**11 - 1), np.dtype("float64"): (np.int64, 48, 2.0**15 - 1)}


def to_stream(x: np.ndarray) -> np.ndarray:
    """Fixed-point form of values (...)."""
    kind = FORMATS[x.dtype][0]
    return add(np.zeros(x.shape, kind), x)


def to_values(stream: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Values of a stream."""
    out = stream.astype(dtype)
    out *= dtype.type(2.0 ** -FORMATS[dtype][1])
    return out


def add(stream: np.ndarray, x: np.ndarray, sign: int = 1) -> np.ndarray:
    """stream + sign * x, undone exactly by the opposite sign; FloatingPointError where the sum leaves the range or is no number."""
    from mongoose_nb.kernels.layers.fixed_point import add_fixed, count_blocks

    _, digits, limit = FORMATS[x.dtype]
    number = x.dtype.type
    out, bad = np.empty_like(stream), np.empty(count_blocks(stream.size), np.int64)
    add_fixed(stream.reshape(-1), np.ascontiguousarray(x).reshape(-1), number(sign), number(2.0**digits), number(2.0**-digits),
              number(limit), out.reshape(-1), bad)
    if bad.any():
        raise FloatingPointError(f"{int(bad.sum())} of {x.size} values of a residual stream are not finite or exceed {limit:g} in size")
    return out


class Reversible(Layer):
    """``y1 = x1 + attention(x2)``, ``y2 = x2 + feedforward(y1)`` on a pair of streams.

    The gradient of a pair is (d1, d2, streams): the streams that it belongs to travel with it, so that the input can be computed back from
    the output; they are None where activations are stored.

    Parameters
    ----------
    attention, feedforward : Layer
        Keep the shape of their input.
    store : bool
        True keeps what the backward pass needs. False computes it again from the output.
    """

    def __init__(self, attention: Layer, feedforward: Layer, *, store: bool, dtype: str = "float32") -> None:
        self.attention, self.feedforward, self.store, self.dtype = attention, feedforward, store, dtype

    def build(self, n_inputs: int, rng: np.random.Generator) -> Reversible:
        self.n_outputs = n_inputs
        self.attention.build(n_inputs, rng)
        self.feedforward.build(n_inputs, rng)
        return self

    def _values(self, stream):
        return to_values(stream, np.dtype(self.dtype))

    def forward(self, x: tuple, run: Run) -> tuple:
        """Pair of streams -> pair of streams."""
        x1, x2 = x
        step, cache_f = self.attention.forward(self._values(x2), run)
        y1 = add(x1, step)
        step, cache_g = self.feedforward.forward(self._values(y1), run)
        y2 = add(x2, step)
        return (y1, y2), (cache_f, cache_g) if self.store else run

    def backward(self, g: tuple, cache: Any, need_input: bool = True) -> tuple:
        """(dx1, dx2, x) from (dy1, dy2, y)."""
        dy1, dy2, y = g
        x = None
        if self.store:
            cache_f, cache_g = cache
        else:
            y1, y2 = y
            step, cache_g = self.feedforward.forward(self._values(y1), cache)
            x2 = add(y2, step, -1)
            step, cache_f = self.attention.forward(self._values(x2), cache)
            x = (add(y1, step, -1), x2)
        more, grads_g = self.feedforward.backward(dy2, cache_g)
        dx1 = dy1 + more
        more, grads_f = self.attention.backward(dx1, cache_f)
        return (dx1, dy2 + more, x), named([("attention", grads_f), ("feedforward", grads_g)])
