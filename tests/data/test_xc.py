"""The repository's text format: round trips, a naive parser as oracle, and damage of every kind."""

import gzip
import re

import numba
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from mongoose_nb.data import read_xc, read_xc_four, read_xc_pair, write_xc
from mongoose_nb.data import xc as xc_module
from mongoose_nb.data.xc import _parse_xc

NUMBER = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?"


class Bad(Exception):
    """What the naive parser raises: the line of the first fault."""


def naive(data):
    """Rows as (set of labels, {feature: value}), by regular expressions; `data` has a good header."""
    lines = data.decode("latin-1").split("\n")
    if lines[-1] == "":
        lines.pop()
    n, d, n_labels = map(int, lines.pop(0).split())
    while len(lines) > n and not lines[-1].strip(" \t\r\n"):
        lines.pop()
    if len(lines) != n:
        raise Bad(min(n, len(lines)) + 2)
    rows = []
    for number, line in enumerate(lines, 2):
        line = line[:-1] if line.endswith("\r") else line
        match = re.fullmatch(rf"((?:[0-9]+(?:,[0-9]+)*)?)((?:[ \t]+[0-9]+:{NUMBER})*)[ \t]*", line, re.ASCII)
        if not match:
            raise Bad(number)
        labels = {int(v) for v in match[1].split(",")} if match[1] else set()
        features = {}
        for token in match[2].split():
            i, v = token.split(":")
            with np.errstate(over="ignore"):
                v = np.float32(float(v))
            if int(i) >= d or not np.isfinite(v):
                raise Bad(number)
            features[int(i)] = features.get(int(i), 0) + float(v)
        if any(label >= n_labels for label in labels):
            raise Bad(number)
        rows.append((labels, features))
    for number, (_, features) in enumerate(rows, 2):
        if any(abs(v) > np.finfo(np.float32).max for v in features.values()):
            raise Bad(number)
    return rows


def assert_same(X, Y, rows):
    assert X.shape[0] == Y.shape[0] == len(rows)
    for r, (labels, features) in enumerate(rows):
        mine = slice(X.indptr[r], X.indptr[r + 1])
        assert X.indices[mine].tolist() == sorted(features)
        np.testing.assert_allclose(X.data[mine], [features[i] for i in sorted(features)], rtol=1e-6, atol=1e-37)
        assert Y.indices[Y.indptr[r] : Y.indptr[r + 1]].tolist() == sorted(labels)
    assert (Y.data == 1).all()


def assert_canonical(M):
    assert M.format == "csr" and M.data.dtype == np.float32 and M.indices.dtype == M.indptr.dtype == np.int32
    fresh = sp.csr_matrix((M.data, M.indices, M.indptr), shape=M.shape)
    fresh.check_format(full_check=True)
    assert fresh.has_canonical_format


def assert_equal(A, B):
    assert A.shape == B.shape
    for part in ("indptr", "indices", "data"):
        a, b = getattr(A, part), getattr(B, part)
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def random_set(rng, n=60, d=50, n_labels=20):
    X = sp.random(n, d, 0.1, "csr", np.float32, random_state=rng)
    Y = sp.random(n, n_labels, 0.1, "csr", np.float32, random_state=rng)
    Y.data[:] = 1
    for M in (X, Y):
        M.sum_duplicates()
    return X, Y


FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)


@st.composite
def data_sets(draw):
    d, n_labels = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    rows = draw(st.lists(st.tuples(st.sets(st.integers(0, n_labels - 1), max_size=5),
                                   st.dictionaries(st.integers(0, d - 1), FINITE, max_size=6)), min_size=1, max_size=8))
    return d, n_labels, rows


@settings(deadline=None, max_examples=80)
@given(data_sets(), st.booleans())
def test_round_trip(tmp_path_factory, case, packed):
    d, n_labels, rows = case
    indptr = np.cumsum([0] + [len(f) for _, f in rows])
    X = sp.csr_matrix(([v for _, f in rows for _, v in sorted(f.items())], [i for _, f in rows for i in sorted(f)],
                       indptr),
                      shape=(len(rows), d), dtype=np.float32)
    Y = sp.csr_matrix((np.ones(sum(len(s) for s, _ in rows), np.float32), [i for s, _ in rows for i in sorted(s)],
                       np.cumsum([0] + [len(s) for s, _ in rows])), shape=(len(rows), n_labels))
    path = tmp_path_factory.mktemp("xc") / ("set.txt.gz" if packed else "set.txt")
    write_xc(path, X, Y)
    X2, Y2 = read_xc(path)
    assert_equal(X, X2)
    assert_equal(Y, Y2)
    assert_canonical(X2)
    assert_canonical(Y2)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


BASE = (b"6 12 7\n1,2 0:1 3:0.5 11:-2e-3\n 4:1.25 5:7\n3\n \n6,0,6 9:1 2:2 9:0.5\n5 1:3.25\n")
ALPHABET = [bytes([c]) for c in b" ,:\n\r\t0123456789.eE+-anif#\x00\xff"]


@settings(deadline=None, max_examples=500)
@given(st.lists(st.tuples(st.sampled_from("rid"), st.integers(0, len(BASE)), st.sampled_from(ALPHABET)), max_size=4),
       st.sampled_from([1, 5, 17, 1 << 20]))
def test_damaged_files_read_as_the_naive_parser_does_or_name_its_line(edits, chunk_bytes):
    head = BASE.index(b"\n") + 1
    data = BASE
    for kind, at, byte in edits:
        at = head + at % max(1, len(data) - head)
        if kind == "d":
            data = data[:at] + data[at + 1 :]
        else:
            data = data[:at] + byte + data[at + (kind == "r") :]
    try:
        rows = naive(data)
    except Bad as fault:
        with pytest.raises(ValueError, match=rf"^set\.txt, line {fault.args[0]}: "):
            _parse_xc("set.txt", data, chunk_bytes)
    else:
        assert_same(*_parse_xc("set.txt", data, chunk_bytes), rows)


def test_base_case_by_hand():
    X, Y = _parse_xc("x", BASE)
    right = np.zeros((6, 12), np.float32)
    right[0, [0, 3, 11]] = 1, 0.5, -2e-3
    right[1, [4, 5]] = 1.25, 7
    right[4, [2, 9]] = 2, 1.5
    right[5, 1] = 3.25
    np.testing.assert_array_equal(X.toarray(), right)
    assert [Y.indices[a:b].tolist() for a, b in zip(Y.indptr, Y.indptr[1:])] == [[1, 2], [], [3], [], [0, 6], [5]]
    assert_canonical(X)
    assert_canonical(Y)


@pytest.mark.parametrize("variant", [
    BASE.replace(b"\n", b"\r\n"), BASE[:-1], BASE.replace(b"\n", b"\r\n")[:-1], BASE.replace(b"\n", b"\r\n")[:-2],
    BASE + b"\n\r\n  \n", BASE.replace(b"\n \n", b"\n\n"), BASE.replace(b" ", b"\t").replace(b"6\t12\t7", b"6 12 7"),
    BASE.replace(b" 4:1.25", b"   4:1.25\t").replace(b"3.25\n", b"3.25  \n"), gzip.compress(BASE, mtime=0),
    gzip.compress(BASE[:40], mtime=0) + gzip.compress(BASE[40:], mtime=0),
])
def test_tolerated_variants(tmp_path, variant):
    path = tmp_path / "set.txt"
    path.write_bytes(variant)
    for ours, right in zip(read_xc(path), _parse_xc("x", BASE)):
        assert_equal(ours, right)


@pytest.mark.parametrize("chunk_bytes", [1, 2, 3, 64, 1000])
def test_chunks_and_threads_do_not_matter(chunk_bytes, tmp_path):
    X, Y = random_set(np.random.default_rng(3))
    write_xc(tmp_path / "a.txt", X, Y)
    data = (tmp_path / "a.txt").read_bytes()
    threads = numba.get_num_threads()
    try:
        for n in {1, threads}:
            numba.set_num_threads(n)
            X2, Y2 = _parse_xc("a", data, chunk_bytes)
            assert_equal(X, X2)
            assert_equal(Y, Y2)
    finally:
        numba.set_num_threads(threads)


def test_unsorted_rows_are_the_same_for_any_chunks():
    rng = np.random.default_rng(4)
    lines = []
    for _ in range(50):
        features = [f"{i}:{v:.7g}" for i, v in zip(rng.integers(0, 30, 40), rng.random(40))]
        lines.append(",".join(map(str, rng.integers(0, 9, 5))) + " " + " ".join(features))
    data = ("50 30 9\n" + "\n".join(lines) + "\n").encode()
    first = _parse_xc("a", data)
    assert_same(*first, naive(data))
    for chunk_bytes in (1, 300, 5000):
        for a, b in zip(first, _parse_xc("a", data, chunk_bytes)):
            assert_equal(a, b)


@pytest.mark.parametrize(("body", "line", "words"), [
    (b"1 2:1\n8 0:1\n", 3, "label id out of range in '8'"),
    (b"1 2:1\n1 12:1\n", 3, "feature id out of range in '12:1'; expected 0 to 11"),
    (b"1 2:1\n1 99999999999999999999999:1\n", 3, "feature id out of range"),
    (b"18446744073709551617 2:1\n1 1:1\n", 2, "label id out of range"),
    (b"1 2:nan\n1 1:1\n", 2, "NaN, infinite"),
    (b"1 2:-Inf\n1 1:1\n", 2, "NaN, infinite"),
    (b"1 2:1e39\n1 1:1\n", 2, "too large"),
    (b"1 2:3e38 2:3e38\n1 1:1\n", 2, "add up"),
    (b"1 2:1\n1 1:\n", 3, "no number"),
    (b"1 2:1\n1 1:0x10\n", 3, "no number"),
    (b"1 2:1\n1 1:1_0\n", 3, "no number"),
    (b"1 2:1\n1 1\n", 3, "malformed feature '1'"),
    (b"1 2:1\n1 -1:2\n", 3, "malformed feature '-1:2'"),
    (b"1 2:1\n2:1 3:1\n", 3, "starts with a space"),
    (b"1, 2:1\n1 1:1\n", 2, "malformed labels '1,'"),
    (b"1,,2 2:1\n1 1:1\n", 2, "malformed labels"),
    (b"1.5 2:1\n1 1:1\n", 2, "malformed labels"),
    (b"1 2:1\n", 3, "ends after 1 rows, the header says 2"),
    (b"", 2, "ends after 0 rows"),
    (b"1 2:1\n1 2:1\n1 2:1\n", 4, "more rows than the 2"),
])
def test_errors_name_file_line_and_reason(tmp_path, body, line, words):
    path = tmp_path / "broken.txt"
    path.write_bytes(b"2 12 8\n" + body)
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        read_xc(path)
    assert str(caught.value).startswith(f"{path}, line {line}: ")


def test_long_tokens_are_cut_in_errors():
    with pytest.raises(ValueError) as caught:
        _parse_xc("x", b"1 5 5\n1 " + b"9" * 100_000 + b":1\n")
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("head", [
    b"5 5", b"a b c", b"5 5 5 5", b"-1 5 5", b"5 5 5.0", b"1:1 2:2 3:3", b"1 5 3000000000",
])
def test_wrong_header(head):
    with pytest.raises(ValueError, match="^x, line 1: "):
        _parse_xc("x", head + b"\n1 1:1\n")


@pytest.mark.parametrize("data", [b"", b"\n", b" \r\n"])
def test_empty_file(tmp_path, data):
    for name, content in (("a.txt", data), ("b.gz", gzip.compress(data))):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"{name}: the file is empty"):
            read_xc(tmp_path / name)


def test_no_rows_and_no_columns():
    X, Y = _parse_xc("x", b"0 4 5\n")
    assert X.shape == (0, 4) and Y.shape == (0, 5)
    X, Y = _parse_xc("x", b"2 0 0\n \n \n")
    assert X.shape == (2, 0) and Y.shape == (2, 0)


@pytest.mark.parametrize("damage", [lambda b: b[:-9], lambda b: b[:30] + b"\x00\x01" + b[32:], lambda b: b[:12]])
def test_broken_gzip(tmp_path, damage):
    path = tmp_path / "a.txt.gz"
    path.write_bytes(damage(gzip.compress(BASE * 50)))
    with pytest.raises(ValueError, match="gzip"):
        read_xc(path)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_xc(tmp_path / "none.txt")


def test_write_is_reproducible_and_atomic(tmp_path, monkeypatch):
    X, Y = random_set(np.random.default_rng(8))
    write_xc(tmp_path / "a.txt.gz", X, Y)
    first = (tmp_path / "a.txt.gz").read_bytes()
    write_xc(tmp_path / "b.txt.gz", X, Y)
    assert first == (tmp_path / "b.txt.gz").read_bytes()
    with pytest.raises(ValueError, match="rows"):
        write_xc(tmp_path / "a.txt.gz", X[:5], Y)
    assert (tmp_path / "a.txt.gz").read_bytes() == first
    monkeypatch.setattr(xc_module, "_BLOCK_BYTES", 100)
    write_xc(tmp_path / "c.txt", X, Y)
    assert (tmp_path / "c.txt").read_bytes() == gzip.decompress(first)
    assert len(list(tmp_path.iterdir())) == 3


def write_matrix(path, M):
    rows = [M[r] for r in range(M.shape[0])]
    lines = [" ".join(f"{i}:{v:.9g}" for i, v in zip(row.indices, row.data)) for row in rows]
    text = f"{M.shape[0]} {M.shape[1]}\n" + "\n".join(lines) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


def test_four_files(tmp_path):
    rng = np.random.default_rng(6)
    X, Y = random_set(rng)
    X2, Y2 = random_set(rng, n=30)
    for name, M in (("trn_X_Xf.txt", X), ("trn_X_Y.txt.gz", Y), ("tst_X_Xf.txt", X2), ("tst_X_Y.txt", Y2)):
        write_matrix(tmp_path / name, M)
    for ours, right in zip(read_xc_four(tmp_path), (X, Y, X2, Y2)):
        assert_equal(ours, right)
    for ours, right in zip(read_xc_pair(tmp_path / "trn_X_Xf.txt", tmp_path / "trn_X_Y.txt.gz"), (X, Y)):
        assert_equal(ours, right)
    with pytest.raises(ValueError, match="60 rows.*30"):
        read_xc_pair(tmp_path / "trn_X_Xf.txt", tmp_path / "tst_X_Y.txt")
    with pytest.raises(ValueError, match=r"line \d+: label .* expected 0 or 1"):
        read_xc_pair(tmp_path / "trn_X_Xf.txt", tmp_path / "trn_X_Xf.txt")
    (tmp_path / "tst_X_Y.txt").unlink()
    with pytest.raises(FileNotFoundError, match="tst_X_Y.txt"):
        read_xc_four(tmp_path)


def test_pair_drops_zero_labels_and_rejects_label_lists(tmp_path):
    (tmp_path / "x").write_text("2 3\n0:1\n\n")
    (tmp_path / "y").write_text("2 3\n0:0 1:1\n2:1.0\n")
    X, Y = read_xc_pair(tmp_path / "x", tmp_path / "y")
    assert Y.toarray().tolist() == [[0, 1, 0], [0, 0, 1]] and X.nnz == 1
    (tmp_path / "y").write_text("2 3\n1,2\n2:1.0\n")
    with pytest.raises(ValueError, match="line 2: malformed feature '1,2'"):
        read_xc_pair(tmp_path / "x", tmp_path / "y")
