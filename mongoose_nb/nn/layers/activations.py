"""Activation functions of hidden layers: value, and gradient from the value (and the input where that is not enough)."""

import numpy as np


class Activation:
    """A function applied to every element. ``forward(z) -> a`` may work in place; ``backward(g, z, a)`` returns d loss / d z."""

    def __init__(self, name, forward, derivative):
        self.name, self.forward, self.derivative = name, forward, derivative

    def __reduce__(self):
        # the functions have no name to be pickled by
        return get_activation, (self.name,)

    def backward(self, g, z, a):
        """Gradient with respect to the input, from the gradient `g` with respect to the value."""
        return g * self.derivative(z, a)


def _gelu(z):
    return 0.5 * z * (1.0 + np.tanh(np.float32(0.7978845608) * (z + np.float32(0.044715) * z**3)))


def _gelu_derivative(z, _):
    u = np.float32(0.7978845608) * (z + np.float32(0.044715) * z**3)
    t = np.tanh(u)
    return 0.5 * (1.0 + t) + 0.5 * z * (1.0 - t * t) * np.float32(0.7978845608) * (1.0 + np.float32(3 * 0.044715) * z * z)


def _sigmoid(z):
    return 0.5 * (1.0 + np.tanh(0.5 * z))


ACTIVATIONS = {a.name: a for a in (
    # NaN passes through all of them: it must reach the loss and be reported
    Activation("relu", lambda z: np.maximum(z, np.float32(0)), lambda z, a: (z > 0).astype(np.float32)),
    Activation("leaky_relu", lambda z: np.where(z <= 0, np.float32(0.01) * z, z),
               lambda z, a: np.where(z > 0, np.float32(1), np.float32(0.01))),
    Activation("elu", lambda z: np.where(z <= 0, np.expm1(np.minimum(z, 0)), z),
               lambda z, a: np.where(z > 0, np.float32(1), a + 1)),
    Activation("gelu", _gelu, _gelu_derivative),
    Activation("tanh", np.tanh, lambda z, a: 1 - a * a),
    Activation("sigmoid", _sigmoid, lambda z, a: a * (1 - a)),
    Activation("identity", lambda z: z, lambda z, a: np.float32(1)),
)}


def get_activation(name):
    """The activation of this name."""
    if name not in ACTIVATIONS:
        raise ValueError(f"activation={name!r} is unknown; give one of {sorted(ACTIVATIONS)}")
    return ACTIVATIONS[name]
