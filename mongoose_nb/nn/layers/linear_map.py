"""What layers share that are a linear map, a bias and an activation, whatever form the map has.

A form other than a plain matrix takes the place of `Dense` anywhere: in ``Network(hidden=...)``, and by name where a model builds its own
layers (`make_linear`). A trained layer of one form is brought into another by its matrix (`of_map`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mongoose_nb.core.arrays import Buffers, Parameter
from mongoose_nb.core.registry import describe, find, make, name_of, parameters, registered
from mongoose_nb.core.validation import check_choice, check_int
from mongoose_nb.nn.layers.activations import Activation, Identity
from mongoose_nb.nn.layers.base import Layer, Run
from mongoose_nb.nn.layers.initial import filled


class LinearMap(Layer):
    """``activation(X @ W + b)`` for a W of some form, (n_inputs, units).

    A subclass has the form: ``_build_map(rng, gain)``, ``_multiply(rows, run)`` and ``_multiply_backward(g, rows, cache, need_input)``, and
    for changes of form ``dense_weights()`` and ``_take(weights)``.

    Parameters
    ----------
    units : int
    activation, use_bias, init, dtype
        As for `Dense`; values start with the same variance.
    """

    def __init__(self, units: int, activation: str | Activation | None = None, *, use_bias: bool = True, init: str = "he",
                 dtype: str = "float32") -> None:
        self.units = check_int("units", units, low=1)
        self.activation = None if activation is None else make("activation", activation)
        self.use_bias = bool(use_bias)
        self.init = check_choice("init", init, ("he", "glorot"))
        self.dtype = check_choice("dtype", dtype, ("float32", "float64"))

    def build(self, n_inputs: int, rng: np.random.Generator) -> LinearMap:
        self.n_inputs, self.n_outputs = n_inputs, self.units
        self._build_map(rng, 2.0 if self.init == "he" else 2.0 * n_inputs / (n_inputs + self.units))
        self.bias = Parameter(filled(self.units, 0.0, self.dtype)) if self.use_bias else None
        self._no_bias = np.zeros(self.units, self.dtype)
        self._buffers = Buffers()
        return self

    def _build_map(self, rng, gain):
        """Make the parameters of the map, so that values have `gain` times the variance of inputs."""
        raise NotImplementedError  # abstract

    def _lr_factor(self, inputs):
        """Factor on the learning rate of a part of the map whose values are sums over so many inputs.

        Steps of the same length change the values of a smaller sum less. With the root of the ratio language models of width 256 had 0.08
        (Monarch) and 0.15 (Pixelfly) bits more than dense ones, with equal rates 0.12 and 0.26; Monarch with the ratio itself 0.09.
        """
        return float(max(1.0, self.n_inputs / inputs) ** 0.5)

    def _multiply(self, rows, run):
        """(rows @ W + b, cache)."""
        raise NotImplementedError  # abstract

    def _multiply_backward(self, g, rows, cache, need_input):
        """(gradient of the rows or None, gradients of the map's parameters by name)."""
        raise NotImplementedError  # abstract

    def dense_weights(self) -> np.ndarray:
        """W as an array (n_inputs, units), not to be written."""
        raise NotImplementedError  # abstract

    def scale_weights(self, factor: float) -> None:
        """Multiply W by a number."""
        raise NotImplementedError  # abstract

    def _take(self, weights):
        """Take the form of this map that is nearest to `weights`."""
        raise NotImplementedError  # abstract

    @property
    def bias_value(self) -> np.ndarray:
        """b, or zeros."""
        return self._no_bias if self.bias is None else self.bias.value

    def forward(self, x: np.ndarray, run: Run) -> tuple:
        """(..., n_inputs) -> (..., units)."""
        from mongoose_nb.core.threads import one_blas_thread

        if x.shape[-1] != self.n_inputs:
            raise ValueError(f"a {type(self).__name__} layer that was built for {self.n_inputs} inputs was given an array of shape "
                             f"{x.shape}: its last axis must have {self.n_inputs}")
        rows = np.ascontiguousarray(x, self.dtype).reshape(-1, self.n_inputs)
        with one_blas_thread():
            z, cache = self._multiply(rows, run)
        z = z.reshape(*x.shape[:-1], self.units)
        if isinstance(self.activation, Identity):
            return z, (rows, x.shape, cache, None, None)
        a = self.activation.forward(z)
        return a, (rows, x.shape, cache, z, a)

    def by_rows(self, x: np.ndarray) -> np.ndarray:
        """The values (n, units) of rows (n, n_inputs), where the bits of a row do not depend on how many others there are.

        By default every row is computed alone.
        """
        run, out = Run(train=False), np.empty((len(x), self.units), self.dtype)
        for i in range(len(x)):
            out[i:i + 1] = self.forward(x[i:i + 1], run)[0]
        return out

    def backward(self, g: np.ndarray, cache: Any, need_input: bool = True) -> tuple:
        from mongoose_nb.core.threads import one_blas_thread

        rows, shape, cache, z, a = cache
        if z is not None:
            g = self.activation.backward(g, z, a)
        g = np.ascontiguousarray(g, self.dtype).reshape(-1, self.units)
        with one_blas_thread():
            dx, gradients = self._multiply_backward(g, rows, cache, need_input)
        if self.use_bias:
            gradients["bias"] = g.sum(axis=0)
        return (dx.reshape(shape) if need_input else None), gradients

    @classmethod
    def of_map(cls, layer: LinearMap, **options: Any) -> LinearMap:
        """A layer of this form, built, whose map is the nearest one to that of another layer.

        Parameters
        ----------
        layer : LinearMap
            Built.
        **options
            Arguments of the constructor: those of the form, such as ``rank``.

        Raises
        ------
        ValueError
            For weights that are not finite, or options that do not fit.
        """
        weights = layer.dense_weights()
        if not np.isfinite(weights).all():
            raise ValueError(f"the weights of this {type(layer).__name__} layer have NaN or infinite entries, and no nearest other "
                             "form: go back to weights from before, such as a checkpoint, and lower the learning rate")
        out = cls(layer.units, activation=layer.activation, use_bias=layer.use_bias, init=layer.init, dtype=layer.dtype, **options)
        out.build(layer.n_inputs, np.random.Generator(np.random.Philox(0)))
        out._take(weights)
        if out.bias is not None:
            out.bias.value[...] = layer.bias.value
        return out


def linear_maps() -> list[str]:
    """Names of the registered layers that are linear maps."""
    return [name for name, cls in registered("layer").items() if issubclass(cls, LinearMap)]


def find_map(kind: Any) -> tuple[type[LinearMap], dict[str, Any]]:
    """The class of a linear map, and arguments of its constructor, from a name or ``{"name": ..., argument: ...}``.

    Raises
    ------
    ValueError, TypeError
        For another layer, or arguments that it does not take.
    """
    settings = {"name": kind} if isinstance(kind, str) else kind
    if not isinstance(settings, dict) or "name" not in settings:
        raise TypeError(f"a linear map must be one of {linear_maps()}, or a dict with this \"name\" and arguments; got {kind!r}")
    cls = find("layer", settings["name"])
    if not issubclass(cls, LinearMap):
        raise ValueError(f"a layer {settings['name']!r} is no linear map; give one of {linear_maps()}")
    given = ("units", "activation", "use_bias", "init", "dtype")
    options = {name: value for name, value in settings.items() if name != "name"}
    known = [name for name in parameters(cls) if name not in given]
    wrong = [name for name in options if name not in known]
    if wrong:
        raise ValueError(f"a linear map {settings['name']!r} takes {', '.join(known) or 'no arguments'}; got {wrong[0]!r}")
    return cls, options


def check_map(kind: Any) -> str | dict:
    """The name of a linear map, or its description with the arguments that were given; refuses what cannot be made."""
    cls, options = find_map(kind)
    cls(1, **options)
    return describe({"name": name_of(cls), **options}) if options else name_of(cls)


def check_pair(kind: Any) -> str | dict | tuple:
    """As `check_map`, or of two linear maps one after the other: a pair of these where their forms differ."""
    inner, outer = pair_of(kind)
    inner, outer = check_map(inner), check_map(outer)
    return inner if inner == outer else (inner, outer)


def pair_of(kind: Any) -> tuple:
    """The forms of two linear maps one after the other; one form is that of both.

    Raises
    ------
    ValueError
        For a list that has not one or two of them.
    """
    kinds = tuple(kind) if isinstance(kind, list | tuple) else (kind,)
    if len(kinds) not in (1, 2):
        raise ValueError(f"there must be one form for both linear maps, or two: of the inner and of the outer; got {kind!r}")
    return kinds if len(kinds) == 2 else kinds * 2


def make_linear(kind: Any, units: int, activation: str | Activation, *, use_bias: bool = True, init: str = "glorot",
                dtype: str = "float32") -> LinearMap:
    """The linear map of a name or of a description (`find_map`), not yet built."""
    cls, options = find_map(kind)
    return cls(units, activation=activation, use_bias=use_bias, init=init, dtype=dtype, **options)
