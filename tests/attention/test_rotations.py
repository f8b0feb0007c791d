"""Random directions: reproducible, a prefix of each other, orthogonal where that is promised."""

import numpy as np
import pytest

from mongoose_nb.attention.rotations import as_directions, draw_rotations


@pytest.mark.parametrize("kind", ["random", "orthogonal"])
def test_columns_are_a_prefix(kind):
    few, many = draw_rotations(kind, 2, 3, 8, 5, 1), draw_rotations(kind, 2, 3, 8, 20, 1)
    np.testing.assert_allclose(few, many[:, :, :5], rtol=1e-12)
    assert len(np.unique(many)) == many.size
    assert (draw_rotations(kind, 2, 3, 8, 5, 1, 1) != few).all() and (draw_rotations(kind, 2, 3, 8, 5, 2) != few).all()


def test_orthogonal():
    block = draw_rotations("orthogonal", 1, 1, 8, 8, 1)[0, 0]
    gram = block @ block.T
    np.testing.assert_allclose(gram, np.diag(np.diag(gram)), atol=1e-12)
    # squared lengths of 8 Gaussian coordinates: mean 8, and 99.9 % of the means of 4,000 of them within 3.29 standard errors
    lengths = np.square(draw_rotations("orthogonal", 1, 1, 8, 4000, 1)).sum(axis=-1)
    assert abs(lengths.mean() - 8) < 3.29 * 4 / np.sqrt(4000)


def test_arrays_are_cut_and_turned():
    rotations = np.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5)
    directions = as_directions(rotations, 2, 3, 4, 2, np.float32, 0, 0)
    assert directions.shape == (2, 6, 4) and directions.dtype == np.float32
    np.testing.assert_array_equal(directions[1, 2 * 2 + 1], rotations[1, 2, :, 1])
