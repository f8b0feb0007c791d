"""npz data sets, and the function that finds the reader."""

import numpy as np
import pytest

from mongoose_nb.data import load_dataset, read_npz, write_xc

ARRAYS = {"fptr": np.array([0, 2, 2, 3]), "feat": np.array([3, 0, 1]), "val": np.array([1.5, 2, 3], np.float32),
          "lptr": np.array([0, 1, 3, 3]), "lab": np.array([1, 4, 0]), "shape": np.array([3, 4, 5])}
X_RIGHT = np.array([[2, 0, 0, 1.5], [0] * 4, [0, 3, 0, 0]])
Y_RIGHT = np.array([[0, 1, 0, 0, 0], [1, 0, 0, 0, 1], [0] * 5])


def test_read_npz(tmp_path):
    np.savez(tmp_path / "a.npz", **ARRAYS)
    for X, Y in (read_npz(tmp_path / "a.npz"), load_dataset(tmp_path / "a.npz")):
        np.testing.assert_array_equal(X.toarray(), X_RIGHT)
        np.testing.assert_array_equal(Y.toarray(), Y_RIGHT)
        assert X.indices.dtype == Y.indices.dtype == np.int32 and X.dtype == Y.dtype == np.float32
        assert X.has_canonical_format and Y.has_canonical_format


@pytest.mark.parametrize(("key", "value"), [
    ("feat", np.array([3, 0, 4])), ("feat", np.array([3, -1, 1])), ("fptr", np.array([0, 2, 1, 3])),
    ("fptr", np.array([0, 2, 3])),
    ("lab", np.array([1, 5, 0])), ("val", np.array([1.0, np.nan, 1])), ("val", np.array([1.0, 2])),
    ("shape", np.array([3, 4])),
    ("lptr", np.array([0, 1, 3, 4])), ("val", np.array([{}, 1, 2], object)),
])
def test_arrays_that_do_not_fit(tmp_path, key, value):
    np.savez(tmp_path / "a.npz", **{**ARRAYS, key: value})
    with pytest.raises(ValueError, match=r"a\.npz: "):
        read_npz(tmp_path / "a.npz")


def test_not_a_data_set(tmp_path):
    np.savez(tmp_path / "a.npz", x=1)
    (tmp_path / "b.npz").write_bytes(b"PK junk")
    np.save(tmp_path / "c.npy", np.ones(3))
    (tmp_path / "d.npz").write_bytes(b"")
    for name in ("a.npz", "b.npz", "c.npy", "d.npz"):
        with pytest.raises(ValueError, match="fptr"):
            read_npz(tmp_path / name)


def test_load_directory(tmp_path):
    write_xc(tmp_path / "train.txt.gz", X_RIGHT, Y_RIGHT)
    with pytest.raises(FileNotFoundError, match="test.npz"):
        load_dataset(tmp_path)
    np.savez(tmp_path / "test.npz", **ARRAYS)
    X, Y, X2, Y2 = load_dataset(tmp_path)
    assert (X != X2).nnz == 0 and (Y != Y2).nnz == 0
    write_xc(tmp_path / "train.txt", X_RIGHT[:, :3], Y_RIGHT)
    with pytest.raises(ValueError, match="3 features, the test set 4"):
        load_dataset(tmp_path)


def test_load_four_files(tmp_path):
    for part, entry in (("trn", "0:1"), ("tst", "1:1")):
        for matrix in ("Xf", "Y"):
            (tmp_path / f"{part}_X_{matrix}.txt").write_text(f"1 2\n{entry}\n")
    assert [M.indices.tolist() for M in load_dataset(tmp_path)] == [[0], [0], [1], [1]]
