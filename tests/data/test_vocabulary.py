"""Words to ids and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mongoose_nb.data import Vocabulary, split_words

TEXT = "The cat, the dog; the bird. A cat!"


def test_build_orders_by_count_then_alphabet():
    vocab = Vocabulary.build(TEXT)
    assert vocab.words == ["<unk>", "the", "cat", "!", ",", ".", ";", "a", "bird", "dog"]
    assert Vocabulary.build(TEXT, min_count=2).words == ["<unk>", "the", "cat"]
    assert Vocabulary.build(TEXT, max_size=2).words == ["<unk>", "the"]
    assert Vocabulary.build([TEXT, "cat cat"], max_size=2, unknown=None).words == ["cat", "the"]
    assert Vocabulary.build([["x", "y", "x"]]).words == ["<unk>", "x", "y"]
    assert Vocabulary.build("A b", tokenize=str.split).words == ["<unk>", "A", "b"]


def test_encode_decode():
    vocab = Vocabulary.build(TEXT, min_count=2)
    ids = vocab.encode("the CAT saw the dog")
    assert ids.dtype == np.int32 and ids.tolist() == [1, 2, 0, 1, 0]
    assert vocab.decode(ids) == ["the", "cat", "<unk>", "the", "<unk>"]
    assert vocab.encode(["cat"]).tolist() == [2] and vocab.encode("").tolist() == []
    assert "cat" in vocab and "dog" not in vocab and len(vocab) == 3


@given(st.text(max_size=80))
def test_known_text_round_trips(text):
    vocab = Vocabulary.build(text, unknown=None)
    assert vocab.decode(vocab.encode(text)) == split_words(text)


@pytest.mark.parametrize("call", [
    lambda: Vocabulary(["a", "a"]), lambda: Vocabulary.build("a", min_count=0),
    lambda: Vocabulary.build("a", max_size=0),
    lambda: Vocabulary(["a"], unknown=None).encode("b"), lambda: Vocabulary(["a"]).decode([2]),
    lambda: Vocabulary(["a"]).decode([-1]),
])
def test_errors(call):
    with pytest.raises(ValueError):
        call()
