"""Features of texts: words and their tf-idf, with a vocabulary that is learned from the training texts and saved with the network.

::

    step = TextFeatures().fit(texts)
    rows = step.transform(more_texts)      CSR float32
"""

from __future__ import annotations

import collections
import re
import zlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from mongoose_nb.core.registry import Registered, register
from mongoose_nb.core.saving import Stateful
from mongoose_nb.core.validation import check_int
from mongoose_nb.nn.features import TfIdf
from mongoose_nb.nn.label_names import pack_strings, unpack_strings

if TYPE_CHECKING:
    import scipy.sparse as sp

_WORD = re.compile(r"\w+")


def is_texts(X: Any, *, expected: bool = False) -> bool:
    """Whether X is meant as texts; `check_texts` then tells whether it is.

    Parameters
    ----------
    X : object
        A string, or a one-dimensional list, tuple, array or data-frame column that holds a string, is so meant.
    expected : bool
        Whether texts are what a model takes: then all that has one dimension is so meant, also what is empty.

    Returns
    -------
    bool
    """
    if isinstance(X, str | bytes):
        return True
    if hasattr(X, "__array__") and not isinstance(X, np.ndarray) and not hasattr(X, "nnz"):
        X = np.asarray(X)  # a column of a data frame
    if isinstance(X, np.ndarray):
        if X.ndim != 1:
            return False
        return expected or X.dtype.kind in "UST" or X.dtype == object and any(isinstance(text, str | bytes) for text in X.tolist())
    if not isinstance(X, list | tuple):
        return expected and isinstance(X, Iterable) and not hasattr(X, "shape")
    if expected:
        return not any(hasattr(row, "__len__") and not isinstance(row, str | bytes) for row in X)
    return any(isinstance(text, str | bytes) for text in X)


def check_texts(texts: Any) -> list[str]:
    """Texts as a list of strings.

    Parameters
    ----------
    texts : sequence of str
        A single string is one text.

    Returns
    -------
    list of str

    Raises
    ------
    ValueError, TypeError
        If there is none, or one is not a string; the message says which.
    """
    if isinstance(texts, str):
        return [texts]
    if isinstance(texts, bytes):
        texts = [texts]
    if not isinstance(texts, Iterable):
        raise TypeError(f"expected a list of texts; got {type(texts).__name__}")
    texts = list(texts)
    if not texts:
        raise ValueError("there are no texts")
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            more = "decode it" if isinstance(text, bytes) else "replace missing texts by ''"
            raise TypeError(f"text {row} is {text!r:.60}, of type {type(text).__name__}; expected a string ({more})")
    return [str(text) for text in texts]


class TextFeatureStep(Registered, Stateful, kind="text features"):
    """Base of steps that turn texts into rows of numbers. A step of your own overrides `fit` and `transform`, sets `n_features`, and names
    in `saved_state` what it learned."""

    saved_state = ("n_features",)
    #: number of columns, 0 before `fit`
    n_features = 0

    def fit(self, texts: Iterable[str]) -> TextFeatureStep:
        """Learn from training texts; returns the step itself."""
        raise NotImplementedError  # abstract

    def transform(self, texts: Iterable[str]) -> sp.csr_matrix:
        """Rows (n, n_features), CSR float32, of texts."""
        raise NotImplementedError  # abstract


@register("text features", "words")
class TextFeatures(TextFeatureStep):
    """tf-idf of the words of a text, in rows of length one: the logarithm of 1 + count, times the inverse document frequency.

    A word is a run of letters, digits and underscores, in lower case.

    Parameters
    ----------
    ngrams : int
        Longest run of words that is a feature of its own.
    min_rows : int
        Words of fewer training texts are left out.
    most : int
        Features to keep: those of the most training texts.
    hashed : int, optional
        Hash words into so many columns instead of keeping a vocabulary: for more words than fit in memory. Words may then share a column,
        `min_rows` and `most` do not apply, and every word of a new text counts.

    Attributes
    ----------
    n_features : int
    words : list of str
        The words by column; empty where they are hashed.
    """

    saved_state = ("n_features", "_packed", "_tfidf")
    resizable = ("_packed",)

    def __init__(self, ngrams: int = 1, *, min_rows: int = 1, most: int = 1 << 18, hashed: int | None = None) -> None:
        self.ngrams = check_int("ngrams", ngrams, low=1, high=10)
        self.min_rows = check_int("min_rows", min_rows, low=1)
        self.most = check_int("most", most, low=1, high=2**31 - 2)
        self.hashed = None if hashed is None else check_int("hashed", hashed, low=1, high=2**31 - 2)
        self._packed = pack_strings([])
        self._ids: dict[str, int] = {}
        self._tfidf = TfIdf(sublinear=True)

    @property
    def words(self) -> list[str]:
        """The words by column."""
        return list(self._ids)

    def fit(self, texts: Iterable[str]) -> TextFeatures:
        """Learn vocabulary and document frequencies.

        Parameters
        ----------
        texts : sequence of str

        Returns
        -------
        TextFeatures
            self

        Raises
        ------
        ValueError, TypeError
            If a text is not a string, or no text has a word that is kept.
        """
        texts = check_texts(texts)
        if self.hashed is None:
            counts: collections.Counter[str] = collections.Counter()
            for text in texts:
                counts.update(set(self._terms(text)))
            kept = sorted((word for word, n in counts.items() if n >= self.min_rows), key=lambda word: (-counts[word], word))[:self.most]
            if not kept:
                raise ValueError(f"no word occurs in {self.min_rows} of the {len(texts)} texts: lower min_rows, or look at the texts, of "
                                 f"which the first is {texts[0][:60]!r}")
        else:
            kept = []
        self._set_words(kept)
        self._packed = pack_strings(kept)
        self._tfidf.fit(self._counts(texts))
        return self

    def transform(self, texts: Iterable[str]) -> sp.csr_matrix:
        """tf-idf of texts; words that no training text had are left out.

        Parameters
        ----------
        texts : sequence of str

        Returns
        -------
        (n, n_features) CSR float32

        Raises
        ------
        ValueError, TypeError
            Before `fit`, or where a text is not a string.
        """
        if not self.n_features:
            raise ValueError(f"{self!r} is not fitted: call fit first")
        return self._tfidf.transform(self._counts(check_texts(texts)))

    def _set_words(self, words):
        self._ids = {word: i for i, word in enumerate(words)}
        self.n_features = len(words) if self.hashed is None else self.hashed

    def _terms(self, text) -> Iterator[str]:
        words = _WORD.findall(text.lower())
        yield from words
        for n in range(2, self.ngrams + 1):
            for i in range(len(words) - n + 1):
                yield " ".join(words[i:i + n])

    def _columns(self, text):
        if self.hashed is not None:
            return [zlib.crc32(word.encode("utf-8", "surrogatepass")) % self.hashed for word in self._terms(text)]
        get = self._ids.get
        return [column for word in self._terms(text) if (column := get(word, -1)) >= 0]

    def _counts(self, texts):
        """Counts of the words of texts, as canonical CSR."""
        import scipy.sparse as sp

        rows = [np.unique(np.array(self._columns(text), np.int32), return_counts=True) for text in texts]
        start = np.concatenate([[0], np.cumsum([len(columns) for columns, _ in rows])])
        columns = np.concatenate([columns for columns, _ in rows])
        counts = np.concatenate([counts for _, counts in rows]).astype(np.float32)
        return sp.csr_matrix((counts, columns, start), shape=(len(texts), self.n_features))

    def state_restored(self) -> None:
        """Make the table of words from the saved ones."""
        words = unpack_strings(self._packed)
        if not all(isinstance(word, str) for word in words) or len(set(words)) != len(words):
            raise ValueError("the saved vocabulary has a word twice, or something that is no word")
        saved = self.n_features
        self._set_words(words)
        if self.n_features != saved or self._tfidf.n_features != saved:
            raise ValueError(f"the saved vocabulary has {self.n_features} columns, its frequencies {self._tfidf.n_features}; "
                             f"needed are {saved}")
