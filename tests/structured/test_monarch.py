"""Monarch matrices: the definition entry by entry, and that the projection is exact where it can be and optimal elsewhere."""

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.structured.projection import alternating, stride_permutation, svd_error
from mongoose_nb import nn
from mongoose_nb.structured import MonarchMatrix, monarch_project
from tests import naive_structured as naive

SIZES = (16, 64, 256, pytest.param(1024, marks=pytest.mark.slow))


@st.composite
def factors(draw):
    """(L, R) of any sizes."""
    J, rows, K, columns, rank = (draw(st.integers(1, most)) for most in (4, 4, 4, 4, 2))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    L, R = rng.standard_normal((J, rows, rank * K)), rng.standard_normal((K, J * rank, columns))
    return (L, R) if draw(st.booleans()) else (L + 1j * rng.standard_normal(L.shape), R)


@given(factors())
@settings(max_examples=30)
def test_every_product_is_that_of_the_matrix(pair):
    M, dense = MonarchMatrix(*pair), naive.monarch(*pair)
    rng = np.random.default_rng(0)
    x, left = rng.standard_normal((dense.shape[1], 3)), rng.standard_normal((2, dense.shape[0]))
    np.testing.assert_allclose(M.to_dense(), dense, atol=1e-12)
    np.testing.assert_allclose(M.T.to_dense(), dense.T, atol=1e-12)
    np.testing.assert_allclose(M @ x, dense @ x, atol=1e-12)
    np.testing.assert_allclose(M @ x[:, 0], dense @ x[:, 0], atol=1e-12)
    np.testing.assert_allclose(left @ M, left @ dense, atol=1e-12)
    np.testing.assert_allclose(M.T @ left.T, dense.T @ left.T, atol=1e-12)
    for product, want in ((M @ x[:, :0], dense @ x[:, :0]), (left[:0] @ M, left[:0] @ dense), (left[0] @ M, left[0] @ dense)):
        assert product.shape == want.shape and np.allclose(product, want)
    assert M.shape == dense.shape and M.T.shape == dense.T.shape and M.T.T.shape == dense.shape
    assert M.n_params == pair[0].size + pair[1].size and M.dtype == dense.dtype


@pytest.mark.parametrize("n", SIZES)
def test_transforms_are_monarch_matrices(n):
    b = int(n**0.5)
    F = np.fft.fft(np.eye(n))
    M, error = monarch_project(F[:, stride_permutation(n, b)])
    assert error <= 1e-12 and np.abs(M.to_dense() - F[:, stride_permutation(n, b)]).max() <= 1e-12 * n
    assert M.n_params == 2 * n * b
    assert monarch_project(scipy.linalg.hadamard(n))[1] <= 1e-12
    # without the permutation the DFT is as far away as can be, sqrt(1 - 1 / b): rows or columns grouped in another way would show here
    assert monarch_project(F)[1] == pytest.approx((1 - 1 / b) ** 0.5, abs=1e-9) and (1 - 1 / b) ** 0.5 > 0.8


@pytest.mark.parametrize(("shape", "blocks", "rank"), [((64, 64), None, 1), ((48, 80), None, 1), ((7, 13), 3, 2), ((10, 9), 6, 1),
                                                       ((12, 30), (4, 5), 2), ((13, 7), None, 1), ((1, 1), None, 1), ((5, 1), None, 1)])
@pytest.mark.parametrize("kind", [float, complex])
def test_the_error_is_the_energy_that_is_left_out(shape, blocks, rank, kind):
    rng = np.random.default_rng(1)
    A = rng.standard_normal(shape).astype(kind)
    if kind is complex:
        A += 1j * rng.standard_normal(shape)
    M, error = monarch_project(A, blocks, rank)
    assert M.shape == shape
    direct = np.linalg.norm(A - M.to_dense())
    assert error * np.linalg.norm(A) == pytest.approx(direct, abs=1e-10)
    # part by part: rows at a stride, columns together
    J, K, columns = M.L.shape[0], M.R.shape[0], M.R.shape[2]
    tail = sum(np.square(np.linalg.svd(A[j::J, k * columns:(k + 1) * columns], compute_uv=False)[rank:]).sum()
               for j in range(J) for k in range(K) if A[j::J, k * columns:(k + 1) * columns].size)
    assert direct**2 == pytest.approx(tail, abs=1e-10 * max(1.0, np.linalg.norm(A) ** 2))


def test_alternating_least_squares_never_beats_it():
    rng = np.random.default_rng(2)
    A = rng.standard_normal((64, 64))
    error = monarch_project(A)[1]
    others = alternating(A, 5, 100, rng)
    assert min(others) >= error - 1e-12 and min(others) == pytest.approx(error, abs=0.01)


def test_it_beats_an_svd_where_there_are_blocks_and_loses_at_low_rank():
    rng = np.random.default_rng(3)
    blocks = scipy.linalg.block_diag(*(rng.standard_normal((16, 16)) for _ in range(16))) + 0.05 * rng.standard_normal((256, 256))
    M, error = monarch_project(blocks)
    assert error <= 0.25 < svd_error(blocks, M.n_params // 512)
    low = rng.standard_normal((256, 16)) @ rng.standard_normal((16, 256))
    assert svd_error(low, 16) < 1e-9 < 0.5 < monarch_project(low)[1]


def test_dtypes_and_scales():
    A = np.random.default_rng(4).standard_normal((16, 16))
    M, error = monarch_project(A.astype(np.float32))
    assert M.dtype == np.float32 and error == pytest.approx(monarch_project(A)[1], abs=1e-6)
    assert monarch_project((A * 10).astype(np.int8))[0].dtype == np.float64
    assert monarch_project(1e-300 * A)[1] == pytest.approx(monarch_project(A)[1]) == monarch_project(1e300 * A)[1]
    M, error = monarch_project(np.zeros((4, 4)))
    assert error == 0.0 and not M.to_dense().any()


@pytest.mark.parametrize(("A", "options", "words"), [
    (np.zeros(3), {}, "shape (3,)"), (np.zeros((0, 3)), {}, "(0, 3)"), (np.array([["a"]]), {}, "numbers"),
    (np.full((2, 2), np.nan), {}, "NaN"), (np.eye(4), {"blocks": 5}, "from 1 to 4"), (np.eye(4), {"blocks": (1, 2, 3)}, "(1, 2, 3)"),
    (np.eye(4), {"rank": 3}, "from 1 to 2"), (np.eye(4), {"rank": 0}, "from 1 to 2"), (np.eye(4), {"blocks": 2.5}, "2.5"),
])
def test_what_cannot_be_projected(A, options, words):
    with pytest.raises((ValueError, TypeError)) as error:
        monarch_project(A, **options)
    assert words in str(error.value)


@pytest.mark.parametrize(("L", "R", "shape"), [(np.ones((2, 2, 2)), np.ones((2, 3, 2)), None), (np.ones((2, 2)), np.ones((2, 2, 2)), None),
                                               (np.ones((2, 2, 2)), np.ones((2, 2, 2)), (5, 4)),
                                               (np.ones((2, 2, 2), int), np.ones((2, 2, 2)), None)])
def test_factors_that_do_not_fit(L, R, shape):
    with pytest.raises(ValueError, match="got"):
        MonarchMatrix(L, R, shape)
    with pytest.raises(ValueError, match="16 numbers"):
        MonarchMatrix(np.ones((4, 4, 4)), np.ones((4, 4, 4))) @ np.ones(15)


def test_products_with_what_is_no_array_of_numbers_are_refused():
    M = MonarchMatrix(np.ones((4, 4, 4)), np.ones((4, 4, 4)))
    for call in (lambda: M @ M, lambda: M @ np.array(["a"] * 16), lambda: np.array(["a"] * 16) @ M):
        with pytest.raises(ValueError, match="16 numbers"):
            call()


def test_blocks_and_weights_go_together_as_the_docstrings_say():
    """At a given rank more blocks have more weights; with the rank that follows, as in the layer, fewer. The layer is its projection."""
    A = np.random.default_rng(0).standard_normal((64, 64))
    assert [monarch_project(A, b)[0].n_params for b in (2, 4, 8)] == [2 * 64 * b for b in (2, 4, 8)]
    for b in (1, 2, 4, 8):
        M, error = monarch_project(A, b, None)
        assert M.n_params == 2 * 64 * 64 // b
        layer = nn.Monarch(64, blocks=b, use_bias=False).build(64, np.random.default_rng(0))
        assert sum(p.value.size for p in layer.parameters().values()) == M.n_params
        assert b > 1 or error < 1e-12
