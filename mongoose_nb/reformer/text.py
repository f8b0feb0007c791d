"""Characters as tokens."""

from __future__ import annotations

import collections
from collections.abc import Iterable

import numpy as np

#: what `decode` gives for a character that is not in the alphabet
UNKNOWN = "\ufffd"


class Characters:
    """An alphabet: token 0 is every other character.

    Parameters
    ----------
    alphabet : str
        Characters of the tokens 1, 2, ...
    """

    def __init__(self, alphabet: str) -> None:
        self.alphabet = alphabet
        self._token = {c: i + 1 for i, c in enumerate(alphabet)}

    def __len__(self) -> int:
        return len(self.alphabet) + 1

    @classmethod
    def of(cls, text: str, n_tokens: int | None = None) -> Characters:
        """The characters of a text, the most frequent first; the n_tokens - 1 most frequent of them."""
        counts = sorted(collections.Counter(text).items(), key=lambda pair: (-pair[1], pair[0]))
        return cls("".join(c for c, _ in counts)[: None if n_tokens is None else n_tokens - 1])

    def encode(self, text: str) -> np.ndarray:
        """Tokens, int32."""
        return np.array([self._token.get(c, 0) for c in text], np.int32)

    def decode(self, tokens: Iterable[int]) -> str:
        """Text."""
        return "".join(self.alphabet[t - 1] if t else UNKNOWN for t in tokens)
