"""Buckets against an argmax, in both layouts of the heads."""

import numpy as np

from mongoose_nb.core.arrays import read_only
from mongoose_nb.core.threads import one_blas_thread
from mongoose_nb.kernels.attention.rotation_hash import BLOCK, hash_tokens
from mongoose_nb.kernels.attention.tile import Heads


def test_argmax_of_both_sides():
    rng = np.random.default_rng(1)
    B, H, T, d, R, C = 2, 3, 2 * BLOCK + 5, 8, 2, 5
    x = rng.standard_normal((B, H, T, d))
    rotations = read_only(rng.standard_normal((H, R * C, d)))
    turned = np.ascontiguousarray(x.transpose(0, 2, 1, 3))
    z = np.einsum("bhtd,hrcd->bhrtc", x, rotations.reshape(H, R, C, d))
    expected = np.concatenate([z, -z], -1).argmax(-1)
    for heads in (Heads(x.reshape(-1, d), H * T, T, 1), Heads(turned.reshape(-1, d), T * H, 1, H)):
        codes = np.empty((B, H, R, T), np.int32)
        with one_blas_thread():
            hash_tokens(heads, rotations, codes)
        np.testing.assert_array_equal(codes, expected)
    codes[:] = -1
    hash_tokens(heads, read_only(np.empty((H, 0, d))), codes)
    assert (codes == 0).all()
