"""Data sets larger than memory: CSR arrays mapped from a file, and text files read chunk by chunk."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from mongoose_nb.core import files as io
from mongoose_nb.data._files import open_data
from mongoose_nb.data._parse import parse, read_header, to_csr
from mongoose_nb.data.indicator import check_Y
from mongoose_nb.data.validate import check_same_rows, check_X

if TYPE_CHECKING:
    import scipy.sparse as sp

    from mongoose_nb.core.types import Matrix, PathLike

KIND = "dataset"


def save_arrays(path: PathLike, X: Matrix, Y: Matrix) -> None:
    """Write a data set so that `map_arrays` can map it.

    Parameters
    ----------
    path : path-like
    X, Y
        As for `nn.Network.fit`.
    """
    X, Y = check_X(X), check_Y(Y)
    check_same_rows(X, Y)
    arrays = {f"{name}.{part}": getattr(matrix, part) for name, matrix in (("X", X), ("Y", Y)) for part in ("data", "indices", "indptr")}
    io.save(path, KIND, {"shape": [*X.shape, Y.shape[1]]}, arrays)


def map_arrays(path: PathLike) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """The data set that `save_arrays` wrote, its arrays mapped into memory: pages are read when they are needed.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    X, Y : scipy.sparse.csr_matrix
        Read-only matrices. Row pointers and ids are checked once, because kernels rely on them.

    Raises
    ------
    mongoose_nb.core.files.FormatError
        If the file is of another kind, or damaged.
    """
    import scipy.sparse as sp

    settings, arrays = io.load(path, KIND, mmap=True)
    try:
        n, d, labels = settings["shape"]
        out = []
        for name, columns in (("X", d), ("Y", labels)):
            data, indices, indptr = (arrays[f"{name}.{part}"] for part in ("data", "indices", "indptr"))
            if data.dtype != np.float32 or indices.dtype != indptr.dtype or indptr.dtype.kind != "i":
                raise ValueError(f"{name} has other types than were saved")
            matrix = sp.csr_matrix((data, indices, indptr), shape=(n, columns), copy=False)
            matrix.check_format(full_check=True)
            out.append(matrix)
        return check_X(out[0]), check_Y(out[1])
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise io.FormatError(f"{os.fspath(path)!r} is damaged: {error}") from error


class XCChunks:
    """A text in the format of the Extreme Classification Repository, a chunk of rows at a time: for data that do not fit in memory.

    Parameters
    ----------
    path : path-like
        Plain or compressed, as `read_xc` reads it.
    chunk_bytes : int
        Text of a chunk, about; its arrays take about as much.

    Attributes
    ----------
    n_rows, n_features, n_labels : int
        What the first line says.

    Examples
    --------
    ::

        chunks = data.XCChunks("train.txt")
        net = Network(chunks.n_features, chunks.n_labels)
        net.fit(chunks, epochs=3)
    """

    def __init__(self, path: PathLike, *, chunk_bytes: int = 1 << 26) -> None:
        self.path, self.chunk_bytes = os.fspath(path), max(1, int(chunk_bytes))
        with open_data(self.path) as file:
            (self.n_rows, self.n_features, self.n_labels), _ = self._header(file)

    def _header(self, file):
        return read_header(self.path, file.readline(1 << 16), ("rows", "features", "labels"))

    def __iter__(self) -> Iterator[tuple[sp.csr_matrix, sp.csr_matrix]]:
        from mongoose_nb.kernels.data import text

        rows_read = 0
        with open_data(self.path) as file:
            self._header(file)
            while True:
                block = file.read(self.chunk_bytes)
                if not block.endswith(b"\n"):
                    block += file.readline()
                if rows_read == self.n_rows and not block.strip():
                    return
                left = self.n_rows - rows_read
                if not block:
                    raise ValueError(f"{self.path}: {rows_read} rows, but the first line says {self.n_rows}")
                lines = block.count(b"\n") + (not block.endswith(b"\n"))
                last = lines >= left  # blank lines may follow
                rows = parse(self.path, block, 0, text.LABELS, n_rows=left if last else lines, n_features=self.n_features,
                             n_labels=self.n_labels, first_line=rows_read + 2)
                rows_read += left if last else lines
                yield (to_csr(self.path, rows["row_feats"], rows["ids"], rows["values"], self.n_features, rows["feats_sorted"]),
                       to_csr(self.path, rows["row_labels"], rows["labels"], None, self.n_labels, rows["labels_sorted"]))

    def mark(self) -> int:
        """A checksum of every byte of the file and of `chunk_bytes`; it reads the file once.

        `nn.Network.fit` compares it with the one in a checkpoint, so that an interrupted training is resumed on the same data only.

        Returns
        -------
        int
        """
        out = zlib.crc32(str(self.chunk_bytes).encode())
        with open(self.path, "rb") as file:
            while block := file.read(1 << 22):
                out = zlib.crc32(block, out)
        return out

    def __repr__(self):
        return f"XCChunks({self.path!r}, {self.n_rows:,} rows, {self.n_features:,} features, {self.n_labels:,} labels)"
