"""Very wide sparse rows: work and memory follow the columns that are not empty."""

import numpy as np
import pytest
import scipy.sparse as sp

from mongoose_nb.search import LSHIndex
from mongoose_nb.search.columns import NARROW, SPREAD, ColumnTable
from mongoose_nb.search.projection import MOST_COLUMNS, Projection


def documents(n, dim, seed=0):
    """Rows of thirty topics, in columns all over the width."""
    rng = np.random.default_rng(seed)
    columns = np.sort(np.random.default_rng(1).choice(dim, 3000, replace=False))
    topics = np.random.default_rng(2).choice(3000, (30, 80))
    indices = columns[topics[rng.integers(0, 30, n)][:, rng.permutation(80)[:40]]]
    X = sp.csr_matrix((rng.random(n * 40) + 0.1, (np.repeat(np.arange(n), 40), indices.ravel())), shape=(n, dim), dtype=np.float32)
    X.sum_duplicates()
    return X


@pytest.mark.parametrize("dim", [NARROW + 1, SPREAD + 1, 2**31 - 1])
@pytest.mark.parametrize("metric", ["cosine", "ip", "jaccard"])
def test_the_width_changes_nothing(metric, dim, tmp_path):
    """The same rows with other column numbers, in order, have the same distances and are found as well."""
    X = documents(2000, dim)
    used, place = np.unique(X.indices, return_inverse=True)
    narrow = sp.csr_matrix((X.data, place, X.indptr), shape=(2000, NARROW))
    wide, small = LSHIndex(metric, dim), LSHIndex(metric, NARROW)
    wide.add(X)
    small.add(narrow)
    exact = wide.query(X[:100], 10, exact=True)[1]
    np.testing.assert_allclose(exact, small.query(narrow[:100], 10, exact=True)[1], rtol=1e-5, atol=1e-5)
    hits = [(index.query(Q, 10)[1] <= exact[:, -1:] + 1e-5).mean() for index, Q in ((wide, X[:100]), (small, narrow[:100]))]
    assert hits[0] >= hits[1] - 0.1
    assert wide.nbytes <= wide.memory_usage(2000, stored=X.nnz / 2000) and wide.nbytes < 2 * small.nbytes + 2**20
    indptr, ids, far = wide.radius(X[:5], exact[:5, 4])
    assert (np.diff(indptr) >= 1).all()
    other = X[:50] + sp.csr_matrix(([1.0], ([0], [int(np.setdiff1d(np.arange(5000), used)[0])])), shape=(50, dim), dtype=np.float32)
    assert (wide.query(other, 3)[0] >= 0).all()  # a column that no row has
    wide.save(tmp_path / "index")
    for mmap in (False, True):
        loaded = LSHIndex.load(tmp_path / "index", mmap=mmap)
        np.testing.assert_array_equal(loaded.query(X[:50], 5)[1], wide.query(X[:50], 5)[1])
    wide.update(np.arange(1000), documents(1000, dim, 5))
    assert (wide.query(X[:10], 3)[0] >= 0).all()


def test_rows_without_any_column():
    for metric in ("cosine", "ip", "jaccard"):
        index = LSHIndex(metric, 2**30)
        index.add(sp.csr_matrix((2000, 2**30), dtype=np.float32))
        assert (index.query(sp.csr_matrix((2, 2**30), dtype=np.float32), 5)[0] >= 0).all()


def test_the_most_columns_that_axes_have_a_part_in():
    rng = np.random.default_rng(0)
    n, dim = 2000, 2**22
    X = sp.csr_matrix((rng.random(n * 150) + 0.1, (np.repeat(np.arange(n), 150), rng.integers(0, dim, n * 150))), shape=(n, dim),
                      dtype=np.float32)
    X[:, 7] = 9.0
    index = LSHIndex("ip", dim)
    index.add(X.tocsr())
    projection = index.builder.projection
    assert isinstance(projection, Projection) and len(projection.columns) == MOST_COLUMNS and 7 in projection.columns


@pytest.mark.parametrize("count", [0, 1, 7, 8, 1000])
def test_a_table_of_columns(count):
    from mongoose_nb.kernels.search.columns import column_place

    columns = np.sort(np.random.default_rng(0).choice(2**31 - 1, count, replace=False))
    keys, places = ColumnTable(columns).parts
    assert [column_place(np.int32(c), keys, places) for c in columns] == list(range(count))
    assert all(column_place(np.int32(c), keys, places) == -1 for c in range(1000) if c not in columns)
    assert column_place(np.int32(5), *ColumnTable(None).parts) == 5
