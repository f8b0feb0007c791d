"""shingles against a loop over the text."""

import gzip
import io
import pathlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mongoose_nb import find_duplicates, shingles
from mongoose_nb.search.sets import member_column

DIM = 2**24


def columns(parts):
    return sorted({member_column(part, DIM) for part in parts})


def rows(X):
    return [X.indices[a:b].tolist() for a, b in zip(X.indptr, X.indptr[1:])]


def test_words_and_characters():
    X = shingles(["The cat, the CAT!", "one", "", "a b c d"], 2)
    assert X.shape == (4, DIM) and X.dtype == np.float32 and (X.data == 1).all() and X.has_canonical_format
    assert rows(X) == [columns(["the cat", "cat the"]), columns(["one"]), [], columns(["a b", "b c", "c d"])]
    assert rows(shingles(["ab  cd\n", "ab"], 3, unit="chars")) == [columns(["ab ", "b c", " cd"]), columns(["ab"])]
    assert rows(shingles(["Ab ab"], 1, lowercase=False)) == [columns(["Ab", "ab"])]
    assert rows(shingles(["straße STRASSE"], 1)) == [columns(["strasse"])]
    assert shingles([]).shape == (0, DIM)


@given(st.text(max_size=40), st.integers(1, 5), st.sampled_from(["words", "chars"]))
def test_only_texts_of_nothing_are_empty(text, size, unit):
    X = shingles([text, text + " x"], size, unit=unit)
    assert X[1].nnz and X.indices.max() < DIM and (X[0].nnz > 0 or not text.strip() or unit == "words")


def test_files(tmp_path):
    texts = ["the cat sat on the mat", "größer als", ""]
    lines = tmp_path / "lines.txt"
    lines.write_text("\n".join(texts) + "\n", encoding="utf-8-sig")
    packed = tmp_path / "lines.gz"
    packed.write_bytes(gzip.compress("\r\n".join(texts).encode()))
    files = [tmp_path / f"{i}.txt" for i in range(3)]
    for file, text in zip(files, texts):
        file.write_text(text, encoding="utf-8")
    want = rows(shingles(texts))
    assert rows(shingles(lines)) == rows(shingles(files)) == rows(shingles(io.StringIO("\n".join(texts) + "\n"))) == want
    assert rows(shingles(packed))[:2] == want[:2]
    (tmp_path / "latin").write_bytes("größer als".encode("latin-1"))
    with pytest.raises(ValueError, match=r"latin.*encoding"):
        shingles(tmp_path / "latin")
    assert rows(shingles(tmp_path / "latin", encoding="latin-1")) == want[1:2]


def test_errors():
    for wrong in ("a text", b"a text"):
        with pytest.raises(TypeError, match="list of strings"):
            shingles(wrong)
    with pytest.raises(TypeError, match=r"texts\[1\]"):
        shingles(["a", None])
    for arguments in ({"size": 0}, {"unit": "lines"}, {"dim": 2**31}):
        with pytest.raises(ValueError):
            shingles(["a"], **arguments)
    with pytest.raises(FileNotFoundError):
        shingles(pathlib.Path("no such file"))


def test_near_duplicates_among_texts():
    texts = ["mongoose_nb trains very wide layers on CPUs by hashing"] * 2 + ["and it finds the nearest neighbours of rows"]
    assert find_duplicates(shingles(texts), 0.9).pairs.tolist() == [[0, 1]]
