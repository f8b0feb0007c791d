"""Estimates of a sum over all outputs, judged at a stated confidence."""

import numpy as np
from scipy import stats

from mongoose_nb.core.arrays import Rows

CONFIDENCE = 0.999


def rows_of(lists):
    """Label rows from lists of ids."""
    count = np.array([len(row) for row in lists], np.int64)
    ids = np.array([i for row in lists for i in row], np.int32)
    return Rows(np.cumsum(count) - count, count, ids, None)


def _interval(samples):
    """Mean of independent estimates and the half width that holds the expectation in all coordinates at once."""
    samples = np.asarray(samples, float).reshape(len(samples), -1)
    deviation = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
    assert (deviation > 0).all(), "estimates that do not vary say nothing"
    return samples.mean(axis=0), stats.norm.ppf(1 - (1 - CONFIDENCE) / 2 / samples.shape[1]) * deviation


def assert_mean(samples, exact):
    """The expectation of the estimates (n, ...) may be `exact`, at 99.9 % confidence."""
    mean, half = _interval(samples)
    assert (np.abs(mean - np.ravel(exact)) <= half).all()


def assert_below(samples, exact):
    """The expectation of the estimates is below `exact` in every coordinate, at 99.9 % confidence."""
    mean, half = _interval(samples)
    assert (mean + half < np.ravel(exact)).all()


def correction(name, n_rows):
    """A correction of this name for a layer of so many outputs."""
    from types import SimpleNamespace

    from mongoose_nb.core.registry import make
    from mongoose_nb.nn.sampling import corrections  # noqa: F401  (registers them)

    made, layer = make("correction", name), SimpleNamespace(value=np.zeros((n_rows, 1), np.float32))
    made.bind_layer(layer, layer)
    return made
