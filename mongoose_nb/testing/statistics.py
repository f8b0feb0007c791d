"""Exact confidence bounds, valid for every sample size."""

from __future__ import annotations

from typing import Any

import numpy as np


def clopper_pearson(count: Any, n: Any, alpha: float) -> tuple[Any, Any]:
    """Exact confidence interval of a probability (Clopper and Pearson 1934).

    Parameters
    ----------
    count : int or array_like
        Successes among `n` independent trials.
    n : int or array_like
        Trials.
    alpha : float
        Largest probability that the interval misses the true value: at most ``alpha / 2`` on either side.

    Returns
    -------
    low, high : float or ndarray
    """
    from scipy.special import betaincinv

    count, n = np.asarray(count), np.asarray(n)
    # The maxima keep the parameters of the ends, which are known, from being zero.
    low = np.where(count > 0, betaincinv(np.maximum(count, 1), n - count + 1, alpha / 2), 0.0)
    high = np.where(count < n, betaincinv(count + 1, np.maximum(n - count, 1), 1 - alpha / 2), 1.0)
    return low[()], high[()]
