"""Shared by the tests of language models: small models, and gradients against finite differences."""

import numpy as np

from mongoose_nb.nn.layers.gradients import as_dense
from mongoose_nb.reformer import CopyTask, ReformerLM

N_TOKENS, LENGTH = 7, 20


def model(**settings):
    """A model of two layers whose sequences fall into several buckets."""
    return ReformerLM(N_TOKENS, **{"max_length": LENGTH, "width": 8, "n_heads": 2, "bucket_size": 4, "n_hashes": 2, "seed": 3, **settings})


def batch(index=0, size=3, length=LENGTH):
    """Tokens and weight of a batch of the copy task."""
    return CopyTask(N_TOKENS, length, seed=1).batch(index, size)


def perturb(parameters, scale=0.3):
    """Move every parameter, biases and gains too, away from where it starts."""
    rng = np.random.default_rng(1)
    for parameter in parameters.values():
        parameter.value += scale * rng.standard_normal(parameter.value.shape).astype(parameter.value.dtype)


def slope(f, array, direction, step=1e-5):
    """Central difference of the number f() along a direction of `array`, which is put back."""
    kept = array.copy()
    values = []
    for side in (step, -step):
        array[...] = kept + side * direction
        values.append(f())
    array[...] = kept
    return (values[0] - values[1]) / (2 * step)


def assert_slope(f, array, gradient, name="", tolerance=1e-6, directions=2):
    """`gradient` is that of f() with respect to `array`, in random directions, to a share `tolerance` of what it could be there."""
    rng = np.random.default_rng(2)
    gradient = as_dense(gradient)
    assert gradient.shape == array.shape and gradient.dtype == array.dtype, name
    for _ in range(directions):
        direction = rng.standard_normal(array.shape)
        want = slope(f, array, direction)
        error = abs(want - np.vdot(direction, gradient))
        assert error <= tolerance * max(abs(want), np.linalg.norm(gradient)), (name, want, error)
    assert np.linalg.norm(gradient) > 0, name
