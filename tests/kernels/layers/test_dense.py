"""Matrix products by blocks."""

import numba
import numpy as np
import pytest

from mongoose_nb.core.threads import one_blas_thread
from mongoose_nb.kernels.layers.dense import BLOCK, count_parts, matmul, matmul_tn


@pytest.mark.parametrize("n", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 7])
@pytest.mark.parametrize("d, m", [(1, 1), (5, 3), (64, 17)])
def test_product(n, d, m):
    rng = np.random.default_rng(0)
    A, B, Bt = (rng.standard_normal(shape).astype(np.float32) for shape in ((n, d), (d, m), (m, d)))
    out = np.full((n, m), np.nan, np.float32)
    with one_blas_thread():
        matmul(A, B, out)
        np.testing.assert_allclose(out, A.astype(float) @ B, atol=1e-5 * np.sqrt(d))
        matmul(A, Bt.T, out)
        np.testing.assert_allclose(out, A.astype(float) @ Bt.T, atol=1e-5 * np.sqrt(d))


def test_same_bits_for_any_number_of_threads():
    rng = np.random.default_rng(0)
    A, B = rng.standard_normal((5 * BLOCK + 3, 40)).astype(np.float32), rng.standard_normal((40, 30)).astype(np.float32)
    threads, results = numba.get_num_threads(), []
    for t in {1, threads}:
        numba.set_num_threads(t)
        out = np.empty((len(A), 30), np.float32)
        with one_blas_thread():
            matmul(A, B, out)
        results.append(out.tobytes())
    numba.set_num_threads(threads)
    assert len(set(results)) == 1


@pytest.mark.parametrize("n", [1, BLOCK - 1, 2 * BLOCK + 7, 40 * BLOCK])
@pytest.mark.parametrize("d, m", [(1, 1), (5, 3), (64, 17)])
def test_product_over_the_rows(n, d, m):
    rng = np.random.default_rng(0)
    A, B = (rng.standard_normal(shape).astype(np.float32) for shape in ((n, d), (n, m)))
    threads, results = numba.get_num_threads(), []
    for t in {1, threads}:
        numba.set_num_threads(t)
        out = np.full((d, m), np.nan, np.float32)
        with one_blas_thread():
            matmul_tn(A, B, np.empty((count_parts(n), d, m), np.float32), out)
        np.testing.assert_allclose(out, A.T.astype(float) @ B, atol=2e-5 * np.sqrt(n))
        results.append(out.tobytes())
    numba.set_num_threads(threads)
    assert len(set(results)) == 1
