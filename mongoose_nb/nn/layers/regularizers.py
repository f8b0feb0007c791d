"""What is asked of the rows of the output layer beside a low loss."""

from __future__ import annotations

from typing import Any

import numpy as np

from mongoose_nb.core.registry import Registered, register
from mongoose_nb.core.threads import one_blas_thread
from mongoose_nb.core.validation import check_number

# Entries between which squares of squares of rows have room in float32.
SMALL, LARGE = 1e-6, 1e6


class Regularizer(Registered, kind="regularizer"):
    """A step on the rows of the output layer after each step of the optimiser, decoupled from its moments as weight decay is.

    A regularizer of your own stores its arguments under their names, keeps nothing of a step, and overrides `apply`.
    """

    def apply(self, rows: np.ndarray, rate: float) -> Any:
        """The rows after the step.

        Parameters
        ----------
        rows : (m, width) float32
            Those that the step of the optimiser has changed, by ascending output. It may be changed in place.
        rate : float
            Factor of the learning-rate schedule at this step.

        Returns
        -------
        (m, width) float array
            Also where `rows` was changed in place.
        """
        raise NotImplementedError  # abstract

    def step(self, rows: np.ndarray, rate: float) -> np.ndarray:
        """What `apply` gives, checked.

        Raises
        ------
        TypeError, ValueError
            If it is no array of the shape of `rows`, or not finite; the message names the class.
        """
        out, name = self.apply(rows, rate), f"{type(self).__name__}.apply"
        if not isinstance(out, np.ndarray) or out.dtype.kind != "f":
            raise TypeError(f"{name} must return the rows after its step, a float array, also where it changes them in place; got {out!r}")
        if out.shape != rows.shape:
            raise ValueError(f"{name} must return an array of the shape of the rows, {rows.shape}; got {out.shape}")
        if not np.isfinite(out).all():
            raise ValueError(f"{name} returned rows that are not finite; make its step shorter")
        return out


@register("regularizer", "spread-out")
class SpreadOut(Regularizer):
    """Pushes the rows of the outputs apart: a step down the squared inner products of different rows.

    A network that has learned its training rows by heart has few directions in which all output rows are long. These shrink, the others
    stay. With V the rows that a step has changed, and r their mean squared length, a step subtracts ``strength * rate`` times
    ``V (V^T V - r I) / |V^T V|``: it is as long for short rows as for long ones. It takes two more products of these rows with a matrix of
    width x width, about a third of the time of a step where a batch has three times as many rows as the width.

    Parameters
    ----------
    strength : float
        Of a step, at most 1; the learning-rate schedule multiplies it, up to 1, and the learning rate itself does not. It adds up over the
        steps: 0.03 suits some thousand steps; fewer steps, or fewer outputs than 1,000, take 0.1.

    References
    ----------
    Zhang et al., "Learning spread-out local feature descriptors", ICCV 2017. Guo et al., "Breaking the glass ceiling for embedding-based
    classifiers for large output spaces", NeurIPS 2019.

    Examples
    --------
    >>> from mongoose_nb import nn
    >>> net = nn.Network(1000, 500, regularizer=nn.SpreadOut(0.1))
    """

    def __init__(self, strength: float = 0.03) -> None:
        self.strength = check_number("strength", strength, low=0.0, high=1.0)

    def apply(self, rows: np.ndarray, rate: float) -> np.ndarray:
        """As `Regularizer.apply`."""
        from mongoose_nb.kernels.layers.dense import count_parts, matmul, matmul_tn

        largest = np.abs(rows).max(initial=0)
        if largest == 0 or not np.isfinite(largest):
            return rows
        (m, width), out = rows.shape, np.empty_like(rows)
        square = np.empty((width, width), np.float32)
        scaled = rows if SMALL < largest < LARGE else rows / largest  # the step does not depend on the scale, its squares have to be there
        with one_blas_thread():
            matmul_tn(scaled, scaled, np.empty((count_parts(m), width, width), np.float32), square)
            step = np.float32(min(1.0, self.strength * rate) / np.linalg.norm(square)) * square
            np.fill_diagonal(step, step.diagonal() - step.trace() / np.float32(m))
            matmul(rows, step, out)
        rows -= out
        return rows
