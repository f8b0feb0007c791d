"""Texts for language models."""

import gzip
import pathlib

import numpy as np

from benchmarks.charlm import read
from mongoose_nb.reformer.text import Characters


def words(folder, size):
    """WikiText-2 as shipped: (training tokens of its test part, tokens of its validation part, vocabulary); rare words are one token."""
    texts = [gzip.open(pathlib.Path(folder) / f"{part}.txt.gz", "rt", encoding="utf-8").read().replace("\n", " <eos> ").split()
             for part in ("test", "valid")]
    names, counts = np.unique(texts[0], return_counts=True)
    known = {name: i + 1 for i, name in enumerate(names[np.lexsort((names, -counts))][:size - 1])}
    return *(np.array([known.get(word, 0) for word in text], np.int32) for text in texts), size


def characters(folder, size):
    """Characters of EUR-Lex: (training tokens, test tokens, alphabet)."""
    train, test = read(folder, size)
    alphabet = Characters.of(train, 128)
    return alphabet.encode(train), alphabet.encode(test), len(alphabet)
