"""Radii: the type of the number does not matter, one may be given for each query, and what is no radius is refused."""

import numpy as np
import pytest
import scipy.sparse as sp

from mongoose_nb.search import LSHIndex
from mongoose_nb.search.radii import radii
from mongoose_nb.testing import METRICS
from mongoose_nb.testing.pairs import rows_of

DIM = 16


@pytest.fixture(params=["l2", "sqeuclidean", "ip", "cosine", "jaccard", "hamming"])
def index(request):
    index = LSHIndex(request.param, DIM)
    kind = METRICS[{"sqeuclidean": "l2"}.get(request.param, request.param)]
    index.add(rows_of(kind, 200, DIM, np.random.default_rng(0)).astype(np.float32))
    return index


def test_rows_at_the_radius_belong_to_it_whatever_the_type(index):
    Q = index.get([0])
    _, far = index.query(Q, 60)
    for bound in np.unique(far[0])[::7]:
        want = index.radius(Q, float(bound))
        assert (want[2] == bound).any()
        for same in (bound, np.float64(bound), np.array(bound), np.array([bound]), [float(bound)], np.longdouble(bound)):
            for a, b in zip(index.radius(Q, same), want):
                np.testing.assert_array_equal(a, b)
    if float(bound).is_integer():
        np.testing.assert_array_equal(index.radius(Q, int(bound))[1], want[1])


def test_a_radius_for_each_query(index):
    Q = index.get(np.arange(20))
    bounds = index.query(Q, 9)[1][:, np.arange(20) % 9].diagonal()
    indptr, ids, far = index.radius(Q, bounds)
    for i, bound in enumerate(bounds):
        _, one, distances = index.radius(Q[i:i + 1], bound)
        np.testing.assert_array_equal(ids[indptr[i]:indptr[i + 1]], one)
        np.testing.assert_array_equal(far[indptr[i]:indptr[i + 1]], distances)
    assert index.radius(Q[:0], bounds[:0])[0].tolist() == [0]


def test_what_is_no_radius(index):
    Q = index.get([0, 1])
    for bad in (np.nan, [1.0, np.nan], [1.0], [1.0, 2.0, 3.0], [[1.0, 2.0]]):
        with pytest.raises(ValueError, match="r "):
            index.radius(Q, bad)
    for bad in (None, "1", True, 1j):
        with pytest.raises(TypeError, match="r must be"):
            index.radius(Q, bad)
    if index.metric == "ip":
        assert index.radius(Q, -1.0)[2].max(initial=-1) <= -1
    else:
        with pytest.raises(ValueError, match="0 or more"):
            index.radius(Q, -1e-9)
    assert np.diff(index.radius(Q, np.inf, exact=True)[0]).tolist() == [200, 200]


def test_radii_are_rounded_as_distances_are():
    assert radii(0.1, 3, False).tolist() == [np.float32(0.1)] * 3 and radii(1e300, 1, False)[0] == np.inf


def test_an_empty_index_checks_too():
    with pytest.raises(ValueError, match="NaN"):
        LSHIndex("l2", 3).radius(sp.csr_matrix((1, 3)).toarray(), np.nan)
