"""Shingles: texts as sets of their word or character sequences (Broder, 1997)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from mongoose_nb.core.types import PathLike
from mongoose_nb.core.validation import check_choice, check_int
from mongoose_nb.search.sets import HASHED, member_column

if TYPE_CHECKING:
    import scipy.sparse

_WORD = re.compile(r"\w+")
#: default lengths of a shingle
_SIZES = {"words": 3, "chars": 8}


def shingles(texts: Iterable[str | os.PathLike] | os.PathLike, size: int | None = None, *, unit: str = "words", lowercase: bool = True,
             dim: int = 2**24, encoding: str = "utf-8") -> scipy.sparse.csr_matrix:
    """Sets of the sequences of `size` words or characters that occur in texts.

    Parameters
    ----------
    texts : iterable of str or path, or path
        Of an iterable, a string is a text, and a `pathlib.Path` is a file that holds one text. One path alone is a file with a text on
        every line, as an open file is.
    size : int, optional
        Words or characters of a shingle; by default 3 words or 8 characters. Longer shingles make texts less similar. A text that is
        shorter is one shingle.
    unit : {"words", "chars"}
        Words are runs of letters, digits and underscores. Characters (q-grams) are those of the text with single blanks between words.
    lowercase : bool
        Whether case is ignored.
    dim : int
        Columns. Shingles are hashed to them, the same way in every process; two shingles meet in a column with probability 1 / dim.
    encoding : str
        Of files. A byte order mark is skipped.

    Returns
    -------
    CSR matrix of shape (n, dim), float32
        Ones, for `find_duplicates`, `DuplicateFinder` and ``LSHIndex("jaccard", dim)``. A text without words is an empty row.

    Raises
    ------
    TypeError, ValueError
        A string in place of a list of strings, or a file that is not in this encoding.

    Examples
    --------
    >>> from mongoose_nb import find_duplicates, shingles
    >>> texts = ["the cat sat on the mat today", "The cat sat on the mat, today!", "a dog barked at the moon"]
    >>> find_duplicates(shingles(texts), 0.8).pairs.tolist()
    [[0, 1]]
    """
    from scipy.sparse import csr_matrix

    unit = check_choice("unit", unit, tuple(_SIZES))
    size = _SIZES[unit] if size is None else check_int("size", size, low=1)
    dim = check_int("dim", dim, low=1, high=HASHED)
    columns, indptr, indices = {}, [0], []
    for text in _read(texts, encoding):
        parts = _parts(text.casefold() if lowercase else text, unit, size)
        new = parts - columns.keys()
        if len(columns) > 1 << 20:  # what is remembered saves time alone
            columns, new = {}, parts
        columns.update((part, member_column(part, dim)) for part in new)
        row = sorted({columns[part] for part in parts})
        indices.append(np.array(row, np.int32))
        indptr.append(indptr[-1] + len(row))
    joined = np.concatenate(indices) if indices else np.zeros(0, np.int32)
    return csr_matrix((np.ones(len(joined), np.float32), joined, np.array(indptr, np.int64)), shape=(len(indices), dim))


def _parts(text, unit, size):
    """The set of shingles of one text."""
    if unit == "words":
        words = _WORD.findall(text)
        return {" ".join(words[i:i + size]) for i in range(max(len(words) - size + 1, min(len(words), 1)))}
    text = " ".join(text.split())
    return {text[i:i + size] for i in range(max(len(text) - size + 1, min(len(text), 1)))}


def _read(texts, encoding) -> Iterator[str]:
    if isinstance(texts, str | bytes):
        raise TypeError(f"texts is one {type(texts).__name__}, {texts!r:.60}; give a list of strings, or pathlib.Path(...) for a file "
                        "with a text on every line")
    if isinstance(texts, os.PathLike):
        lines = _decoded(texts, encoding).replace("\r\n", "\n").split("\n")
        yield from lines[:-1] if not lines[-1] else lines
        return
    for place, text in enumerate(texts):
        if isinstance(text, os.PathLike):
            text = _decoded(text, encoding)
        if not isinstance(text, str):
            raise TypeError(f"texts[{place}] is {text!r:.60}; give strings, or paths of text files")
        yield text


def _decoded(path: PathLike, encoding):
    with open(path, "rb") as file:
        data = file.read()
    if data[:2] == b"\x1f\x8b":
        import gzip

        data = gzip.decompress(data)
    try:
        return data.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise ValueError(f"{os.fspath(path)!r} is not text in encoding {encoding!r} ({error.reason} at byte {error.start}); give "
                         "encoding=..., for instance 'latin-1'") from error
