"""A vocabulary: words to ids and back."""

from __future__ import annotations

import collections
import re
from collections.abc import Callable, Iterable, Sequence

import numpy as np

_WORD = re.compile(r"\w+|[^\w\s]")


def split_words(text: str) -> list[str]:
    """Split a text into lower-case words and single punctuation marks.

    Parameters
    ----------
    text : str

    Returns
    -------
    list of str
        In order.
    """
    return _WORD.findall(text.lower())


class Vocabulary:
    """Words and their ids.

    Parameters
    ----------
    words : sequence of str
        Word i gets the id i.
    unknown : str or None, default "<unk>"
        The word that replaces words that are not in the list. It gets the id 0 if the list does not hold it. With None,
        an unknown word is an error.
    tokenize : callable, optional
        Splits a text into words; by default `split_words`.

    Attributes
    ----------
    words : list of str
        The words by id.
    unknown_id : int or None
        The id of the unknown word.
    """

    def __init__(self, words: Sequence[str], unknown: str | None = "<unk>", tokenize: Callable[[str], list[str]] | None = None) -> None:
        self.words = list(words)
        if unknown is not None and unknown not in self.words:
            self.words.insert(0, unknown)
        self._ids = {word: i for i, word in enumerate(self.words)}
        if len(self._ids) != len(self.words):
            twice = next(word for word, count in collections.Counter(self.words).items() if count > 1)
            raise ValueError(f"the word {twice!r} occurs twice in the vocabulary; every word needs one id")
        self.unknown = unknown
        self.unknown_id = None if unknown is None else self._ids[unknown]
        self.tokenize = tokenize or split_words

    @classmethod
    def build(cls, texts: Iterable[str], min_count: int = 1, max_size: int | None = None, *, unknown: str | None = "<unk>",
              tokenize: Callable[[str], list[str]] | None = None) -> Vocabulary:
        """Count the words of a text, and give the most frequent the lowest ids.

        Parameters
        ----------
        texts : str or iterable of str, or iterable of lists of words
            What is counted.
        min_count : int, default 1
            Words that occur less often are unknown.
        max_size : int, optional
            Keep at most so many ids, the unknown word's among them. Words of equal count are taken in alphabetical
            order.
        unknown, tokenize
            As in the constructor. The unknown word gets the id 0.

        Returns
        -------
        Vocabulary

        Raises
        ------
        ValueError
            If a parameter is out of range.
        """
        if min_count < 1:
            raise ValueError(f"min_count must be at least 1, got {min_count!r}")
        if max_size is not None and max_size < 1:
            raise ValueError(f"max_size must be at least 1, got {max_size!r}")
        split = tokenize or split_words
        counts: collections.Counter[str] = collections.Counter()
        for text in [texts] if isinstance(texts, str) else texts:
            counts.update(split(text) if isinstance(text, str) else text)
        counts.pop(unknown, None)  # type: ignore[arg-type]
        words = sorted((word for word, count in counts.items() if count >= min_count),
                       key=lambda word: (-counts[word], word))
        if max_size is not None:
            words = words[: max_size - (unknown is not None)]
        return cls(words, unknown, tokenize)

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: object) -> bool:
        return word in self._ids

    def encode(self, text: str | Sequence[str]) -> np.ndarray:
        """Ids of a text, or of a list of words.

        Parameters
        ----------
        text : str or iterable of str
            A string is split by `tokenize`.

        Returns
        -------
        ndarray of int32
            One id for each word.

        Raises
        ------
        ValueError
            If a word is not in the vocabulary and there is no unknown word.
        """
        words = self.tokenize(text) if isinstance(text, str) else list(text)
        ids = np.fromiter((self._ids.get(word, -1) for word in words), np.int32, len(words))
        missing = ids < 0
        if missing.any():
            if self.unknown_id is None:
                raise ValueError(f"{words[int(np.flatnonzero(missing)[0])]!r} is not in the vocabulary of "
                                 f"{len(self)} words, and there is no unknown word")
            ids[missing] = self.unknown_id
        return ids

    def decode(self, ids: Iterable[int]) -> list[str]:
        """Words of ids.

        Parameters
        ----------
        ids : array-like of int
            Ids of this vocabulary.

        Returns
        -------
        list of str

        Raises
        ------
        ValueError
            If an id is out of range.
        """
        ids = np.asarray(ids).ravel()
        bad = (ids < 0) | (ids >= len(self))
        if bad.any():
            raise ValueError(f"id {ids[bad][0]} is out of range; expected 0 to {len(self) - 1}")
        return [self.words[i] for i in ids.tolist()]
