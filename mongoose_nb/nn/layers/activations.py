"""Activation functions of hidden layers: the value, and its derivative."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mongoose_nb.core.registry import Registered, register


class Activation(Registered, kind="activation"):
    """A function that is applied to every element.

    NaN has to pass through, so that it reaches the loss and is reported.

    Examples
    --------
    >>> from mongoose_nb import nn
    >>> import numpy as np
    >>> class Softsign(nn.Activation):
    ...     def forward(self, z):
    ...         return z / (1 + np.abs(z))
    ...     def derivative(self, z, a):
    ...         return (1 - np.abs(a)) ** 2
    >>> net = nn.Network(1000, 500, activation=Softsign())
    """

    def forward(self, z: np.ndarray) -> np.ndarray:
        """The value for every element of `z`, in its dtype. `z` is not changed."""
        raise NotImplementedError  # abstract

    def derivative(self, z: np.ndarray, a: np.ndarray) -> np.ndarray:
        """The derivative at `z`, where the value is `a`."""
        raise NotImplementedError  # abstract

    def backward(self, g: np.ndarray, z: np.ndarray, a: np.ndarray) -> np.ndarray:
        """Gradient with respect to the input, from the gradient `g` with respect to the value."""
        return g * self.derivative(z, a)


def _elementwise(name: str, cls: str, doc: str, forward: Callable, derivative: Callable) -> type[Activation]:
    """An activation from its two functions: ``forward(z)`` and ``derivative(z, a)``."""
    members = {"__doc__": doc, "__module__": __name__, "forward": staticmethod(forward), "derivative": staticmethod(derivative)}
    return register("activation", name)(type(cls, (Activation,), members))


ReLU = _elementwise("relu", "ReLU", "``max(z, 0)``.",
                    lambda z: np.maximum(z, np.float32(0)), lambda z, a: (z > 0).astype(np.float32))
LeakyReLU = _elementwise("leaky_relu", "LeakyReLU", "``z`` where it is positive, else ``0.01 * z``.",
                         lambda z: np.where(z <= 0, np.float32(0.01) * z, z), lambda z, a: np.where(z > 0, np.float32(1), np.float32(0.01)))
ELU = _elementwise("elu", "ELU", "``z`` where it is positive, else ``exp(z) - 1``.",
                   lambda z: np.where(z <= 0, np.expm1(np.minimum(z, 0)), z), lambda z, a: np.where(z > 0, np.float32(1), a + 1))
Tanh = _elementwise("tanh", "Tanh", "The hyperbolic tangent.", np.tanh, lambda z, a: 1 - a * a)
Sigmoid = _elementwise("sigmoid", "Sigmoid", "``1 / (1 + exp(-z))``.",
                       lambda z: 0.5 * (1.0 + np.tanh(0.5 * z)), lambda z, a: a * (1 - a))


@register("activation", "gelu")
class GELU(Activation):
    """``z`` times the normal distribution function of ``z``, by its approximation with tanh (Hendrycks and Gimpel, 2016)."""

    def forward(self, z: np.ndarray) -> np.ndarray:
        return 0.5 * z * (1.0 + np.tanh(self._inside(z)))

    @staticmethod
    def _inside(z):
        return np.float32(0.7978845608) * z * (1.0 + np.float32(0.044715) * z * z)  # z**3 takes 80 times as long as products

    def derivative(self, z: np.ndarray, a: np.ndarray) -> np.ndarray:
        t = np.tanh(self._inside(z))
        return 0.5 * (1.0 + t) + 0.5 * z * (1.0 - t * t) * np.float32(0.7978845608) * (1.0 + np.float32(3 * 0.044715) * z * z)


@register("activation", "identity")
class Identity(Activation):
    """``z``."""

    def forward(self, z: np.ndarray) -> np.ndarray:
        return z

    def derivative(self, z: np.ndarray, a: np.ndarray) -> np.ndarray:
        return np.ones_like(z)

    def backward(self, g: np.ndarray, z: np.ndarray, a: np.ndarray) -> np.ndarray:
        return g
