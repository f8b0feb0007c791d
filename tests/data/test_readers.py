"""What all readers promise: canonical CSR in float32 with int32 ids, labels as ones, and the same matrices from every format."""

import gzip

import numpy as np
import pytest
from scipy import sparse

from mongoose_nb import data

X = sparse.csr_matrix(np.array([[0, 1.5, 0, 2], [3, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0.25, 1]], np.float32))
Y = sparse.csr_matrix(np.array([[1, 0, 1], [0, 1, 0], [1, 0, 0], [0, 0, 0]], np.float32))
NOTHING = sparse.csr_matrix((4, 4), dtype=np.float32)
PAIRS = {"some of all": (X, Y), "no features": (NOTHING, sparse.csr_matrix(np.tri(4, 3, dtype=np.float32)))}


def lines(X, Y, svmlight=False, reverse=True):
    """Rows as text, ids from the last to the first."""
    for x, y in zip(X, Y, strict=True):
        step = -1 if reverse else 1
        yield (",".join(str(i) for i in y.indices[::step])
               + "".join(f" {i + svmlight}:{v!r}" for i, v in zip(x.indices[::step].tolist(), x.data[::step].tolist(), strict=True)))


def xc(path, X, Y):
    path.write_text("\n".join([f"{X.shape[0]} {X.shape[1]} {Y.shape[1]}", *lines(X, Y)]) + "\n")
    return data.read_xc(path)


def compressed(path, X, Y):
    path = path.with_suffix(".txt.gz")
    with gzip.open(path, "wt") as file:
        file.write("\n".join([f"{X.shape[0]} {X.shape[1]} {Y.shape[1]}", *lines(X, Y)]) + "\n")
    return data.read_xc(path)


def cached(path, X, Y):
    xc(path, X, Y)
    data.read_xc(path, cache=True, cache_dir=path.parent)
    return data.read_xc(path, cache=True, cache_dir=path.parent)


def written(path, X, Y):
    data.write_xc(path, X.astype(np.float64), Y.astype(np.int8))
    return data.read_xc(path)


def chunks(path, X, Y):
    xc(path, X, Y)
    parts = list(data.XCChunks(path, chunk_bytes=30))
    for pair in parts:
        check(*pair)
    return tuple(sparse.vstack(part, format="csr", dtype=np.float32) for part in zip(*parts))


def pair(path, X, Y):
    for matrix, name in ((X, "x"), (Y, "y")):
        text = [" ".join(f"{i}:{v!r}" for i, v in zip(row.indices.tolist(), row.data.tolist(), strict=True)) for row in matrix]
        path.with_suffix(f".{name}").write_text("\n".join([f"{matrix.shape[0]} {matrix.shape[1]}", *text]) + "\n")
    return data.read_xc_pair(path.with_suffix(".x"), path.with_suffix(".y"))


def svmlight(path, X, Y):
    path.write_text("\n".join(lines(X, Y, svmlight=True, reverse=False)) + "\n")
    return data.read_svmlight(path, X.shape[1], multilabel=True, n_labels=Y.shape[1], zero_based=False)


def npz(path, X, Y):
    X, Y = X.astype(np.float64), Y.astype(np.int64)
    np.savez(path.with_suffix(".npz"), fptr=X.indptr.astype(np.int64), feat=X.indices.astype(np.int64), val=X.data,
             lptr=Y.indptr.astype(np.int64), lab=Y.indices.astype(np.int64), shape=np.array([*X.shape, Y.shape[1]]))
    return data.read_npz(path.with_suffix(".npz"))


def mapped(path, X, Y):
    data.save_arrays(path, X.astype(np.float64), Y.astype(np.int32))
    return data.map_arrays(path)


def by_name(path, X, Y):
    xc(path, X, Y)
    return data.load_dataset(path)


READERS = [xc, compressed, cached, written, chunks, pair, svmlight, npz, mapped, by_name]


def check(X, Y):
    for matrix in (X, Y):
        assert matrix.format == "csr" and matrix.dtype == np.float32
        assert matrix.indices.dtype == np.int32 and matrix.indptr.dtype == np.int32
        assert len(matrix.data) == len(matrix.indices) == matrix.indptr[-1]
        for row in range(matrix.shape[0]):
            assert (np.diff(matrix.indices[matrix.indptr[row]:matrix.indptr[row + 1]]) > 0).all()
    assert (Y.data == 1).all()
    assert data.check_X(X) is X and data.check_Y(Y) is Y, "what a reader gives is canonical: a check makes no copy"


@pytest.mark.parametrize("what", PAIRS)
@pytest.mark.parametrize("reader", READERS)
def test_the_same_from_all(reader, what, tmp_path):
    X, Y = PAIRS[what]
    got = reader(tmp_path / "data.txt", X, Y)
    check(*got)
    for matrix, want in zip(got, (X, Y), strict=True):
        assert matrix.shape == want.shape
        np.testing.assert_array_equal(matrix.toarray(), want.toarray())


def test_demo_and_sequences():
    X, Y, *_ = data.load_demo()
    check(X, Y)
    check(*data.sessions_to_xc([[1, 2, 3], [3, 1]], 5)[:2])
