"""What layers on a hashed array have in common: the array is their own, or shared by the whole model."""

from __future__ import annotations

from typing import Any

import numpy as np

from mongoose_nb.compress import CellGradient, Compress, HashedArray, View, make_compression

#: addresses of blocks that a layer keeps; beyond, they are computed in every pass
KEPT = 1 << 20


class Shared:
    """A hashed array for several layers of one model.

    Gradients of layers above wait here, by view, until the lowest layer, which owns the parameter, takes them all.

    Parameters
    ----------
    array : HashedArray
    """

    def __init__(self, array: HashedArray) -> None:
        self.array = array
        self.owner: Any = None
        self._waiting: dict[int, tuple] = {}

    def wait(self, view: View, rows: np.ndarray, values: np.ndarray, bases: np.ndarray) -> None:
        """Keep the gradient of a view until the owner asks for that of all."""
        self._waiting[id(view)] = (view, rows, values, bases)

    def add(self, layer: Any, view: View, rows: np.ndarray, values: np.ndarray, bases: np.ndarray) -> CellGradient | None:
        """Keep the gradient of a layer; the owner gets that of all."""
        if layer is not self.owner:
            self.wait(view, rows, values, bases)
            return None
        total = self.array.gradient()
        for part in self._waiting.values():
            total.add(*part)
        self._waiting = {}
        return total.add(view, rows, values, bases)


class Hashed:
    """Mixin of layers whose matrix is a view of a hashed array. `share` comes before `build`, where a model has one array for all."""

    compress: Any
    view: View
    fixed_form = ("its weights live in a hashed array and have no other form: train a network without compress=, or with "
                  "Compress(..., only=[...]) that leaves this layer out")
    _array: Shared | None = None

    def share(self, shared: Shared) -> None:
        """Use an array of the model instead of one of the layer's own."""
        self._array = shared

    def make_view(self, shape: tuple[int, int], std: float, rng: np.random.Generator) -> View:
        """The matrix; its parameter is ``self.cells``, where this layer owns it."""
        spec: Compress = make_compression(self.compress)
        if self._array is None:
            self._array = Shared(spec.array([shape], init_std=std, seed=int(rng.integers(2**31))))
        array, shared = self._array.array, self._array
        if shared.owner is None:
            shared.owner = self
            self.cells = array.parameter
        name = spec.map if shape[1] >= spec.map_class.least_width else "element"
        view = array.view(name, shape, std=std, **(spec.options if name == spec.map else {}))
        self._known = None
        return view

    def views(self) -> list[View]:
        """The matrices of the layer."""
        return [self.view]

    def all_bases(self, view: View) -> np.ndarray:
        """Addresses of all rows; kept where they are few."""
        if self._known is not None:
            return self._known
        bases = view.map.bases(np.arange(len(view)))
        if bases.size <= KEPT:
            self._known = bases
        return bases

    def dense_weights(self) -> np.ndarray:
        """The matrix that the array stands for, as the layer multiplies rows by it: (n_inputs, units), a copy."""
        raise NotImplementedError  # abstract

    def cell_gradient(self, view: View, rows: np.ndarray, values: np.ndarray, bases: np.ndarray) -> dict:
        """{"cells": gradient}, or nothing where another layer of the model has it."""
        gradient = self._array.add(self, view, rows, values, bases)
        return {} if gradient is None else {"cells": gradient}
