"""Data larger than memory: mapped arrays and chunks give what the whole in memory gives."""

import gzip

import numpy as np
import pytest
import scipy.sparse as sp

from mongoose_nb import data
from mongoose_nb.core import files as io

TEXT = b"5 9 6\n0,3 0:1 4:0.5 8:-2e-3\n 1:1\n\n5 2:1.5 3:1 7:12345.678\n1,2,4 \n"


def whole(chunks):
    parts = list(chunks)
    return (sp.vstack([X for X, _ in parts], "csr"), sp.vstack([Y for _, Y in parts], "csr")), len(parts)


def assert_same(found, expected):
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape
        for part in ("indptr", "indices", "data"):
            np.testing.assert_array_equal(getattr(a, part), getattr(b, part))


class TestChunks:
    @pytest.mark.parametrize("size", [1, 20, 50, 10**6])
    @pytest.mark.parametrize("end", [b"", b"\n", b"\n\n \n", None], ids=["", "newline", "blank lines", "none"])
    @pytest.mark.parametrize("packed", [False, True])
    def test_they_are_the_file(self, tmp_path, size, end, packed):
        text = TEXT[:-1] if end is None else TEXT + end
        (tmp_path / "f").write_bytes(gzip.compress(text) if packed else text)
        chunks = data.XCChunks(tmp_path / "f", chunk_bytes=size)
        assert (chunks.n_rows, chunks.n_features, chunks.n_labels) == (5, 9, 6)
        for _ in range(2):  # they begin anew
            found, n = whole(chunks)
            assert_same(found, data.read_xc(tmp_path / "f"))
            assert n == (5 if size == 1 else 1 if size == 10**6 else n)

    def test_a_larger_file(self, tmp_path):
        X = sp.random(500, 40, 0.1, format="csr", dtype=np.float32, random_state=0)
        Y = sp.random(500, 30, 0.05, format="csr", dtype=np.float32, random_state=1)
        Y.data[:] = 1
        data.write_xc(tmp_path / "f", X, Y)
        found, n = whole(data.XCChunks(tmp_path / "f", chunk_bytes=2000))
        assert n > 5
        assert_same(found, data.read_xc(tmp_path / "f"))

    @pytest.mark.parametrize("text, message", [
        (b"5 9 6\n0 0:1\n", "1 rows, but the first line says 5"), (b"1 9 6\n0 0:1\n1 1:1\n", "f"), (b"", "empty"), (b"x\n", "header"),
        (b"2 9 6\n0 0:1\n0 9:1\n", "line 3"), (b"2 9 6\n0 0:1\nz 1:1\n", "line 3"),
    ], ids=range(6))
    @pytest.mark.parametrize("size", [1, 10**6])
    def test_refusals(self, tmp_path, text, message, size):
        (tmp_path / "f").write_bytes(text)
        with pytest.raises(ValueError, match=message):
            list(data.XCChunks(tmp_path / "f", chunk_bytes=size))

    def test_a_broken_gzip_stream(self, tmp_path):
        (tmp_path / "f").write_bytes(gzip.compress(TEXT * 1000)[:-20])
        with pytest.raises(ValueError, match="gzip|rows"):
            list(data.XCChunks(tmp_path / "f", chunk_bytes=100))


class TestMapped:
    def test_round_trip(self, tmp_path):
        X = sp.random(50, 40, 0.1, format="csr", dtype=np.float32, random_state=0)
        Y = [[i % 7, 9] for i in range(50)]
        data.save_arrays(tmp_path / "f", X, Y)
        found = data.map_arrays(tmp_path / "f")
        assert_same(found, (data.check_X(X), data.check_Y(Y)))
        for matrix in found:
            assert not matrix.data.flags.writeable and not matrix.data.flags.owndata
            assert isinstance(_root(matrix.data), np.memmap) or type(_root(matrix.data)).__name__ == "mmap"

    def test_damage(self, tmp_path):
        X = sp.random(50, 40, 0.1, format="csr", dtype=np.float32, random_state=0)
        data.save_arrays(tmp_path / "f", X, np.arange(50))
        settings, arrays = io.load(tmp_path / "f", "dataset")
        for name, change in (("X.indices", lambda a: a + 40), ("X.indptr", lambda a: a[:-1]), ("X.data", lambda a: a * np.nan),
                             ("Y.indices", lambda a: a - 1), ("X.data", lambda a: a.astype("f8")), ("Y.data", lambda a: a * 2)):
            io.save(tmp_path / "f", "dataset", settings, {**arrays, name: change(arrays[name])})
            with pytest.raises(io.FormatError):
                data.map_arrays(tmp_path / "f")
        io.save(tmp_path / "f", "dataset", {"shape": [50, 40]}, arrays)
        with pytest.raises(io.FormatError):
            data.map_arrays(tmp_path / "f")


def _root(array):
    while getattr(array, "base", None) is not None:
        array = array.base
    return array
