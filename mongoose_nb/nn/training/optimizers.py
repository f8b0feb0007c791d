"""Optimisers. They hold constants only; the moments are kept with each parameter (`core.arrays.Parameter`), and kernels do the steps.

All are *lazy* in the sparse layers: a step touches the rows with a gradient and no others, so moments of untouched rows do not
decay and weight decay waits until the row is touched again (as in PyTorch's SparseAdam). Weight decay is decoupled: the weights
shrink by ``1 - lr * weight_decay``, the gradient stays as it is (Loshchilov and Hutter, 2019).
"""

from __future__ import annotations

import math

import numpy as np

from mongoose_nb.core.registry import Registered, make, register
from mongoose_nb.core.validation import check_number


class Optimizer(Registered, kind="optimizer"):
    """What the optimisers share.

    Parameters
    ----------
    lr : float
        Learning rate, multiplied by the network's learning-rate schedule.
    weight_decay : float
        Decoupled weight decay per unit of learning rate; biases are not decayed.
    """

    #: which step the kernels do (`kernels.layers.rows`)
    method = None
    keeps_m = False
    keeps_v = False

    def __init__(self, lr: float, weight_decay: float = 0.0) -> None:
        self.lr = check_number("lr", lr, low=0.0, open_low=True)
        self.weight_decay = check_number("weight_decay", weight_decay, low=0.0)

    def constants(self, step: int, rate: float = 1.0, scale: float = 1.0, decay: bool = True, lr_factor: float = 1.0) -> np.ndarray:
        """Constants of one step for the kernels, float32 (see `kernels.layers.rows`): `step` counts from 1, `rate` is the schedule's
        factor, `scale` multiplies the gradient, and `lr_factor` is that of the parameter."""
        lr = self.lr * rate
        out = np.zeros(8, np.float32)
        out[0] = lr * lr_factor
        out[4] = 1.0 - lr * self.weight_decay if decay else 1.0
        out[7] = scale
        self._fill(out, step)
        return out

    def v_shape(self, shape: tuple) -> tuple:
        """Shape of the second moment of an array, where one is kept."""
        return shape

    def _fill(self, out, step):
        """Constants of the one method."""


@register("optimizer", "sgd")
class SGD(Optimizer):
    """Stochastic gradient descent, optionally with momentum.

    Parameters
    ----------
    lr : float
        Learning rate.
    momentum : float
        Share of the last step that is added to the next one, in [0, 1).
    weight_decay : float
        Decoupled weight decay per unit of learning rate.
    """

    method = 0

    def __init__(self, lr: float = 0.1, *, momentum: float = 0.0, weight_decay: float = 0.0) -> None:
        super().__init__(lr, weight_decay)
        self.momentum = check_number("momentum", momentum, low=0.0, high=1.0, open_high=True)
        self.keeps_m = self.momentum > 0

    def _fill(self, out, step):
        out[1] = self.momentum


@register("optimizer", "adagrad")
class AdaGrad(Optimizer):
    """AdaGrad (Duchi, Hazan and Singer, 2011).

    Parameters
    ----------
    lr : float
        Learning rate.
    eps : float
        Added to the root of the summed squares.
    weight_decay : float
        Decoupled weight decay per unit of learning rate.
    """

    method = 1
    keeps_v = True

    def __init__(self, lr: float = 0.05, *, eps: float = 1e-8, weight_decay: float = 0.0) -> None:
        super().__init__(lr, weight_decay)
        self.eps = check_number("eps", eps, low=0.0, open_low=True)

    def _fill(self, out, step):
        out[3] = self.eps


@register("optimizer", "adam")
class Adam(Optimizer):
    """Adam (Kingma and Ba, 2015), lazy in the sparse layers, with one step counter for bias correction.

    Parameters
    ----------
    lr : float
        Learning rate.
    beta1, beta2 : float
        Decay of the first and of the second moment, in [0, 1).
    eps : float
        Added to the root of the second moment.
    weight_decay : float
        Decoupled weight decay per unit of learning rate.
    """

    method = 2
    keeps_m = True
    keeps_v = True

    def __init__(self, lr: float = 2e-3, *, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8, weight_decay: float = 0.0) -> None:
        super().__init__(lr, weight_decay)
        self.beta1 = check_number("beta1", beta1, low=0.0, high=1.0, open_high=True)
        self.beta2 = check_number("beta2", beta2, low=0.0, high=1.0, open_high=True)
        self.eps = check_number("eps", eps, low=0.0, open_low=True)

    def _fill(self, out, step):
        out[1], out[2], out[3] = self.beta1, self.beta2, self.eps
        out[5] = 1.0 / (1.0 - self.beta1**step)
        out[6] = 1.0 / math.sqrt(1.0 - self.beta2**step)


@register("optimizer", "rowadam")
class RowAdam(Adam):
    """Adam with one second moment for each row of a matrix, the mean of its squared gradients: two thirds of Adam's memory traffic.

    A step of a sparse layer is bound by the bytes of weights and moments it moves. Rows of an embedding or of a wide layer are
    touched together, so that one scale serves a row (as the factored moment of Adafactor, Shazeer and Stern, 2018, without the
    columns). Biases keep a moment each.

    Parameters
    ----------
    lr, beta1, beta2, eps, weight_decay : float
        As for `Adam`.
    """

    method = 3

    def v_shape(self, shape: tuple) -> tuple:
        """Shape of the second moment of an array."""
        return (shape[0], 1) if len(shape) == 2 and shape[0] > 1 else shape


def make_optimizer(optimizer: str | dict | Optimizer, lr: float | None = None) -> Optimizer:
    """An optimiser from its name (``"adam"``, ``"rowadam"``, ``"adagrad"``, ``"sgd"``), its description, or itself."""
    if lr is None:
        return make("optimizer", optimizer)
    if isinstance(optimizer, Optimizer):
        raise ValueError("lr was given beside an optimizer object, which has its own; set lr there")
    return make("optimizer", optimizer, lr=lr)
