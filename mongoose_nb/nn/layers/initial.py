"""Initial values of parameters, in arrays that are aligned to cache lines."""

from __future__ import annotations

import math

import numpy as np

from mongoose_nb.core.arrays import aligned_zeros


def normal(rng: np.random.Generator, shape: tuple, std: float) -> np.ndarray:
    """Normal float32 numbers of standard deviation `std`, drawn part by part so that no second copy of the array exists."""
    out = aligned_zeros(shape)
    flat = out.reshape(-1)
    for lo in range(0, flat.size, 1 << 20):
        part = flat[lo:lo + (1 << 20)]
        rng.standard_normal(out=part, dtype=np.float32)
        part *= np.float32(std)
    return out


def uniform(rng: np.random.Generator, shape: tuple, bound: float, dtype: np.typing.DTypeLike = np.float32) -> np.ndarray:
    """Uniform numbers in [-bound, bound)."""
    out = aligned_zeros(shape, dtype)
    out[...] = rng.uniform(-bound, bound, shape)
    return out


def filled(shape: int | tuple, value: float, dtype: np.typing.DTypeLike = np.float32) -> np.ndarray:
    """An array of one value."""
    out = aligned_zeros(shape, dtype)
    out[...] = value
    return out


def inverse_root(n_inputs: int) -> float:
    """1 / sqrt(n_inputs), a standard deviation of weights: products with inputs of unit norm start near that size."""
    return 1.0 / math.sqrt(n_inputs)
