"""The interface of all layers: parameters, a forward pass, a backward pass.

::

    layer = Dense(64)                                a description: the arguments of the constructor
    layer.build(n_inputs, rng)                       makes the parameters
    value, cache = layer.forward(x, run)
    g_input, gradients = layer.backward(g, cache)    gradients by the names of ``layer.parameters()``

A layer keeps nothing of a pass: what `backward` needs is in the cache, so that a value may be computed again, and several passes may be
under way. A gradient is an array, or one of the values of `nn.layers.gradients` where a batch touches few rows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np

from mongoose_nb.core.arrays import Parameter
from mongoose_nb.core.registry import Registered
from mongoose_nb.nn.training.timing import PhaseTimer


@dataclasses.dataclass(frozen=True)
class Run:
    """The state of one pass through a model.

    Parameters
    ----------
    step : int
        Keys everything random.
    train : bool
        Whether a backward pass follows.
    mask : (batch, length) bool array, optional
        For sequences: True where there is a token; None for everywhere.
    timer : PhaseTimer
        Sums the time of the phases that a layer names.
    clip : bool
        Whether the norm of the gradient is needed.
    rate : float
        Factor of the learning-rate schedule at this step.
    micro_batch_size : int
        Rows whose logits an output layer holds at once, where they share candidates; 0 for all.
    """

    step: int = 0
    train: bool = True
    mask: np.ndarray | None = None
    timer: PhaseTimer = dataclasses.field(default_factory=PhaseTimer)
    clip: bool = False
    rate: float = 1.0
    micro_batch_size: int = 0


class Layer(Registered, kind="layer"):
    """A function with parameters: the base of all layers.

    An object is a description until `build` has made its parameters. ``Network(hidden=...)`` takes descriptions, and builds copies of them;
    a file holds the arguments of the constructor, which have to be attributes of the same names.

    Attributes
    ----------
    n_outputs : int
        Width of the value, for a layer that was built.
    activation : Activation or None
        A network sets it to its own activation before `build` where it is None. A layer need not use it.
    sparse_input, sparse_output : bool
        Whether input and value are sparse rows (`core.arrays.Rows`) instead of arrays. The gradient with respect to sparse rows is that of
        their values, entry by entry.
    times_itself : bool
        Whether `forward` counts its time by phases of its own, with ``run.timer``.
    fixed_form : str
        Why ``Network.project`` cannot give its weights another form, and what to do; empty where there is no such reason.

    Examples
    --------
    >>> from mongoose_nb import nn
    >>> class Residual(nn.Layer):
    ...     def __init__(self, units):
    ...         self.units = units
    ...     def build(self, n_inputs, rng):
    ...         self.n_outputs = n_inputs
    ...         self.inner = nn.Dense(self.units, self.activation).build(n_inputs, rng)
    ...         self.outer = nn.Dense(n_inputs, "identity").build(self.units, rng)
    ...         return self
    ...     def forward(self, x, run):
    ...         a, inner = self.inner.forward(x, run)
    ...         y, outer = self.outer.forward(a, run)
    ...         return x + y, (inner, outer)
    ...     def backward(self, g, cache, need_input=True):
    ...         da, outer = self.outer.backward(g, cache[1])
    ...         dx, inner = self.inner.backward(da, cache[0])
    ...         return g + dx, nn.named([("inner", inner), ("outer", outer)])
    >>> net = nn.Network(1000, 500, hidden=(64, Residual(32)))
    """

    activation = None
    sparse_input = False
    sparse_output = False
    times_itself = False
    fixed_form = ""

    def build(self, n_inputs: int, rng: np.random.Generator) -> Layer:
        """Make the parameters for inputs of this width, drawn from `rng`; returns the layer itself."""
        self.n_outputs = n_inputs
        return self

    def parameters(self) -> dict[str, Parameter]:
        """The trained arrays by name: by default the attributes that are parameters, and those of the attributes that are layers."""
        out = {}
        for name, value in vars(self).items():
            if isinstance(value, Parameter):
                out[name] = value
            elif isinstance(value, Layer):
                out.update(named([(name, value.parameters())]))
        return out

    def forward(self, x: Any, run: Run) -> tuple:
        """The value and a cache.

        Parameters
        ----------
        x : array or Rows
        run : Run

        Returns
        -------
        value : array or Rows
            The same bits whenever `x`, `run` and the parameters are the same.
        cache
            For `backward`.
        """
        raise NotImplementedError  # abstract

    def backward(self, g: Any, cache: Any, need_input: bool = True) -> tuple:
        """Gradients from the gradient of the value.

        Parameters
        ----------
        g : array
            d loss / d value.
        cache
            Of `forward`.
        need_input : bool
            Whether the first result is needed; it may be None otherwise.

        Returns
        -------
        g_input : array or None
            d loss / d x.
        gradients : dict of str to gradient
            d loss / d parameter, by the names of `parameters`.
        """
        raise NotImplementedError  # abstract

    def after_update(self, run: Run, gradients: dict) -> None:
        """Called after every optimiser step with the gradients of `backward`, to keep hash tables up to date. By default it calls the
        attributes that are layers."""
        for name, value in vars(self).items():
            if isinstance(value, Layer):
                value.after_update(run, part_of(gradients, name))


def named(parts: Iterable[tuple[str, dict]]) -> dict:
    """Join dicts into one, whose names begin with the prefixes.

    Parameters
    ----------
    parts : iterable of (str, dict)
        Prefixes, and the dicts whose names follow them after a dot.

    Returns
    -------
    dict
    """
    return {f"{prefix}.{name}": value for prefix, part in parts for name, value in part.items()}


def part_of(names: dict, prefix: str) -> dict:
    """The entries that `named` puts under this prefix, without it."""
    prefix += "."
    return {name[len(prefix):]: value for name, value in names.items() if name.startswith(prefix)}
