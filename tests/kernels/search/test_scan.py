"""Parts of the search kernels that have a short oracle; whole searches are tested through the index."""

import numpy as np
import pytest
import scipy.sparse as sp

from mongoose_nb.core.arrays import read_only
from mongoose_nb.kernels.search import candidates, scan_csr
from mongoose_nb.search.columns import ColumnTable


@pytest.mark.slow
@pytest.mark.parametrize("levels", [3, 127])
def test_a_heap_and_a_selection_choose_the_same_sketches(levels):
    """With three values a byte there are many equal distances; of these the first rows are chosen."""
    rng = np.random.default_rng(levels)
    sketch = rng.integers(-levels // 2, levels // 2 + 1, (300, 64)).astype(np.int8)
    sketch[:, 3:] = 0
    y, weight = rng.standard_normal(64).astype(np.float32).round(1), np.ones(64, np.float32)
    touched = rng.permutation(300).astype(np.int32)
    far = ((y - sketch.astype(np.float32)) ** 2).sum(axis=1)
    for m in (1, 20, 299):
        chosen = []
        for room in (0, 300):
            values, rows = np.empty(m, np.float32), np.empty(m, np.int32)
            assert candidates.nearest_sketches(y, weight, sketch, touched, 300, values, rows, np.empty(room, np.uint64)) == m
            chosen.append(sorted(rows.tolist()))
        assert chosen[0] == chosen[1]
        np.testing.assert_allclose(np.sort(far[chosen[0]]), np.sort(far)[:m], rtol=1e-5)


@pytest.mark.parametrize("sets", [False, True])
def test_products_of_sparse_rows(sets):
    X = sp.random_array((50, 30), density=0.2, rng=np.random.default_rng(0), format="csr", dtype=np.float32)
    wide = np.random.default_rng(1).standard_normal((30, 7)).astype(np.float32)
    pool = tuple(read_only(a) for a in (X.indptr[:-1].astype(np.int64), np.diff(X.indptr).astype(np.int32),
                                                X.indices[None].astype(np.int32), X.data[None]))
    for lo, hi in ((0, 50), (13, 31)):
        product = np.empty((hi - lo, 7), np.float32)
        scan_csr.multiply_csr(pool, lo, sets, wide, ColumnTable(None).parts, product)
        np.testing.assert_allclose(product, (((X != 0) if sets else X) @ wide)[lo:hi], rtol=1e-4, atol=1e-5)
        some = np.array([1, 2, 5, 17, 29])  # of these columns alone
        scan_csr.multiply_csr(pool, lo, sets, np.ascontiguousarray(wide[some]), ColumnTable(some).parts, product)
        np.testing.assert_allclose(product, ((((X != 0) if sets else X)[:, some]) @ wide[some])[lo:hi], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("room", [1, 0], ids=["spread", "in a table"])
def test_members_are_counted_beyond_what_float32_counts(room):
    """The row has its only column n times, the query once: n members are common, and 1 is left of both."""
    n = 2**24 + 8
    query = tuple(read_only(a) for a in (np.array([0, 1]), np.zeros(1, np.int32), np.zeros(0, np.float32)))
    pool = tuple(read_only(a) for a in (np.zeros(1, np.int64), np.array([n], np.int32), np.zeros((1, n), np.int32),
                                        np.zeros((1, 0), np.float32)))
    form, indptr, out = (True, np.float32(0)), np.array([0, 1]), np.zeros(1, np.float32)
    scan_csr.measure_csr(query, pool, form, np.zeros(room, np.float32), indptr, np.zeros(1, np.int32), out)
    assert out[0] == 1 - n
