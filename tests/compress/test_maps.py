"""Index maps: what all of them promise, and the law of each."""

import tracemalloc

import hypothesis.strategies as st
import numpy as np
import pytest
from compress.naive import make_map, signatures
from hypothesis import given, settings

from mongoose_nb import compress
from mongoose_nb.compress import Compress, HashedArray, index_map, make_compression, minhash_signatures
from mongoose_nb.core.registry import describe, fresh, make, rebuild

NAMES = compress.names()


def test_the_names_others_rely_on():
    assert set(NAMES) >= {"element", "row", "compositional", "robe", "roast", "fold", "collapsible", "lma"}


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=15, deadline=None)
@given(rows=st.integers(1, 40), width=st.integers(2, 70), extra=st.integers(0, 500), seed=st.integers(0, 5))
def test_contract(name, rows, width, extra, seed):
    """Cells in range, shape and dtype, same map again, parts of rows as the whole, counts, cache lines."""
    cells = 2 * (width + 1) * (int(rows**0.5) + 2) + extra
    one = make_map(name, (rows, width), cells, seed)
    index, sign = one.index(), one.sign()
    assert index.shape == (rows, width) and index.dtype == np.int64 and index.min() >= 0 and index.max() < cells
    assert sign.shape == (rows, width) and set(np.unique(sign)) <= {-1, 1}
    again = make_map(name, (rows, width), cells, seed)
    assert np.array_equal(again.index(), index) and np.array_equal(again.sign(), sign)
    some = np.arange(rows)[::-2]
    assert np.array_equal(one.index(some), index[some]) and np.array_equal(one.sign(some), sign[some])
    assert np.array_equal(one.count(), np.bincount(index.ravel(), minlength=cells))
    lines = [len({cell * 4 // 64 for cell in row}) for row in index.tolist()]
    assert one.lines().tolist() == lines


@pytest.mark.parametrize("name", NAMES)
def test_described_and_made_again(name):
    one = make_map(name, (20, 6), 90, 3)
    again = make("index map", describe(one))
    if name == "lma":
        again.signatures = one.signatures
        again.state_restored()
    assert np.array_equal(again.index(), one.index()) and np.array_equal(again.sign(), one.sign())


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_and_an_offset_are_another_map(name):
    one = make_map(name, (30, 8), 500, 1)
    for other in (make_map(name, (30, 8), 500, 2), make_map(name, (30, 8), 500, 1, offset=240)):
        assert (one.index() != other.index()).mean() > 0.9


def test_shapes():
    assert index_map("robe", 100, 40).index().shape == (100,)
    assert index_map("fold", (4, 3, 5), 20).index().shape == (4, 3, 5)


@pytest.mark.parametrize("name", NAMES)
def test_refusals(name):
    with pytest.raises(ValueError, match="shape must be an integer from 1"):
        index_map(name, (0, 4), 100)
    with pytest.raises(ValueError, match="cells must be an integer from 1"):
        index_map(name, (3, 4), 0)
    with pytest.raises(TypeError, match="cells must be an integer"):
        index_map(name, (3, 4), 10.5)
    with pytest.raises(TypeError, match=f"index map '{name}'.*nothing"):
        index_map(name, (3, 4), 100, nothing=1)
    one = make_map(name, (9, 4), 100)
    view = HashedArray(100).view(one)
    values = np.zeros((2, 4), np.float32)
    for call in (one.index, one.sign, one.lines, view.gather, view.__getitem__, lambda rows: view.gradient(rows, values),
                 lambda rows: view.array.gradient().add(view, rows, values)):
        for rows in ([[1]], [0.5], [True]):
            with pytest.raises(TypeError, match="rows must be a list of integers"):
                call(rows)
        for rows in ([8, 9], [3, 2**41], np.array([2**63 + 5, 1], np.uint64)):
            with pytest.raises(ValueError, match=f"to {max(rows)}; the matrix has 9 rows, 0 to 8"):
                call(rows)
        with pytest.raises(ValueError, match="go from -1 to 5; the matrix has 9 rows, 0 to 8"):
            call([5, -1])


@pytest.mark.parametrize("name", [name for name in NAMES if name != "compositional"])
def test_few_rows_of_a_huge_matrix_take_little(name):
    one = index_map(name, (2**40, 16), 1000, 3)
    rows = [0, 5, 2**40 - 1]
    tracemalloc.start()
    try:
        index = one.index(rows)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert index.shape == (3, 16) and index.min() >= 0 and index.max() < 1000
    small = index_map(name, (40, 16), 1000, 3)
    assert np.array_equal(one.index([0, 5]), small.index()[[0, 5]])


def test_refusals_of_single_maps():
    with pytest.raises(ValueError, match="'fold' numbers .* give fewer rows, or another map"):
        index_map("fold", (2**40, 2**30), 1000)
    with pytest.raises(ValueError, match="unknown; give one of"):
        index_map("nothing", (3, 4), 10)
    with pytest.raises(ValueError, match="hold no row of 4"):
        index_map("row", (3, 4), 3)
    with pytest.raises(ValueError, match="hold no tile"):
        index_map("roast", (30, 40), 50, tile=(8, 8))
    with pytest.raises(ValueError, match="no two halves"):
        index_map("compositional", (30, 1), 50)
    with pytest.raises(ValueError, match=r"shape \(5, hashes\)"):
        index_map("lma", (5, 4), 10, signatures=np.zeros((4, 3), np.uint8))
    with pytest.raises(ValueError, match="span"):
        index_map("collapsible", (5, 4), 100, span=50)


@pytest.mark.parametrize("rows", [1, 2, 7, 50, 1000])
def test_compositional_least_cells_work_and_one_less_is_refused(rows):
    with pytest.raises(ValueError, match="give ") as caught:
        index_map("compositional", (rows, 6), 3)
    least = int(str(caught.value).split("give ")[1].split()[0])
    index = index_map("compositional", (rows, 6), least).index()
    assert len(np.unique(index, axis=0)) == rows


# ------------------------------------------------------------------ laws


def v1(x, y):
    """Variance of the inner product of two sketches of one cell, times the cells (4,096 coordinates hashed by themselves)."""
    return (x @ x) * (y @ y) + (x @ y) ** 2 - 2 * (x * x) @ (y * y)


@pytest.mark.slow
def test_robe_variance():
    """Block hashing has variance (V1(x, y) - sum over blocks V1(x_b, y_b)) / m; the mean is the inner product.

    3,000 draws: the relative standard error of a variance is 2.6 %; 8 % is three of them.
    """
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 4096))
    m, draws = 512, 3000
    found = {}
    for block in (1, 128, 512):
        products = np.empty(draws)
        for seed in range(draws):
            one = index_map("robe", 4096, m, seed, block=block)
            index, sign = one.index(), one.sign()
            products[seed] = np.bincount(index, sign * x, m) @ np.bincount(index, sign * y, m)
        cut = v1(x, y) - sum(v1(x[lo:lo + block], y[lo:lo + block]) for lo in range(0, 4096, block))
        assert abs(products.var() / (cut / m) - 1) < 0.08, block
        assert abs(products.mean() - x @ y) < 4 * products.std() / draws**0.5, block
        found[block] = products.var()
    assert found[512] / found[1] <= 0.92


@pytest.mark.parametrize("n, m", [(1000, 1000), (1000, 300), (997, 100), (64, 1), (5, 50)])
def test_fold_loads(n, m):
    for offset in (0, 17):
        one = index_map("fold", n, m, 3, offset=offset)
        assert set(np.unique(one.count())) <= {n // m, n // m + 1} if offset == 0 else one.count().max() - one.count().min() <= 2
    if n == m:
        assert sorted(index_map("fold", n, m).index()) == list(range(n))


def test_fold_of_several_matrices_is_one_fold():
    m, shapes, offset = 57, [(5, 7), (3, 11), (20, 2)], 0
    count = np.zeros(m, int)
    for shape in shapes:
        count += index_map("fold", shape, m, 1, offset=offset).count()
        offset += shape[0] * shape[1]
    assert set(count) <= {offset // m, offset // m + 1}


def test_element_leaves_cells_unused_where_fold_does_not():
    n = 20_000
    unused = (index_map("element", n, n, 1).count() == 0).mean()
    assert abs(unused - np.exp(-1)) < 4 * (0.233 / n) ** 0.5  # 4 standard errors


def test_collapsible_is_nested_and_consistent():
    small, large = index_map("collapsible", (40, 8), 64, 5), index_map("collapsible", (40, 8), 1024, 5)
    assert np.array_equal(large.index() % 64, small.index()) and np.array_equal(large.sign(), small.sign())


@pytest.mark.parametrize("keys", [1, 2])
@pytest.mark.parametrize("jaccard", [0.2, 0.5, 0.8])
def test_lma_share(jaccard, keys):
    """Two rows share a block with probability J^K (1 - 1/m) + 1/m, within 3 standard errors of 2,000 coordinates."""
    import scipy.sparse as sp

    width, m, size = 2000, 50, 300
    both = round(size * 2 * jaccard / (1 + jaccard))
    one, two = np.arange(size), np.arange(size - both, 2 * size - both)
    J = both / (2 * size - both)
    sets = sp.csr_matrix((np.ones(2 * size), (np.repeat([0, 1], size), np.concatenate([one, two]))), shape=(2, 2 * size))
    index = index_map("lma", (2, width), m, 3, keys=keys, signatures=minhash_signatures(sets, 3000, bits=32, seed=7)).index()
    share, expected = (index[0] == index[1]).mean(), J**keys * (1 - 1 / m) + 1 / m
    # a hash may serve several coordinates: K keys out of 3,000 hashes, 2,000 times
    error = 3 * (expected * (1 - expected) / (width / (1 + width * keys**2 / 3000 * J))) ** 0.5
    assert abs(share - expected) < error


@pytest.mark.parametrize(("given", "cells"), [({}, 10), ({"ratio": 4}, 25), ({"cells": 30}, 30)], ids=str)
def test_one_of_ratio_and_cells(given, cells):
    one = Compress("robe", **given)
    assert one.size([(10, 10)]) == cells == make("compression", describe(one)).size([(10, 10)]) == fresh(one).size([(10, 10)])
    with pytest.raises(ValueError, match="give one of ratio and cells; got ratio=4 and cells=100"):
        Compress("robe", 4, cells=100)
    with pytest.raises(ValueError, match="take 100,000,000,000 cells at ratio=10.*give a larger ratio"):
        Compress("robe").size([(10**12, 1)])


def test_files_of_earlier_versions_have_a_ratio_beside_cells():
    old = {"name": "hashed", "map": "robe", "ratio": 10.0, "cells": 30, "grad_scale": False, "options": {}, "only": None}
    for made in (make("compression", old), make_compression(old), rebuild({**old, "kind": "compression"})):
        assert (made.cells, made.ratio, made.size([(10, 10)])) == (30, None, 30)


def test_one_layer_is_given_in_a_list():
    with pytest.raises(TypeError, match=r"\['output'\]"):
        Compress("robe", 4, only="output")


def test_lma_without_signatures_shares_by_chance():
    """4,950 pairs of rows with 8 entries: the share of equal cells is within 5 standard errors of 1 / cells, were the pairs independent."""
    index = index_map("lma", (100, 8), 500, seed=1).index()
    assert index.shape == (100, 8) and 0 <= index.min() <= index.max() < 500
    equal = np.mean([(index[i] == index[j]).mean() for i in range(100) for j in range(i)])
    assert abs(equal - 1 / 500) < 5 * np.sqrt(1 / 500 / (4950 * 8))


def test_lma_rows_of_few_members_share_with_nobody():
    import scipy.sparse as sp

    sets = sp.csr_matrix(np.array([[1, 0, 0], [1, 0, 0], [1, 1, 1], [1, 1, 1]]))
    found = minhash_signatures(sets, 64, bits=32, least=2)
    assert (found[0] != found[1]).mean() > 0.9 and np.array_equal(found[2], found[3])


def test_cache_lines():
    """64 floats: 5 lines or fewer with blocks of 64, about one a float without; a tile of 32 x 8 costs 0.08 lines a weight."""
    assert index_map("robe", (500, 64), 100_000, block=64).lines().max() <= 5
    assert index_map("element", (500, 64), 100_000).lines().mean() > 60
    tiles = index_map("roast", (256, 256), 65_536, tile=(32, 32))
    touched = {(r // 32, cell // 16) for r, row in enumerate(tiles.index().tolist()) for cell in row}
    assert len(touched) / 256**2 <= 0.08


def test_signatures_are_the_same_for_any_number_of_threads():
    import numba

    before = numba.get_num_threads()
    try:
        found = []
        for threads in (1, 2):
            numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
            found.append(signatures(40))
    finally:
        numba.set_num_threads(before)
    assert np.array_equal(*found)
