"""Strategies give what they say, and find what they are for."""

import subprocess
import sys

import numpy as np
import pytest
import toy_hashing as toy
from hypothesis import find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from mongoose_nb.testing import METRICS, similarity_of
from mongoose_nb.testing.strategies import pairs, sets, sparse_rows, vectors


@settings(deadline=None, max_examples=40)
@given(vectors(5), vectors(5, n=st.integers(0, 4), magnitude=0.5), vectors(3, n=2, nonzero=True))
def test_vectors(x, X, Z):
    assert x.shape == (5,) and X.shape[1] == 5 and len(X) <= 4 and Z.shape == (2, 3) and Z.any(axis=1).all()
    for rows, top in ((x, 100), (X, 0.5), (Z, 100)):
        assert rows.dtype == np.float32 and (np.abs(rows) <= top).all()
        assert ((rows == 0) | (np.abs(rows) >= np.finfo(np.float32).tiny)).all()


@settings(deadline=None, max_examples=40)
@given(sets(12), sets(12, min_size=2, max_size=4))
def test_sets(some, few):
    for row in (some, few):
        assert row.shape == (12,) and row.dtype == np.float32 and set(np.unique(row)) <= {0.0, 1.0}
    assert 2 <= few.sum() <= 4


@settings(deadline=None, max_examples=40)
@given(sparse_rows(9), sparse_rows(9, n=3, canonical=False))
def test_sparse_rows(tidy, messy):
    assert tidy.shape[0] <= 6 and messy.shape == (3, 9) and tidy.dtype == messy.dtype == np.float32
    assert tidy.has_canonical_format and (tidy.data != 0).all()
    np.testing.assert_array_equal(tidy.toarray()[tidy.nonzero()], tidy.data)


def test_untidy_rows_are_untidy():
    found = find(sparse_rows(9, n=1, canonical=False), lambda S: not S.has_canonical_format and (S.data == 0).any())
    assert found.indptr[-1] >= 2


@pytest.mark.parametrize("metric", METRICS)
def test_pairs(metric):
    @settings(deadline=None, max_examples=30)
    @given(pairs(metric, dim=st.integers(8, 20)))
    def test(pair):
        x, y, similarity = pair
        assert x.shape == y.shape and x.dtype == np.float32
        assert similarity == similarity_of(x[None], y[None], metric)[0]
        assert METRICS[metric].low <= similarity <= METRICS[metric].high

    test()


def test_pairs_at_one_similarity():
    @settings(deadline=None, max_examples=20)
    @given(pairs("cosine", 16, similarity=0.25, nnz=3), pairs("l2", 16, similarity=st.floats(1, 2)))
    def test(one, two):
        assert one[2] == pytest.approx(0.25, abs=1e-6) and (one[0] != 0).sum() <= 3
        assert 1 - 1e-5 <= two[2] <= 2 + 1e-5

    test()


def test_a_family_in_three_lines():
    family = toy.Signs(1)

    @settings(deadline=None, max_examples=50)
    @given(pairs("cosine", dim=12))
    def test(pair):
        x, y, cosine = pair
        assert abs((family.hash(x[None]) == family.hash(y[None])).mean() - family.collision_probability(cosine)) < 0.35  # 7 sigma

    test()
    find(pairs("cosine", dim=12), lambda pair: pair[2] > 0.9)
    with pytest.raises(NoSuchExample):
        find(pairs("hamming", dim=12), lambda pair: pair[2] == 0 and (pair[0] != pair[1]).any(), settings=settings(max_examples=50))


def test_only_the_strategies_need_hypothesis():
    code = ("import sys, mongoose_nb.testing; assert not {'hypothesis', 'pytest', 'numba', 'scipy'} & set(sys.modules)\n"
            "sys.modules['hypothesis'] = None\n"
            "try:\n    import mongoose_nb.testing.strategies\n"
            "except ImportError as error:\n    sys.exit(0 if 'pip install hypothesis' in str(error) else 1)\n"
            "sys.exit(2)")
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
