"""A linear map of some form whose parameters live in a hashed array."""

from __future__ import annotations

from typing import Any

import numpy as np

from mongoose_nb.compress import View, make_compression
from mongoose_nb.core.arrays import Parameter
from mongoose_nb.core.registry import make, register
from mongoose_nb.nn.layers.activations import Activation
from mongoose_nb.nn.layers.base import Layer, Run
from mongoose_nb.nn.layers.hashed import Hashed, Shared
from mongoose_nb.nn.layers.linear_map import LinearMap


@register("layer", "hashed map")
class HashedMap(Hashed, Layer):
    """A layer such as `Monarch` or `Pixelfly`, whose matrices are views of one hashed array; vectors, such as the bias, stay arrays.

    Use it where even the structured layer is too large: it has `compress` times fewer numbers to keep and to update. Every pass looks the
    matrices up first. For a dense layer take `HashedDense`.

    Parameters
    ----------
    layer : LinearMap or dict
        A description, such as ``nn.Monarch(1024)``.
    compress : float, str or compress.Compress
        How small, and by which map; ``Compress("robe", 10)`` by default.

    Examples
    --------
    >>> from mongoose_nb import nn
    >>> network = nn.Network(100, 50, hidden=(64, nn.HashedMap(nn.Monarch(64), compress=4)))
    >>> network.layers[1].cells.value.size
    256
    """

    def __init__(self, layer: LinearMap | dict, *, compress: Any = None) -> None:
        self.layer = make("layer", layer)
        if not isinstance(self.layer, LinearMap):
            raise TypeError(f"layer must be a linear map such as nn.Monarch(64); got {layer!r}")
        self.compress = make_compression({"name": "hashed", "map": "robe"} if compress is None else compress)

    @property  # type: ignore[override]
    def activation(self) -> Activation | None:
        """That of the layer."""
        return self.layer.activation

    @activation.setter
    def activation(self, activation: Activation | None) -> None:
        self.layer.activation = activation

    @property
    def bias(self) -> Parameter | None:
        """That of the layer."""
        return self.layer.bias

    @property
    def units(self) -> int:
        """Width of the value."""
        return self.layer.units

    def build(self, n_inputs: int, rng: np.random.Generator) -> HashedMap:
        self.layer.build(n_inputs, rng)
        self.n_inputs, self.n_outputs = n_inputs, self.units
        known = self.layer.parameters()
        self._matrices = {name: parameter for name, parameter in known.items() if parameter.value.ndim == 2}
        stds = {name: float(parameter.value.std()) for name, parameter in self._matrices.items()}
        if self._array is None:
            shapes = [parameter.value.shape for parameter in self._matrices.values()]
            self._array = Shared(self.compress.array(shapes, init_std=max(stds.values()), seed=int(rng.integers(2**31))))
        self._views = {name: self.make_view(parameter.value.shape, stds[name], rng) for name, parameter in self._matrices.items()}
        self._bases = {name: view.map.bases(np.arange(len(view))) for name, view in self._views.items()}
        self._vectors = {name: parameter for name, parameter in known.items() if name not in self._matrices}
        return self

    def parameters(self) -> dict[str, Parameter]:
        """The cells, where the array is this layer's, and the vectors of the map."""
        cells = {"cells": self.cells} if hasattr(self, "cells") else {}
        return {**cells, **self._vectors}

    def views(self) -> list[View]:
        """The matrices of the layer."""
        return list(self._views.values())

    def _look_up(self):
        for name, view in self._views.items():
            view.gather(np.arange(len(view)), bases=self._bases[name], out=self._matrices[name].value)

    def dense_weights(self) -> np.ndarray:
        """See `Hashed.dense_weights`."""
        self._look_up()
        return self.layer.dense_weights()

    def forward(self, x: np.ndarray, run: Run) -> tuple:
        """(..., n_inputs) -> (..., units)."""
        self._look_up()
        return self.layer.forward(x, run)

    def backward(self, g: np.ndarray, cache: Any, need_input: bool = True) -> tuple:
        """See `Layer.backward`."""
        dx, gradients = self.layer.backward(g, cache, need_input)
        out = {name: gradients[name] for name in self._vectors}
        *others, last = self._views
        for name in others:
            self._array.wait(self._views[name], *self._part(name, gradients))
        out.update(self.cell_gradient(self._views[last], *self._part(last, gradients)))
        return dx, out

    def _part(self, name, gradients):
        """(rows, gradient, addresses) of a matrix."""
        view = self._views[name]
        return np.arange(len(view)), np.ascontiguousarray(gradients[name], np.float32).reshape(view.shape), self._bases[name]
