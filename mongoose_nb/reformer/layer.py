"""What all layers share: the contract, the state of a pass, and layers one after the other."""

import dataclasses

import numpy as np

from mongoose_nb.nn.training.timing import PhaseTimer


@dataclasses.dataclass(frozen=True)
class Run:
    """One pass through the model: what random choices are keyed by, and what all layers need to know."""

    step: int = 0
    train: bool = True
    #: (batch, length) bool, True where there is a token; None for everywhere
    mask: np.ndarray | None = None
    #: for phases of a layer's own
    timer: PhaseTimer = dataclasses.field(default_factory=PhaseTimer)


class Layer:
    """A function with parameters. It keeps nothing of a pass: what `backward` needs is in the cache."""

    def parameters(self):
        """Trained arrays (`nn.arrays.Parameter`) by name."""
        return {}

    def forward(self, x, run):
        """(value, cache) for `x`; the same bits whenever x and run are the same."""
        raise NotImplementedError  # abstract

    def backward(self, g, cache):
        """(d loss / d x, {name: d loss / d parameter}) from `g`, d loss / d value."""
        raise NotImplementedError  # abstract


class Sequential(Layer):
    """Named layers, one after the other."""

    def __init__(self, **layers):
        self.layers = layers

    def parameters(self):
        """Those of all layers."""
        return named((name, layer.parameters()) for name, layer in self.layers.items())

    def forward(self, x, run):
        """Through all layers."""
        caches = []
        for layer in self.layers.values():
            x, cache = layer.forward(x, run)
            caches.append(cache)
        return x, caches

    def backward(self, g, cache):
        """Back through all layers."""
        parts = []
        for (name, layer), part in zip(reversed(self.layers.items()), reversed(cache)):
            g, grads = layer.backward(g, part)
            parts.append((name, grads))
        return g, named(parts)


def named(parts):
    """One dict of pairs (prefix, dict)."""
    return {f"{prefix}.{name}": value for prefix, part in parts for name, value in part.items()}


def uniform(rng, shape, bound, dtype):
    """Uniform numbers in [-bound, bound), aligned to cache lines."""
    from mongoose_nb.core.arrays import aligned_zeros

    out = aligned_zeros(shape, dtype)
    out[...] = rng.uniform(-bound, bound, shape)
    return out


def filled(shape, value, dtype):
    """An array of one value, aligned to cache lines."""
    from mongoose_nb.core.arrays import aligned_zeros

    out = aligned_zeros(shape, dtype)
    out[...] = value
    return out
