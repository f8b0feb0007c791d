"""A few rows in one call are placed as many rows are in three."""

import numpy as np
import pytest

from mongoose_nb.core.arrays import read_only
from mongoose_nb.hashing.flips import flip_order
from mongoose_nb.kernels.hashing.simhash_probes import probe_signs
from mongoose_nb.kernels.search import project


@pytest.mark.parametrize("augmented", [False, True])
@pytest.mark.parametrize("fold", [0, 26])
def test_one_call_does_what_three_do(augmented, fold):
    rng = np.random.default_rng(0)
    n, d, m, h, K, L = 5, 21, 12, 8, 9, 3
    X, D = rng.standard_normal((n, d)).astype(np.float32), d + augmented
    mean, axes = rng.standard_normal(D).astype(np.float32), np.linalg.qr(rng.standard_normal((D, m)))[0].astype(np.float32)
    inverse, functions = np.full(m + 1, 20, np.float32), rng.standard_normal((h, K * L)).astype(np.float32)
    longest, slots = np.float32(7), np.array([4, 0, 6, 2, 1])
    sketches, codes = np.zeros((8, 64), np.int8), np.empty((L, n), np.uint32)
    # read-only as an index gives them: another type would be compiled for again
    X, mean, axes, inverse, functions = (read_only(a) for a in (X, mean, np.ascontiguousarray(axes), inverse, functions))
    project.place_dense(X, slots, longest, mean, axes, inverse, functions, K, fold, sketches, codes)

    extra = np.sqrt(longest**2 - (X * X).sum(axis=1)) if augmented else np.zeros(n, np.float32)
    Y, rest = np.empty((n, m), np.float32), np.empty(n, np.float32)
    project.project_dense(X, np.ones(n, np.float32), extra, mean, axes, Y, rest)
    wide = (np.column_stack([X, extra]) if augmented else X) - mean
    np.testing.assert_allclose(Y, wide @ axes, rtol=1e-4, atol=1e-4)
    want, probes = np.zeros((n, 64), np.int8), np.empty((n, L, 1), np.uint32)
    project.sketch_rows(Y, rest, inverse, want)
    probe_signs(Y, functions, flip_order(K, 1), K, probes)
    assert np.abs(sketches[slots].astype(int) - want).max() <= 1 and (sketches[slots] == want).mean() > 0.99
    assert not sketches[[3, 5, 7]].any() and np.abs(want).max() > 5
    numbers = probes[:, :, 0].T.astype(np.uint64)
    if fold:
        numbers = (numbers * np.uint64(project.ODD) % np.uint64(2**32)) >> np.uint64(fold)
    np.testing.assert_array_equal(codes, numbers)
