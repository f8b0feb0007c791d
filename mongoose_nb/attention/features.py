"""Positive random features: exp(q . k) as an inner product of positive vectors (Choromanski et al., "Performers", ICLR 2021)."""

from __future__ import annotations

import functools
import math

import numpy as np

from mongoose_nb.core.streams import stream
from mongoose_nb.core.validation import check_int


@functools.lru_cache(maxsize=8)
def draw_features(heads: int, n_features: int, width: int, seed: int, step: int = 0) -> np.ndarray:
    """Directions of features: Gaussian, orthogonal in groups of `width`, with lengths as Gaussian vectors have.

    Parameters
    ----------
    heads, n_features, width : int
    seed, step : int
        Keys.

    Returns
    -------
    (heads, n_features, width) float64, read-only
    """
    for name, n, low in (("heads", heads, 1), ("n_features", n_features, 0), ("width", width, 1)):
        check_int(name, n, low=low)
    out = np.empty((heads, n_features, width))
    for h in range(heads):
        rng = stream(seed, "features", step, h)
        for lo in range(0, n_features, width):
            rows = min(width, n_features - lo)
            basis, triangle = np.linalg.qr(rng.standard_normal((width, width)))
            basis *= np.sign(np.diag(triangle))  # without it the directions are not uniform
            out[h, lo:lo + rows] = basis[:, :rows].T * np.linalg.norm(rng.standard_normal((rows, width)), axis=1, keepdims=True)
    out.flags.writeable = False
    return out


def positive_features(x: np.ndarray, omega: np.ndarray) -> np.ndarray:
    """``exp(omega . x - |x|^2 / 2) / sqrt(m)``: the inner product of two such vectors has the mean exp(x . y).

    Parameters
    ----------
    x : (..., width) array
    omega : (m, width) array
        For instance a head of `draw_features`.

    Returns
    -------
    (..., m) array
    """
    x, omega = np.asarray(x), np.asarray(omega)
    if omega.ndim != 2 or x.ndim < 1 or x.shape[-1] != omega.shape[1] or not len(omega):
        raise ValueError(f"x (..., width) and omega (m, width) must have one width, and m must be 1 or more; got shapes {x.shape} and "
                         f"{omega.shape}")
    return np.exp(x @ omega.T - (x * x).sum(axis=-1, keepdims=True) / 2) / math.sqrt(len(omega))
