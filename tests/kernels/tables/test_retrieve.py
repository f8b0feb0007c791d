"""Retrieval kernels: the sets themselves are tested with their facade, `tables.ActiveSetBuilder`."""

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_buckets import random_views

from mongoose_nb.core.arrays import Rows
from mongoose_nb.kernels.tables import votes
from mongoose_nb.kernels.tables.retrieve import unions
from mongoose_nb.nn.sampling import candidate_sets as active
from mongoose_nb.nn.sampling.candidate_sets import ActiveSetBuilder


@settings(deadline=None, max_examples=50)
@given(n_rows=st.integers(1, 60), L=st.integers(1, 7), B=st.integers(1, 5), n=st.integers(0, 9), seed=st.integers(0, 999),
       workers=st.integers(1, 4))
def test_unions(n_rows, L, B, n, seed, workers):
    pool, spans, codes, _ = random_views(n_rows, L, B, n, seed)
    want = [sorted({int(j) for t in range(L) for j in pool[t, spans[t, c[t], 0]:][:spans[t, c[t], 1]]}) for c in codes.T]
    seen = np.zeros((workers, n_rows), np.uint8)
    indptr = np.zeros(n + 1, np.int64)
    unions(pool, spans, codes, seen, indptr[1:], indptr, np.zeros(0, np.int32))
    assert indptr[1:].tolist() == [len(w) for w in want] and not seen.any()
    indptr = np.cumsum(indptr)
    ids = np.empty(indptr[-1], np.int32)
    unions(pool, spans, codes, seen, np.zeros(0, np.int64), indptr, ids)
    assert [ids[a:b].tolist() for a, b in zip(indptr, indptr[1:])] == want and not seen.any()


@pytest.mark.parametrize("counted", [False, True])
@pytest.mark.parametrize("strategy", ["topk", "vanilla", "threshold"])
def test_sets_do_not_depend_on_the_number_of_threads(strategy, counted, monkeypatch):
    monkeypatch.setattr(active, "suits_most_voted", lambda views: counted)
    views = random_views(400, 9, 4, 50, 0, 40)
    none = np.zeros(50, np.int64)
    labels = Rows(np.arange(50), np.ones(50, np.int64), np.arange(50, dtype=np.int32), None)
    threads, results = numba.get_num_threads(), []
    for t in {1, threads}:
        numba.set_num_threads(t)
        builder = ActiveSetBuilder(400, seed=3, strategy=strategy)
        sets = builder.per_sample(labels, 30, step=7, views=views, head=15)
        bare = builder.per_sample(labels, 30, step=7)
        alone = builder.per_sample(Rows(none, none, labels.ids, None), 15, step=7, views=views, head=15, fill=False)
        parts = [alone.ids[s:s + c].tobytes() for s, c in zip(alone.start, alone.count)]
        results.append((*(a.tobytes() for a in sets), *(a.tobytes() for a in bare), *parts))
    numba.set_num_threads(threads)
    assert len(set(results)) == 1


def test_marks_are_told_apart():
    """A vote count never looks like a label or a taken id."""
    assert votes.MAX_VOTES < votes.VOTES < votes.LABEL and votes.LABEL + votes.MAX_VOTES < votes.TAKEN
