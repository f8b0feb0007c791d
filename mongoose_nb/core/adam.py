"""Adam for a small array that is trained on the side, such as hash functions; networks are trained by `kernels.layers.rows`."""

from __future__ import annotations

import numpy as np


def adam_step(value: np.ndarray, m: np.ndarray, v: np.ndarray, gradient: np.ndarray, t: int, rate: float, *, beta1: float = 0.9,
              beta2: float = 0.999, eps: float = 1e-8) -> None:
    """One step of Adam, in place.

    Parameters
    ----------
    value, m, v : float32 arrays
        What is trained, and its moments.
    gradient : float32 array
    t : int
        Number of the step, from 1.
    rate : float
        Learning rate.
    beta1, beta2, eps : float

    References
    ----------
    Kingma and Ba, "Adam: A method for stochastic optimization", ICLR 2015.
    """
    m += np.float32(1 - beta1) * (gradient - m)
    v += np.float32(1 - beta2) * (gradient * gradient - v)
    value -= np.float32(rate / (1 - beta1**t)) * m / (np.sqrt(v / np.float32(1 - beta2**t)) + np.float32(eps))
