"""Both adapters beside a dict of rows: whatever the ids, bounds, dtypes and failures."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mongoose_nb.search.compat.faiss_like import FaissLike
from mongoose_nb.search.compat.hnswlib_like import HnswlibLike

DIM = 3
ids = st.lists(st.integers(-3, 6), max_size=5)
DTYPES = st.sampled_from([np.int8, np.int16, np.int32, np.int64])
#: whole numbers: all distances and products are exact in float32
row = st.lists(st.integers(-4, 4), min_size=DIM, max_size=DIM)
steps = st.lists(st.tuples(st.sampled_from(["add", "add", "remove", "nan", "short"]), ids, st.lists(row, min_size=5, max_size=5), DTYPES),
                 max_size=8)


def exact(metric, q, rows):
    """Distances or products of q and the rows of a dict."""
    X = np.array(list(rows.values()), float).reshape(-1, DIM)
    return dict(zip(rows, (((X - q) ** 2).sum(axis=1) if metric == "l2" else X @ q).tolist()))


@settings(max_examples=80, deadline=None)
@given(steps, st.sampled_from(["l2", "ip"]), row, st.integers(-20, 40))
def test_faiss_like(steps, metric, q, bound):
    index, want = FaissLike(DIM, metric), {}
    for kind, given_ids, rows, dtype in steps:
        X, given_ids = np.array(rows[:len(given_ids)], np.float32).reshape(-1, DIM), np.array(given_ids, dtype)
        if kind == "remove":
            assert index.remove_ids(given_ids) == len({i for i in given_ids.tolist() if want.pop(i, None) is not None})
            continue
        X = X * np.nan if kind == "nan" else X[:, :2] if kind == "short" else X
        fails = kind != "add" and len(X) or len(set(given_ids.tolist())) < len(given_ids) or set(given_ids.tolist()) & set(want)
        if fails or kind == "short":
            with pytest.raises(ValueError):
                index.add_with_ids(X, given_ids)
        else:
            index.add_with_ids(X, given_ids)
            want.update(zip(given_ids.tolist(), X))
    scores, q = exact(metric, q, want), np.array([q], np.float32)
    lims, D, found = index.range_search(q, bound)
    near = {i: s for i, s in scores.items() if (s < bound if metric == "l2" else s > bound)}
    assert dict(zip(found.tolist(), D.tolist())) == near and lims.tolist() == [0, len(near)]
    D, found = index.search(q, len(want) + 2)
    assert dict(zip(found[0, :len(want)].tolist(), D[0, :len(want)].tolist())) == scores
    assert (found[0, len(want):] == -1).all() and (D[0, len(want):] == (np.inf if metric == "l2" else -np.inf)).all()
    assert index.ntotal == len(want) and all((index.reconstruct(i) == x).all() for i, x in want.items())


@settings(max_examples=80, deadline=None)
@given(steps, st.sampled_from(["l2", "ip"]), row)
def test_hnswlib_like(steps, space, q):
    index, want = HnswlibLike(space, DIM), {}
    for kind, given_ids, rows, dtype in steps:
        X, given_ids = np.array(rows[:len(given_ids)], np.float32).reshape(-1, DIM), np.array(given_ids, dtype)
        if kind == "remove":
            for i in set(given_ids.tolist()):
                if want.pop(i, None) is None:
                    with pytest.raises(RuntimeError, match="not found"):
                        index.mark_deleted(i)
                else:
                    index.mark_deleted(i)
            continue
        X = np.concatenate([X[:-1], X[-1:] * np.nan]) if kind == "nan" else X[:, :2] if kind == "short" else X
        if kind != "add" and len(X) or len(set(given_ids.tolist())) < len(given_ids) or kind == "short":
            with pytest.raises(ValueError):
                index.add_items(X, given_ids)
        else:
            index.add_items(X, given_ids)
            want.update(zip(given_ids.tolist(), X))
    scores, q = exact(space, q, want), np.array([q], np.float32)
    assert index.get_ids_list() == sorted(want)
    assert all((index.get_items([i])[0] == x).all() for i, x in want.items())
    if want:
        labels, distances = index.knn_query(q, len(want))
        assert dict(zip(labels[0].tolist(), distances[0].tolist())) == {i: s if space == "l2" else 1 - s for i, s in scores.items()}
        negative = [i for i in want if i < 0]
        if negative:
            assert set(index.knn_query(q, len(negative), filter=lambda i: i < 0)[0][0].tolist()) == set(negative)
    with pytest.raises(RuntimeError, match="fewer than k"):
        index.knn_query(q, len(want) + 1)
