"""Strategies for hypothesis: rows, sets, sparse rows, and pairs at a similarity. Only this module needs hypothesis.

::

    from hypothesis import given
    from mongoose_nb.testing.strategies import pairs

    @given(pairs("jaccard", dim=60))
    def test_equal_sets_collide(pair):
        x, y, similarity = pair
        assert similarity < 1 or (family.hash(x[None]) == family.hash(y[None])).all()
"""

from __future__ import annotations

from typing import Any

try:
    from hypothesis import strategies as st
    from hypothesis.extra import numpy as hnp
except ImportError as error:
    raise ImportError("mongoose_nb.testing.strategies needs hypothesis: pip install hypothesis") from error

import numpy as np

from mongoose_nb.testing.pairs import Metric, find_metric, pairs_at, similarity_of

__all__ = ["pairs", "sets", "sparse_rows", "vectors"]


def vectors(dim: int, *, n: int | None = None, magnitude: float = 100.0, nonzero: bool = False) -> Any:
    """Rows of float32, with many zeros and ties among them.

    Parameters
    ----------
    dim : int
        Coordinates.
    n : int or strategy of int, optional
        Number of rows; one row of shape (dim,) by default.
    magnitude : float, default 100
        Largest absolute value. Subnormal numbers, NaN and infinity do not occur.
    nonzero : bool, default False
        No row is all zero.

    Returns
    -------
    strategy of ndarray of shape (dim,) or (n, dim)
    """
    top = float(np.float32(magnitude))
    elements = (st.floats(-top, top, width=32, allow_subnormal=False) if top < 1 else
                st.integers(-int(min(top, 3)), int(min(top, 3))).map(float) | st.floats(-top, top, width=32, allow_subnormal=False))
    if n is None:
        rows = hnp.arrays(np.float32, (dim,), elements=elements)
        return rows.filter(np.any) if nonzero else rows
    counts = st.just(n) if isinstance(n, int) else n
    rows = counts.flatmap(lambda count: hnp.arrays(np.float32, (count, dim), elements=elements))
    return rows.filter(lambda X: X.any(axis=1).all()) if nonzero else rows


def sets(universe: int, *, min_size: int = 0, max_size: int | None = None) -> Any:
    """Sets of the integers below `universe`, as rows of 0 and 1; ``numpy.flatnonzero`` gives the members.

    Parameters
    ----------
    universe : int
        Number of possible members.
    min_size, max_size : int, optional
        Bounds on the number of members.

    Returns
    -------
    strategy of ndarray of shape (universe,), float32
    """
    def row(members):
        out = np.zeros(universe, np.float32)
        out[list(members)] = 1
        return out

    return st.sets(st.integers(0, universe - 1), min_size=min_size, max_size=universe if max_size is None else max_size).map(row)


@st.composite
def sparse_rows(draw: Any, dim: int, *, n: int | None = None, magnitude: float = 100.0, canonical: bool = True) -> Any:
    """CSR arrays with few entries in a row, or none.

    Parameters
    ----------
    dim : int
        Columns.
    n : int or strategy of int, optional
        Rows; 0 to 6 by default.
    magnitude : float, default 100
        Largest absolute value of an entry.
    canonical : bool, default True
        False: columns come in any order and more than once in a row, and zeros are stored, as CSR allows.

    Returns
    -------
    strategy of scipy.sparse.csr_array of float32
    """
    import scipy.sparse as sp

    rows = n if isinstance(n, int) else draw(st.integers(0, 6) if n is None else n)
    top = float(np.float32(magnitude))
    value = st.floats(-top, top, width=32, allow_subnormal=False)
    value = value.filter(bool) if canonical else value
    columns = [draw(st.lists(st.integers(0, dim - 1), max_size=min(dim, 8), unique=canonical)) for _ in range(rows)]
    if canonical:
        columns = [sorted(part) for part in columns]
    flat = [column for part in columns for column in part]
    data = np.array(draw(st.lists(value, min_size=len(flat), max_size=len(flat))), np.float32)
    indptr = np.cumsum([0, *map(len, columns)])
    return sp.csr_array((data, np.array(flat, np.int32), indptr.astype(np.int32)), shape=(rows, dim))


@st.composite
def pairs(draw: Any, metric: str | Metric, dim: Any, *, similarity: Any = None, nnz: Any = None) -> Any:
    """Two rows and their similarity.

    Parameters
    ----------
    metric : str or Metric
        See `pairs_at`.
    dim : int or strategy of int
        Coordinates.
    similarity : float or strategy of float, optional
        The similarity to generate; by default any value of the metric, including its limits, a distance or an inner product up to 10,
        and up to 8 differing coordinates.
    nnz : int or strategy of int, optional
        Most nonzero coordinates, as in `pairs_at`.

    Returns
    -------
    strategy of (x, y, similarity)
        Rows of shape (dim,), float32, and their `similarity_of`.
    """
    metric = find_metric(metric)
    if similarity is None:
        low, high = max(metric.low, -10.0), min(metric.high, 10.0)
        similarity = st.sampled_from(metric.values) | (st.integers(0, 8) if metric.name == "hamming" else st.floats(low, high))
    value, size, few = (draw(part) if isinstance(part, st.SearchStrategy) else part for part in (similarity, dim, nnz))
    X, Y = pairs_at(value, metric, 1, size, draw(st.integers(0, 2**32 - 1)), nnz=few)
    return X[0], Y[0], float(similarity_of(X, Y, metric)[0])
