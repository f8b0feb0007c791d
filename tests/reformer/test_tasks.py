"""Batches of the copy task and of texts, and characters as tokens."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mongoose_nb.reformer import CopyTask, TextTask
from mongoose_nb.reformer.text import UNKNOWN, Characters


class TestCopy:
    def test_both_halves_are_alike(self):
        tokens, weight = CopyTask(5, 12).batch(3, 40)
        assert tokens.shape == (40, 12) and tokens.dtype == np.int32
        np.testing.assert_array_equal(tokens[:, :6], tokens[:, 6:])
        assert (tokens[:, 0] == 0).all() and set(np.unique(tokens[:, 1:6])) == {1, 2, 3, 4}
        np.testing.assert_array_equal(np.flatnonzero(weight) + 1, np.arange(7, 12))  # predictions of the second w

    def test_a_batch_is_a_function_of_its_number(self):
        task = CopyTask(16, 32, seed=1)
        again = CopyTask(16, 32, seed=1)
        np.testing.assert_array_equal(task.batch(3, 4)[0], again.batch(3, 4)[0])
        for other in (task.batch(4, 4), task.batch(3, 4, train=False), CopyTask(16, 32, seed=2).batch(3, 4)):
            assert (task.batch(3, 4)[0] != other[0]).any()

    def test_lengths(self):
        task = CopyTask(16, 12, min_length=6)
        lengths = {task.batch(i, 1)[0].shape[1] for i in range(200)}  # one of four is missed with a chance of 1e-24
        assert lengths == {6, 8, 10, 12}
        with pytest.raises(ValueError, match="length must be even"):
            CopyTask(16, 13)


class TestText:
    def test_windows(self):
        text = np.arange(100)
        task = TextTask(text, 100, 9)
        tokens, weight = task.batch(0, 50)
        assert weight is None and tokens.shape == (50, 10)
        assert (np.diff(tokens, axis=1) == 1).all() and len(np.unique(tokens[:, 0])) > 10
        first, second = (task.batch(i, 3, train=False)[0] for i in range(2))
        np.testing.assert_array_equal(first[:, 0], [0, 9, 18])
        np.testing.assert_array_equal(second[:, 0], [27, 36, 45])
        last, _ = task.batch(20, 3, train=False)  # begins again
        assert last.max() < 100

    def test_refused(self):
        with pytest.raises(ValueError, match="tokens must be one sequence of more than length=9"):
            TextTask(np.zeros(9, int), 3, 9)
        with pytest.raises(ValueError, match="tokens must be from 0 to 2; got 0 to 3"):
            TextTask(np.arange(20) % 4, 3, 9)
        for wrong in (np.full(20, 2**32), np.full(20, 2**64 - 1, np.uint64), np.full(20, 0.7), np.zeros(20, bool)):  # not 0, as int32
            with pytest.raises(ValueError, match="tokens must be"):
                TextTask(wrong, 3, 9)


@given(st.text())
def test_characters(text):
    everything = Characters.of(text)
    tokens = everything.encode(text)
    assert everything.decode(tokens) == text and len(everything) == len(set(text)) + 1
    few = Characters.of(text, 3)
    assert len(few) <= 3
    assert all(a == b or b == UNKNOWN for a, b in zip(text, few.decode(few.encode(text))))


def test_rare_characters_become_one():
    few = Characters.of("aaabbc", 3)
    assert few.alphabet == "ab" and few.decode(few.encode("abc")) == "ab" + UNKNOWN
