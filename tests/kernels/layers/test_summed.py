"""Gradients of shared outputs that are summed over parts of a batch, against float64."""

import numba
import numpy as np
import pytest

from mongoose_nb.core.arrays import Parameter
from mongoose_nb.core.threads import one_blas_thread
from mongoose_nb.kernels.layers import summed, wide
from mongoose_nb.kernels.layers.rows import State
from mongoose_nb.nn import SGD

D = 6


@pytest.mark.parametrize("m", [1, 9, 300])
@pytest.mark.parametrize("contiguous", [True, False])
def test_sum_norm_and_step(m, contiguous):
    rng = np.random.default_rng(m)
    parts = [(rng.standard_normal((m, n)).astype(np.float32), rng.standard_normal((n, D)).astype(np.float32)) for n in (5, 1, 3)]
    rows, biases = (rng.standard_normal(shape).astype(np.float32) for shape in ((m + 40, D), m + 40))
    ids = np.arange(m) if contiguous else rng.permutation(m + 40)[:m]
    shared = wide.Shared(np.zeros(0, np.int32) if contiguous else ids.astype(np.int32), contiguous, m, np.zeros(0, np.float32))
    G, g, blocks = np.zeros((m, D), np.float32), np.zeros(m, np.float32), wide.count_blocks(m)
    squares, c = np.zeros(blocks), SGD(1.0).constants(1)
    W, b = Parameter(rows.copy()), Parameter(biases.copy())
    with one_blas_thread():
        for Z, H in parts:
            summed.add_part(H, Z, blocks, G, g, np.empty((numba.get_num_threads(), wide.BLOCK, D), np.float32))
        summed.square_sums(G, g, squares)
        summed.apply_sums(G, g, shared, blocks, 0, c, c, *(State(p.value, p.m, p.v) for p in (W, b)))
    dW, db = sum(Z.astype(float) @ H for Z, H in parts), sum(Z.astype(float).sum(axis=1) for Z, _ in parts)
    np.testing.assert_allclose(G, dW, atol=1e-4)
    np.testing.assert_allclose(g, db, atol=1e-4)
    assert squares.sum() == pytest.approx((dW**2).sum() + (db**2).sum(), rel=1e-4)
    rows[ids] -= dW
    biases[ids] -= db
    np.testing.assert_allclose(W.value, rows, atol=1e-4)
    np.testing.assert_allclose(b.value, biases, atol=1e-4)
