"""The face of hnswlib: its order, its signs, its errors."""

import naive_search as naive
import numpy as np
import pytest

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
