"""Tables of texts and labels, as people have them, and files that are packed."""

import bz2
import gzip
import json
import lzma
import zipfile

import numpy as np
import pytest

from mongoose_nb.data import Columns, XCChunks, read_svmlight, read_texts, read_xc
from mongoose_nb.data._files import read_lines, split_lines
from mongoose_nb.data.text import read_table

CSV = 'id,Text,label\n1,"one, two\nthree ""four""",sport\n2,häß,"food"\n\n3,,\n'


def write(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


def test_csv(tmp_path):
    table = read_texts(write(tmp_path / "t.csv", CSV))
    assert table.texts == ['one, two\nthree "four"', "häß", ""] and table.labels == [["sport"], ["food"], []]
    assert table.columns == Columns("Text", "label", None)
    assert read_texts(tmp_path / "t.csv", labels=False).labels is None


@pytest.mark.parametrize("delimiter, name", [(";", "t.csv"), ("\t", "t.tsv"), ("\t", "t.csv")])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_dialects(tmp_path, delimiter, name, end, encoding):
    text = end.join(["text" + delimiter + "tags", "a b" + delimiter + "x|y| x ", "c" + delimiter + '"[""p"", ""q""]"'])
    assert read_texts(write(tmp_path / name, text, encoding), Columns(separator="|")).labels[0] == ["x", "y"]
    assert read_texts(tmp_path / name).labels == [["x|y| x"], ["p", "q"]]


def test_json_lines(tmp_path):
    rows = [{"title": "a", "body": "b", "tags": ["x", "y", "x"]}, {"title": "c", "body": None, "tags": None}, {"title": "d", "tags": 3.0}]
    path = write(tmp_path / "t.jsonl", "\n".join(map(json.dumps, rows)) + "\n\n", "utf-8-sig")
    table = read_texts(path, Columns(text="title,body"))
    assert table.texts == ["a b", "c ", "d "] and table.labels == [["x", "y"], [], ["3"]]
    assert read_texts(write(tmp_path / "t.json", json.dumps(rows)), Columns("title")).texts == ["a", "c", "d"]


def test_what_is_in_a_list_is_no_cell_of_several_labels(tmp_path):
    """The hint about separators is for cells; a label of a list may hold commas."""
    rows = [{"text": "a", "label": ["x, y", "z"]}, {"text": "b", "label": "p, q "}, {"text": "c", "label": '["r, s"]'},
            {"text": "d", "label": 3}, {"text": "e", "label": ""}, {"text": "f", "label": "[broken"}]
    path = write(tmp_path / "t.jsonl", "\n".join(map(json.dumps, rows)))
    table, cells = read_table(path)
    assert table == read_texts(path) and cells == ["p, q", "[broken"]
    assert read_table(path, Columns(separator=",")).cells == [] and read_table(path, labels=False).cells == []


def test_lines(tmp_path):
    assert read_texts(write(tmp_path / "t.txt", "a b\nc\n"), format="lines", labels=False).texts == ["a b", "c"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("last", [True, False])
def test_lines_end_at_line_feeds_alone(tmp_path, end, last):
    """A line separator or a form feed inside a text is part of it: a text on each line stays one for each line."""
    lines = ["a\u2028b", "c\x0cd", "", "e\x85f\x1cg", "\tlast "]
    path = write(tmp_path / "t.txt", end.join(lines) + end * last, "utf-8-sig")
    assert read_texts(path, format="lines", labels=False).texts == lines
    assert read_lines(path) == lines and split_lines("") == []
    with pytest.raises(ValueError, match="line 2: not UTF-8"):
        read_lines(write(tmp_path / "t.txt", "a\nä", "latin-1"))


def test_missing_labels_of_json(tmp_path):
    rows = [{"text": "a", "label": float("nan")}, {"text": "b", "label": [None, "x", float("nan")]}, {"text": "c", "label": ""}]
    path = write(tmp_path / "t.jsonl", "\n".join(map(json.dumps, rows)))
    assert read_texts(path).labels == [[], ["x"], []]


@pytest.mark.parametrize("name, content, columns, words", [
    ("t.csv", "text,label\na\n", None, ("line 2", "1 cells", "2 columns")),
    ("t.csv", "a,b\n1,2\n", None, ("which column holds the text", "'a', 'b'", "--text-column")),
    ("t.csv", "text,b\n1,2\n", None, ("which column holds the label",)),
    ("t.csv", "text,label,label\n1,2,3\n", None, ("2 columns 'label'", "a name of its own")),
    ("t.csv", "text,b\n1,2\n", Columns("txt", "b"), ("no column 'txt'", "'text', 'b'")),
    ("t.csv", "text,b\n1,2\n", Columns("text", "c"), ("no column 'c'",)),
    ("t.csv", "text,label\n", None, ("no rows",)),
    ("t.csv", "", None, ("empty",)),
    ("t.csv", 'text,label\na,b\n"c,d\n', None, ("line 3",)),
    ("t.jsonl", '{"text": "a", "label": "b"}\n{"text"\n', None, ("line 2", "not JSON")),
    ("t.jsonl", '{"text": "a", "label": "b"}\n3\n', None, ("line 2", "got a int")),
    ("t.jsonl", '{"text": 3, "label": "b"}\n', None, ("line 1", "'text' is '3'", "string")),
    ("t.jsonl", '{"text": "a", "label": {"b": 1}}\n', None, ("line 1", "a dict")),
    ("t.txt", "a", None, ("give the format",)),
])
def test_errors(tmp_path, name, content, columns, words):
    with pytest.raises(ValueError) as caught:
        read_texts(write(tmp_path / name, content), columns)
    for word in (name, *words):
        assert word in str(caught.value)


def test_encodings(tmp_path):
    with pytest.raises(ValueError, match="line 2: not UTF-8"):
        read_texts(write(tmp_path / "t.csv", "text,label\nä,b\n", "latin-1"))
    with pytest.raises(ValueError, match="UTF-16: save it as UTF-8"):
        read_texts(write(tmp_path / "t.csv", "text,label\nä,b\n", "utf-16"))


# ---------------------------------------------------------------------- how files are packed

XC = b"2 3 2\n0,1 0:1 2:0.5\n1 1:2\n"


def zipped(data, names=("a.txt",)):
    import io

    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(name, data)
    return out.getvalue()


PACKED = {"plain": lambda d: d, "gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress, "zip": zipped}


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("kind", PACKED)
def test_packed_files(tmp_path, kind, bom):
    """The same arrays, whatever the name of the file is; in chunks, too."""
    (tmp_path / "a.dat").write_bytes(PACKED[kind](bom + XC))
    X, Y = read_xc(tmp_path / "a.dat")
    assert X.toarray().tolist() == [[1, 0, 0.5], [0, 2, 0]] and Y.toarray().tolist() == [[1, 1], [0, 1]]
    ((Z, _),) = XCChunks(tmp_path / "a.dat")
    assert (Z != X).nnz == 0
    (tmp_path / "b.dat").write_bytes(PACKED[kind](bom + b"3 1:2\n"))
    assert read_svmlight(tmp_path / "b.dat")[1] == [3]
    (tmp_path / "c.csv").write_bytes(PACKED[kind](bom + b"text,label\na,b\n"))
    assert read_texts(tmp_path / "c.csv").texts == ["a"]


@pytest.mark.parametrize("content, message", [
    (bz2.compress(XC)[:-5], "bzip2 stream is broken"), (lzma.compress(XC)[:-5], "xz stream is broken"),
    (zipped(XC)[:-9], "zip stream is broken"),
    (gzip.compress(XC, mtime=0)[:-5], "gzip stream is broken"), (zipped(XC, ("a", "b")), "zip archive of 2 files .a, b."),
    (b"\x28\xb5\x2f\xfd123", "packed with zstd: unpack it first"), (b"7z\xbc\xaf\x27\x1c12", "packed with 7z")])
def test_packed_files_that_are_refused(tmp_path, content, message):
    (tmp_path / "a.dat").write_bytes(content)
    for read in (read_xc, read_svmlight, lambda path: list(XCChunks(path))):
        with pytest.raises(ValueError, match=message):
            read(tmp_path / "a.dat")


@pytest.mark.parametrize("label", ["+1", "-1", "1.0"])
def test_classes_in_a_file_of_labels(tmp_path, label):
    (tmp_path / "a").write_text(f"{label} 1:2\n")
    with pytest.raises(ValueError, match="read the file with multilabel=False"):
        read_svmlight(tmp_path / "a", multilabel=True)
    assert np.array_equal(read_svmlight(tmp_path / "a")[1], [float(label)])
