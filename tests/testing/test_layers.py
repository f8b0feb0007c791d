"""The contract of a layer: every registered one keeps it, and every wrong one fails with its name on the message."""

import numpy as np
import pytest

from mongoose_nb import nn
from mongoose_nb.core.registry import registered
from mongoose_nb.nn.layers.gradients import as_dense
from mongoose_nb.testing import CheckFailed, check_layer

ALL = ["value", "gradient names", "gradients", "input unchanged", "no batch kept", "threads", "description", "pickle", "step"]
#: arguments of the registered layers
MAKE = {
    "sparse input": lambda cls: cls(6), "dense": lambda cls: cls(6), "wide": lambda cls: cls(300, nn.Uniform(20, shape="sample")),
    "layer norm": lambda cls: cls(), "dropout": lambda cls: cls(0.3),
    "input dropout": lambda cls: cls(0.3), "sequential": lambda cls: cls([nn.Dense(6), nn.Dropout(0.2, 1)]),
    "monarch": lambda cls: cls(6), "pixelfly": lambda cls: cls(6, 0.9, 2),
    "hashed dense": lambda cls: cls(6, compress=2.0), "hashed input": lambda cls: cls(6, compress=2.0),
    "hashed map": lambda cls: cls(nn.Monarch(6), compress=2.0),
}


@pytest.mark.parametrize("name", registered("layer", "mongoose_nb."))
def test_registered_layers(name):
    report = check_layer(lambda: MAKE[name](registered("layer", "mongoose_nb.")[name]))
    assert [line.check for line in report] == ALL and set(report.skipped) <= {"threads"}


@pytest.mark.parametrize("activation", registered("activation", "mongoose_nb."))
def test_every_activation(activation):
    assert "gradients" in check_layer(lambda: nn.Dense(6, activation), tolerance=0.05 if "elu" in activation else 2e-3)


@pytest.mark.parametrize("make", [lambda: nn.Dense(5, use_bias=False), lambda: nn.Dense(5, init="glorot"),
                                  lambda: nn.SparseInput(5, "sigmoid", init_std=0.5)])
def test_settings(make):
    check_layer(make, n_inputs=4, n_samples=300)


class Residual(nn.Layer):
    """x + dense(x)."""

    def __init__(self, scale=1.0):
        self.scale = scale

    def build(self, n_inputs, rng):
        self.n_outputs = n_inputs
        self.inner = nn.Dense(n_inputs, self.activation).build(n_inputs, rng)
        return self

    def parameters(self):
        return self.inner.parameters()

    def forward(self, x, run):
        y, cache = self.inner.forward(x, run)
        return x + np.float32(self.scale) * y, cache

    def backward(self, g, cache, need_input=True):
        dx, gradients = self.inner.backward(np.float32(self.scale) * g, cache)
        return g + dx, gradients


def test_a_layer_of_ones_own():
    assert len(check_layer(lambda: Residual(0.5))) == len(ALL)


class ForgetsTheScale(Residual):
    def backward(self, g, cache, need_input=True):
        dx, gradients = self.inner.backward(g, cache)
        return g + dx, gradients


class KeepsTheBatch(Residual):
    def forward(self, x, run):
        value, self.cache = super().forward(x, run)
        return value, None

    def backward(self, g, cache, need_input=True):
        return super().backward(g, self.cache)


class ChangesItsInput(Residual):
    def forward(self, x, run):
        x *= 2
        return super().forward(x, run)


class LeavesOutTheBias(Residual):
    def backward(self, g, cache, need_input=True):
        dx, gradients = super().backward(g, cache)
        return dx, {"weights": gradients["weights"]}


class ChangesItsArgument(Residual):
    def __init__(self, scale=1.0):
        self.scale = scale / 2


class CannotBePickled(Residual):
    def build(self, n_inputs, rng):
        self.function = lambda x: x
        return super().build(n_inputs, rng)


class WrongWidth(Residual):
    def build(self, n_inputs, rng):
        super().build(n_inputs, rng).n_outputs = n_inputs + 1
        return self


class TransposedGradient(nn.Dense):
    def backward(self, g, cache, need_input=True):
        dx, gradients = super().backward(g, cache)
        return dx, {**gradients, "weights": as_dense(gradients["weights"]).T}


@pytest.mark.parametrize("make, check, text", [
    (lambda: ForgetsTheScale(0.5), "gradients", "by finite differences"),
    (KeepsTheBatch, "no batch kept", "after another forward pass"),
    (ChangesItsInput, "input unchanged|gradients", ""),
    (LeavesOutTheBias, "gradient names", r"observed \['weights'\], expected those of parameters\(\), \['bias', 'weights'\]"),
    (ChangesItsArgument, "description", "does not keep its argument 'scale'"),
    (CannotBePickled, "pickle", "cannot be pickled"),
    (WrongWidth, "value", r"observed shape \(9, 7\), expected \(9, 8\)"),
    (lambda: TransposedGradient(5), "gradient names", r"observed shape \(5, 7\), expected \(7, 5\)"),
])
def test_wrong_layers(make, check, text):
    with pytest.raises(CheckFailed, match=f"^({check}): .*{text}"):
        check_layer(make)
