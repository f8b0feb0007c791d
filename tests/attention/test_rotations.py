"""Random directions: reproducible, a prefix of each other, orthogonal where that is promised."""

import numpy as np
import pytest

from mongoose_nb.attention import LSHAttention
from mongoose_nb.attention.features import draw_features, positive_features
from mongoose_nb.attention.rotations import as_directions, count_buckets, draw_rotations


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


@pytest.mark.parametrize("heads, rounds, width, columns", [(0, 1, 4, 2), (1, -1, 4, 2), (1, 1, 0, 2), (1, 1, 4, -2), (1, 1, 2.5, 2)])
def test_sizes_that_are_none_are_refused(heads, rounds, width, columns):
    with pytest.raises((ValueError, TypeError), match="must be an integer"):
        draw_rotations("random", heads, rounds, width, columns, 0)
    with pytest.raises((ValueError, TypeError), match="must be an integer"):
        draw_features(heads, columns if rounds == 1 else rounds, width, 0)


def test_rotations_without_columns_and_buckets_of_no_tokens_are_refused():
    for shape in ((2, 4, 0), (3, 2, 0, 5)):
        with pytest.raises(ValueError, match="at least one column; got"):
            LSHAttention(2, 8, rotations=np.zeros(shape))
    for size in (0, -3, 2.0):
        with pytest.raises((ValueError, TypeError), match="bucket_size must be an integer"):
            count_buckets(10, size)
    with pytest.raises(ValueError, match="m must be 1 or more"):
        positive_features(np.zeros(4), np.zeros((0, 4)))
