"""What a layer of a network promises: its gradients are those of its value, and it keeps nothing of a batch."""

import functools
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np

from mongoose_nb.testing.factories import over_threads
from mongoose_nb.testing.report import CheckFailed, Report, described, require, require_equal

# Steps of finite differences, halved once: values are float32, so they must not be small.
STEP = 2.0**-4


def check_layer(make_layer: Callable[[], Any], *, n_inputs: int = 7, n_samples: int = 9, tolerance: float = 2e-3,
                seed: int = 0) -> Report:
    """Check a hidden layer of `nn`, one of yours for instance.

    Parameters
    ----------
    make_layer : callable
        ``make_layer()`` gives the description of a layer, as ``Network(hidden=...)`` takes it. The layer should be smooth in its inputs
        and parameters: where it has no activation of its own it gets tanh, and a sampler should choose units whatever the input.
    n_inputs, n_samples : int
        Shape of the input.
    tolerance : float
        Largest difference between a slope and the one that the gradient promises, as a share of the gradient's norm.
    seed : int
        Of the input and of the parameters.

    Returns
    -------
    Report

    Raises
    ------
    CheckFailed
        Named ``value``, ``gradient names``, ``gradients``, ``input unchanged``, ``no batch kept``, ``threads``, ``description``, ``pickle``
        or ``step``.

    Examples
    --------
    >>> from mongoose_nb import nn
    >>> from mongoose_nb.testing import check_layer
    >>> "gradients" in check_layer(lambda: nn.Dense(5))
    True
    """
    case, report = _Case(make_layer, n_inputs, n_samples, seed), Report()
    layer = case.build(make_layer())
    value, g_input, gradients = case.passes(layer)
    _value(report, case, layer, value)
    _names(report, case, layer, gradients)
    _gradients(report, case, layer, g_input, gradients, tolerance)
    _unchanged(report, case, layer)
    _no_batch_kept(report, case, layer)
    over_threads(report, lambda: case.passes(layer), functools.partial(_same, "threads"))
    _description(report, case, make_layer)
    _pickle(report, case, layer)
    _step(report, case, layer)
    return report


class _Case:
    """A layer's input, and the weights of its value in a loss."""

    def __init__(self, make_layer, n_inputs, n_samples, seed):
        self.n_inputs, self.n_samples, self.seed = n_inputs, n_samples, seed
        rng = np.random.default_rng(seed)
        self.x = rng.standard_normal((n_samples, n_inputs)).astype(np.float32)
        if make_layer().sparse_input:
            self.x[rng.random(self.x.shape) < 0.4] = 0
        self._weights = rng.standard_normal(1 << 14)

    def build(self, layer):
        from mongoose_nb.nn.layers.activations import Tanh

        if layer.activation is None:
            layer.activation = Tanh()
        layer.build(self.n_inputs, np.random.Generator(np.random.Philox(self.seed)))
        if hasattr(layer, "bind_sampler"):
            layer.bind_sampler(self.seed)
        rng = np.random.default_rng(self.seed + 1)
        for parameter in layer.parameters().values():  # biases too are away from zero
            parameter.value += (0.3 * rng.standard_normal(parameter.value.shape)).astype(parameter.value.dtype)
        return layer

    def input(self, layer, x=None):
        """The input as the layer takes it."""
        from mongoose_nb.core.arrays import Rows

        x = self.x if x is None else x
        if not layer.sparse_input:
            return x.copy()
        count = np.count_nonzero(self.x, axis=1).astype(np.int64)
        sample, ids = np.nonzero(self.x)
        return Rows(np.cumsum(count) - count, count, ids.astype(np.int32), np.ascontiguousarray(x[sample, ids]))

    def forward(self, layer, x=None, step=3):
        """(value as a matrix, gradient of the loss as the layer takes it, cache)."""
        from mongoose_nb.core.arrays import Rows
        from mongoose_nb.nn import Run

        value, cache = layer.forward(self.input(layer, x), Run(step))
        if not isinstance(value, Rows):
            return value, self.weights(value.shape).astype(value.dtype), cache
        sample, ids = value.flat()
        place = np.arange(len(ids)) - np.repeat(np.cumsum(value.count) - value.count, value.count) + np.repeat(value.start, value.count)
        dense, g = np.zeros((len(value), layer.n_outputs), np.float32), np.zeros(len(value.values), np.float32)
        dense[sample, ids] = value.values[place]
        g[place] = self.weights(dense.shape)[sample, ids]
        return dense, g, cache

    def weights(self, shape):
        return np.resize(self._weights, shape)

    def passes(self, layer, step=3, need_input=True):
        """(value, d loss / d input as a matrix or None, {name: gradient as an array}), copies."""
        value, g, cache = self.forward(layer, step=step)
        g_input, gradients = layer.backward(g, cache, need_input)
        return value.copy(), self.matrix(layer, g_input) if need_input else None, _dense(gradients)

    def matrix(self, layer, g_input):
        if not layer.sparse_input:
            return np.array(g_input)
        out = np.zeros_like(self.x)
        out[np.nonzero(self.x)] = g_input
        return out

    def loss(self, layer, x=None):
        value, _, _ = self.forward(layer, x)
        return float((value.astype(np.float64) * self.weights(value.shape)).sum())


def _dense(gradients):
    from mongoose_nb.nn.layers.gradients import as_dense

    return {name: np.array(as_dense(gradient)) for name, gradient in gradients.items()}


def _same(check, got, wanted, what):
    """Value, gradient of the input and gradients of the parameters are equal."""
    require_equal(check, got[0], wanted[0], f"value {what}")
    require_equal(check, got[1], wanted[1], f"gradient of the input {what}")
    for name in wanted[2]:
        require_equal(check, got[2][name], wanted[2][name], f"gradient of {name!r} {what}")


def _value(report, case, layer, value):
    shape = case.n_samples, layer.n_outputs
    require(value.shape == shape, "value", f"observed shape {value.shape}, expected {shape}, n_samples and n_outputs", observed=value.shape)
    require(np.isfinite(value).all() and value.any(), "value", "expected finite numbers, not all zero")
    report.holds("value", f"{value.dtype} {value.shape}")


def _names(report, case, layer, gradients):
    names = set(layer.parameters())
    require(set(gradients) == names, "gradient names", f"observed {sorted(gradients)}, expected those of parameters(), {sorted(names)}")
    for name, parameter in layer.parameters().items():
        require(gradients[name].shape == parameter.value.shape, "gradient names", f"gradient of {name!r}: observed shape "
                f"{gradients[name].shape}, expected {parameter.value.shape}", observed=gradients[name].shape)
    without = case.passes(layer, need_input=False)[2]
    for name in names:
        require_equal("gradient names", without[name], gradients[name], f"gradient of {name!r} without need_input")
    report.holds("gradient names", ", ".join(sorted(names)) or "no parameters")


def _gradients(report, case, layer, g_input, gradients, tolerance):
    """Slopes along random directions, by differences of two sizes: what they have in common is right to the fourth order."""
    rng, worst = np.random.default_rng(case.seed + 2), 0.0
    tensors = {"the input": (case.x, g_input), **{name: (p.value, gradients[name]) for name, p in layer.parameters().items()}}
    for name, (array, gradient) in tensors.items():
        direction = rng.standard_normal(array.shape)
        if name == "the input" and layer.sparse_input:
            direction[case.x == 0] = 0
        direction /= max(1e-30, np.linalg.norm(direction))
        kept, slopes = array.copy(), []
        for step in (STEP, STEP / 2):
            ends = []
            for side in (step, -step):
                moved = (kept + side * direction).astype(array.dtype)
                if name == "the input":
                    ends.append(case.loss(layer, moved))
                else:
                    array[...] = moved
                    ends.append(case.loss(layer))
                    array[...] = kept
            slopes.append((ends[0] - ends[1]) / (2 * step))
        wanted = (4 * slopes[1] - slopes[0]) / 3
        got, bound = float(np.vdot(direction, gradient)), tolerance * max(1e-3, float(np.linalg.norm(gradient)))
        require(abs(got - wanted) <= bound, "gradients", f"gradient of {name}: observed a slope of {got:.6g}, expected {wanted:.6g} by "
                f"finite differences, bound {bound:.2g}", observed=got, expected=wanted, bound=(wanted - bound, wanted + bound))
        worst = max(worst, abs(got - wanted) / bound)
    report.holds("gradients", f"{len(tensors)} tensors, largest error {worst:.2g} of what is allowed")


def _unchanged(report, case, layer):
    before = {name: parameter.value.copy() for name, parameter in layer.parameters().items()}
    from mongoose_nb.nn import Run

    x = case.input(layer)
    kept = x.copy() if isinstance(x, np.ndarray) else x.values.copy()
    layer.forward(x, Run(3))
    require_equal("input unchanged", x if isinstance(x, np.ndarray) else x.values, kept, "the input after a forward pass")
    for name, parameter in layer.parameters().items():
        require_equal("input unchanged", parameter.value, before[name], f"parameter {name!r} after a forward pass")
    report.holds("input unchanged")


def _no_batch_kept(report, case, layer):
    alone = case.passes(layer)
    value, g, cache = case.forward(layer)
    case.forward(layer, case.x + 1, step=4)
    g_input, gradients = layer.backward(g, cache)
    other = case.forward(layer, case.x - 1, step=5)
    layer.backward(other[1], other[2])
    _same("no batch kept", (value, case.matrix(layer, g_input), _dense(gradients)), alone, "after another forward pass")
    report.holds("no batch kept")


def _description(report, case, make_layer):
    from mongoose_nb.core.registry import describe, make

    layer = make_layer()
    description = described(layer, "layer")
    again = make("layer", description)
    require(describe(again) == description, "description", f"observed {describe(again)} of a layer made from {description}")
    _same("description", case.passes(case.build(again)), case.passes(case.build(layer)), "of a layer made from the description")
    report.holds("description", str(description))


def _pickle(report, case, layer):
    try:
        copy = pickle.loads(pickle.dumps(layer))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise CheckFailed("pickle", f"the layer cannot be pickled: {error}") from error
    _same("pickle", case.passes(copy), case.passes(layer), "of a pickled copy")
    report.holds("pickle")


def _step(report, case, layer):
    """A step of gradient descent moves every parameter against its gradient."""
    from mongoose_nb.nn import SGD
    from mongoose_nb.nn.layers.gradients import apply_gradients

    _, g, cache = case.forward(layer)
    gradients = layer.backward(g, cache)[1]
    parameters = layer.parameters()
    wanted = {name: parameters[name].value - np.float32(0.5 * parameters[name].lr_factor) * gradient
              for name, gradient in _dense(gradients).items()}
    apply_gradients(parameters, gradients, SGD(0.5), 0)
    for name, parameter in parameters.items():
        error = float(np.abs(parameter.value - wanted[name]).max(initial=0))
        require(error <= 1e-4, "step", f"parameter {name!r} after a step of SGD: observed an error of {error:.2g}, expected 0, bound 1e-4",
                observed=error, expected=0.0, bound=(0.0, 1e-4))
    report.holds("step")
