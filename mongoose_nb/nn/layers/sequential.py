"""Layers one after the other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from mongoose_nb.core.arrays import Parameter
from mongoose_nb.core.registry import register
from mongoose_nb.nn.layers.base import Layer, Run, named, part_of


@register("layer", "sequential")
class Sequential(Layer):
    """Named layers, one after the other.

    Parameters
    ----------
    layers : sequence of Layer
    names : sequence of str, optional
        Prefixes of the parameters' names; "0", "1", ... by default.
    """

    def __init__(self, layers: Iterable[Layer], names: Iterable[str] | None = None) -> None:
        self.layers = list(layers)
        self.names = [str(i) for i in range(len(self.layers))] if names is None else list(names)
        if len(set(self.names)) != len(self.layers):
            raise ValueError(f"names must be {len(self.layers)} different names, one for each layer; got {self.names!r}")
        self.fixed_form = next((f"layer {name!r}: {layer.fixed_form}" for name, layer in zip(self.names, self.layers) if layer.fixed_form),
                               "")

    def build(self, n_inputs: int, rng: np.random.Generator) -> Sequential:
        for layer in self.layers:
            if layer.activation is None:
                layer.activation = self.activation
            n_inputs = layer.build(n_inputs, rng).n_outputs
        self.n_outputs = n_inputs
        return self

    def __getitem__(self, name: str) -> Layer:
        """The layer of this name."""
        return self.layers[self.names.index(name)]

    def parameters(self) -> dict[str, Parameter]:
        """Those of all layers."""
        return named((name, layer.parameters()) for name, layer in zip(self.names, self.layers))

    def forward(self, x: np.ndarray, run: Run) -> tuple:
        """Through all layers."""
        caches = []
        for layer in self.layers:
            x, cache = layer.forward(x, run)
            caches.append(cache)
        return x, caches

    def backward(self, g: np.ndarray, cache: Any, need_input: bool = True) -> tuple:
        """Back through all layers."""
        parts = []
        for i in range(len(self.layers) - 1, -1, -1):
            g, gradients = self.layers[i].backward(g, cache[i], need_input or i > 0)
            parts.append((self.names[i], gradients))
        return g, named(parts)

    def after_update(self, run: Run, gradients: dict[str, Any]) -> None:
        for name, layer in zip(self.names, self.layers):
            layer.after_update(run, part_of(gradients, name))
