"""Forward and backward through the layers of a network, with checks that every number is finite."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mongoose_nb.core.arrays import Rows
from mongoose_nb.core.registry import is_own
from mongoose_nb.nn.layers.base import Layer, Run, named
from mongoose_nb.nn.layers.losses import shares
from mongoose_nb.nn.layers.wide_output import WideOutput
from mongoose_nb.nn.training.finite import LARGEST_GRADIENT, NotFiniteError, find_not_finite, largest


def forward(layers: Sequence[Layer], x: Any, run: Run, inputs: list | None = None) -> tuple[Any, list]:
    """The value of the last layer, and the caches of all; the input of every layer is appended to `inputs`."""
    caches = []
    for layer in layers:
        if inputs is not None:
            inputs.append(x)
        with contextlib.nullcontext() if layer.times_itself else run.timer("forward"):
            x, cache = layer.forward(x, run)
        if is_own(type(layer)) and not isinstance(x, Rows):
            _check_value(layer, x)
        caches.append(cache)
    return x, caches


def _check_value(layer, x):
    """Refuse a value of a user's own layer that the next one cannot compute with."""
    if not isinstance(x, np.ndarray) or x.dtype != np.float32 or x.ndim != 2 or x.shape[1] != layer.n_outputs:
        given = f"{x.dtype} {x.shape}" if isinstance(x, np.ndarray) else type(x).__name__
        raise TypeError(f"layer {type(layer).__qualname__} gave {given}; its value must be float32 of shape "
                        f"(n, n_outputs={layer.n_outputs})")


def loss_and_gradients(layers: Sequence[Layer], output: WideOutput, x: Rows, labels: Rows, run: Run,
                       peak: float = math.inf, weight: np.ndarray | None = None,
                       total: float | None = None) -> tuple[float, dict]:
    """Mean loss of a batch, weighted by `Loss.weights`, and its gradient.

    Parameters
    ----------
    layers : list of Layer
        Hidden layers; named ``hidden0``, ``hidden1``, ... in the result.
    output : WideOutput
        Named ``output``.
    x, labels : Rows
    run : Run
    peak : float
        A bound on the values of `x`, where one is known.
    weight : (n,) array, optional
        Of the samples; 1 each by default.
    total : float, optional
        What the weighted sum of the losses is divided by: by default the sum of the weights.

    Returns
    -------
    loss : float
    gradients : dict of str to gradient
        By the names of the network's parameters.

    Raises
    ------
    NotFiniteError
        If the loss or the gradient is not finite, or so large that an optimiser would make it so.
    """
    reason, losses, inputs = None, np.zeros(len(labels), np.float32), []
    weights = output.loss_kind.weights(labels, weight)
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # the outcome is looked at below
            h, caches = forward(layers, x, run, inputs)
            losses, cache = output.loss(h, labels, run, shares(weights, total))
            loss = float((losses * weights).sum() / ((weights.sum() if total is None else total) or 1.0))
    except FloatingPointError as error:  # what cannot be hashed
        reason, loss = error, math.nan
    if not math.isfinite(loss):
        parameters = named([*((f"hidden{i}", layer.parameters()) for i, layer in enumerate(layers)), ("output", output.parameters())])
        found = find_not_finite(parameters, layers, x, Run(run.step, train=False))
        raise NotFiniteError("loss", run.step, losses, *found) from reason
    # a loss may be finite where the gradient is not, or is not any more when the optimiser squares it
    if not largest(h) < LARGEST_GRADIENT:
        raise NotFiniteError("gradient", run.step, losses, "output", f"activations of up to {largest(h):.3g}")
    grad, gradients = output.backward(1.0, cache)
    parts = [("output", gradients)]
    first = next((i for i, layer in enumerate(layers) if layer.parameters()), 0)  # nothing before it is trained
    with run.timer("backward"):
        for i in range(len(layers) - 1, first - 1, -1):
            bound = len(losses) * largest(grad)
            if not (bound * (peak if i == 0 else largest(inputs[i])) < LARGEST_GRADIENT
                    or i == 0 and bound * largest(inputs[0]) < LARGEST_GRADIENT):  # few rows may hold the peak
                what = f"values of up to {largest(inputs[i]):.3g} meet gradients of up to {largest(grad):.3g}"
                raise NotFiniteError("gradient", run.step, losses, f"hidden{i}", what)
            grad, gradients = layers[i].backward(grad, caches[i], need_input=i > first)
            parts.append((f"hidden{i}", gradients))
    return loss, named(reversed(parts))
