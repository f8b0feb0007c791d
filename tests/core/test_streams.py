"""Random streams."""

import numpy as np
import pytest

from mongoose_nb.core.streams import PURPOSES, stream


def test_every_purpose_has_a_stream_of_its_own():
    assert len(set(PURPOSES.values())) == len(PURPOSES)
    drawn = [stream(3, purpose).random(8) for purpose in PURPOSES]
    assert len({row.tobytes() for row in drawn}) == len(PURPOSES)


def test_a_stream_is_a_function_of_its_key():
    a, b = stream(7, "order of rows", 2), stream(7, "order of rows", 2)
    np.testing.assert_array_equal(a.random(5), b.random(5))
    assert stream(7, "order of rows", 3).random() != stream(7, "order of rows", 2).random() != stream(8, "order of rows", 2).random()


def test_the_bits_stay():
    """The order of rows of an epoch is part of what a checkpoint relies on."""
    expected = np.random.Generator(np.random.Philox(np.random.SeedSequence([5, 1, 4]))).permutation(6)
    np.testing.assert_array_equal(stream(5, "order of rows", 4).permutation(6), expected)


def test_an_unknown_purpose_is_refused():
    with pytest.raises(KeyError, match="anything"):
        stream(0, "anything")
