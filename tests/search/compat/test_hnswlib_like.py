"""The face of hnswlib: its order, its signs, its errors."""

import pathlib

import naive_search as naive
import numpy as np
import pytest

from mongoose_nb import LSHIndex
from mongoose_nb.search.compat.hnswlib_like import HnswlibLike

X, Q = naive.data("l2", 300, 16), naive.data("l2", 10, 16, seed=1)
SQUARE = naive.distances("l2", Q, X) ** 2
PRODUCT = Q.astype(np.float64) @ X.T.astype(np.float64)


def test_hnswlib(tmp_path):
    index = HnswlibLike("l2", 16)
    index.init_index(max_elements=300, ef_construction=100, M=8)
    index.set_ef(50)
    index.add_items(X, np.arange(300))
    labels, distances = index.knn_query(Q, k=4)
    np.testing.assert_allclose(distances, np.sort(SQUARE, axis=1)[:, :4], rtol=1e-4)
    even = index.knn_query(Q, k=3, filter=lambda label: label % 2 == 0)
    assert (even[0] % 2 == 0).all()
    np.testing.assert_allclose(even[1], np.sort(SQUARE[:, ::2], axis=1)[:, :3], rtol=1e-4)
    index.add_items(Q[:1], [5])
    np.testing.assert_array_equal(index.get_items([5])[0], Q[0])
    index.mark_deleted(5)
    assert index.get_current_count() == 299 and 5 not in index.get_ids_list()
    with pytest.raises(RuntimeError, match="not found"):
        index.mark_deleted(5)
    with pytest.raises(RuntimeError, match="fewer than k"):
        index.knn_query(Q, k=300)
    index.save_index(tmp_path / "index")
    other = HnswlibLike("l2", 16)
    other.load_index(tmp_path / "index")
    np.testing.assert_array_equal(other.knn_query(Q, 3)[0], index.knn_query(Q, 3)[0])


@pytest.mark.parametrize("space", ["ip", "cosine"])
def test_hnswlib_spaces(space):
    index = HnswlibLike(space, 16)
    index.add_items(X)
    want = 1 - PRODUCT if space == "ip" else naive.distances("cosine", Q, X)
    np.testing.assert_allclose(index.knn_query(Q, 4)[1], np.sort(want, axis=1)[:, :4], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("space", ["l2", "ip", "cosine"])
def test_labels_may_be_negative(space, tmp_path):
    index = HnswlibLike(space, 16)
    index.add_items(X[:4], [1, 2, 3, 4])
    assert index.knn_query(Q, 2)[0].dtype == np.uint64
    index.add_items(10 * X[:2], [-1, -5])
    labels, distances = index.knn_query(X[:2], 6)
    assert (np.sort(labels, axis=1) == [-5, -1, 1, 2, 3, 4]).all() and np.isfinite(distances).all()
    if space == "ip":
        assert labels[:, 0].tolist() == [-1, -5]
    seen = []
    assert index.knn_query(X[:1], 2, filter=lambda label: seen.append(label) or label < 0)[0].tolist()[0] in ([-1, -5], [-5, -1])
    assert set(seen) <= {-5, -1, 1, 2, 3, 4}
    index.save_index(tmp_path / "index")
    other = HnswlibLike(space, 16)
    other.load_index(tmp_path / "index")
    np.testing.assert_array_equal(other.knn_query(X[:2], 6)[0], labels)
    other.mark_deleted(-5)
    assert other.get_ids_list() == [-1, 1, 2, 3, 4]


def test_squared_distances_are_exact():
    grid = np.array(np.meshgrid(range(4), range(4), range(4))).reshape(3, -1).T.astype(np.float32)
    index = HnswlibLike("l2", 3)
    index.add_items(grid)
    labels, distances = index.knn_query(grid[:9], 64)
    np.testing.assert_array_equal(distances, ((grid[labels.astype(int)] - grid[:9, None]) ** 2).sum(axis=2))


def test_a_call_that_fails_changes_nothing(tmp_path):
    index = HnswlibLike("l2", 16)
    index.add_items(X[:4], [1, 2, 3, 4])
    LSHIndex("l2", 8).save(tmp_path / "narrow")
    LSHIndex("ip", 16).save(tmp_path / "ip")
    bad = X[:3].copy()
    bad[2, 5] = np.nan
    for call in (lambda: index.add_items(X[10:13], [1, 9, 9]), lambda: index.add_items(bad, [1, 2, 9]), lambda: index.add_items(X[:2], [1]),
                 lambda: index.add_items(bad, [9, 1, 2]), lambda: index.add_items(X[:2, :3], [1, 9]), lambda: index.add_items(bad),
                 lambda: index.add_items(X[10:12], [1.0, 2.0]), lambda: index.load_index(tmp_path / "narrow"),
                 lambda: index.load_index(tmp_path / "ip"), lambda: index.load_index(tmp_path / "nothing"), lambda: index.set_ef(0)):
        with pytest.raises((ValueError, TypeError, OSError)):
            call()
        assert index.get_ids_list() == [1, 2, 3, 4] and index.dim == index.index.dim == 16
        np.testing.assert_array_equal(index.get_items([1, 2, 3, 4]), X[:4])


def test_rows_are_kept_when_an_update_fails(monkeypatch):
    """Whatever the reason: new rows of the call are taken out again."""
    index = HnswlibLike("l2", 16)
    index.add_items(X[:2], [1, 2])

    def fail(ids, rows):
        raise MemoryError

    monkeypatch.setattr(index.index, "update", fail)
    with pytest.raises(MemoryError):
        index.add_items(X[5:8], [1, 8, 9])
    assert index.get_ids_list() == [1, 2]


def test_a_file_of_another_space_or_width_is_refused(tmp_path):
    for space in ("l2", "ip", "cosine"):
        index = HnswlibLike(space, 16)
        index.add_items(X[:5])
        index.save_index(tmp_path / space)
    for space in ("l2", "ip", "cosine"):
        for name in ("l2", "ip", "cosine"):
            index = HnswlibLike(space, 16)
            if name == space:
                index.load_index(tmp_path / name)
                assert index.get_current_count() == 5
            else:
                with pytest.raises(ValueError, match=f"space '{space}'"):
                    index.load_index(tmp_path / name)
    with pytest.raises(ValueError, match="dim=16.*dim=8"):
        HnswlibLike("l2", 8).load_index(tmp_path / "l2")


def test_files_of_earlier_versions_are_read():
    """They hold Euclidean distances; the squares are those of the same rows and tables."""
    path = pathlib.Path(__file__).parents[2] / "golden" / "v1" / "l2.index"
    old = LSHIndex.load(path)
    index = HnswlibLike("l2", old.dim)
    index.load_index(path)
    rows = old.get(old.ids)
    labels, distances = index.knn_query(rows, 1)
    assert index.get_ids_list() == old.ids.tolist() and not distances.any()
    ids, roots = old.query(rows[:5] + 0.1, 3)
    again, squares = index.index.query(rows[:5] + 0.1, 3)
    np.testing.assert_array_equal(again, ids)
    np.testing.assert_allclose(squares, roots**2, rtol=1e-6)
