"""Retrieval kernels: the sets themselves are tested with their facade, `tables.ActiveSetBuilder`."""

import collections

import numba
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mongoose_nb.kernels.retrieve import TAKEN, unions
from mongoose_nb.nn.arrays import Rows
from mongoose_nb.tables import ActiveSetBuilder
from mongoose_nb.tables.active import Views


def tables(n_rows, L, B, n, seed, load=6):
    """Pool and spans of L tables of B buckets of distinct ids, out of order in the pool, and codes of n samples."""
    rng = np.random.default_rng(seed)
    pool, spans = np.full((L, B * (load + 2)), 10**9, np.int32), np.zeros((L, B, 2), np.int32)
    for t in range(L):
        for place, b in enumerate(rng.permutation(B)):
            size = int(rng.integers(0, min(load, n_rows) + 1))
            spans[t, b] = place * (load + 2) + 1, size
            pool[t, spans[t, b, 0]:spans[t, b, 0] + size] = rng.choice(n_rows, size, replace=False)
    return Views(pool, spans, rng.integers(0, B, (L, n)).astype(np.uint8))


@settings(deadline=None, max_examples=50)
@given(n_rows=st.integers(1, 60), L=st.integers(1, 7), B=st.integers(1, 5), n=st.integers(0, 9), seed=st.integers(0, 999),
       workers=st.integers(1, 4))
def test_unions(n_rows, L, B, n, seed, workers):
    pool, spans, codes, _ = tables(n_rows, L, B, n, seed)
    want = [sorted({int(j) for t in range(L) for j in pool[t, spans[t, c[t], 0]:][:spans[t, c[t], 1]]}) for c in codes.T]
    seen = np.zeros((workers, n_rows), np.uint8)
    indptr = np.zeros(n + 1, np.int64)
    unions(pool, spans, codes, seen, indptr[1:], indptr, np.zeros(0, np.int32))
    assert indptr[1:].tolist() == [len(w) for w in want] and not seen.any()
    indptr = np.cumsum(indptr)
    ids = np.empty(indptr[-1], np.int32)
    unions(pool, spans, codes, seen, np.zeros(0, np.int64), indptr, ids)
    assert [ids[a:b].tolist() for a, b in zip(indptr, indptr[1:])] == want and not seen.any()


@pytest.mark.parametrize("strategy", ["topk", "vanilla", "threshold"])
def test_sets_do_not_depend_on_the_number_of_threads(strategy):
    views = tables(400, 9, 4, 50, 0, 40)
    none = np.zeros(50, np.int64)
    labels = Rows(np.arange(50), np.ones(50, np.int64), np.arange(50, dtype=np.int32), None)
    threads, results = numba.get_num_threads(), []
    for t in {1, threads}:
        numba.set_num_threads(t)
        builder = ActiveSetBuilder(400, seed=3, strategy=strategy, min_votes=2)
        sets = builder.per_sample(labels, 30, step=7, views=views, head=15)
        bare = builder.per_sample(labels, 30, step=7)
        alone = builder.per_sample(Rows(none, none, labels.ids, None), 15, step=7, views=views, head=15, fill=False)
        parts = [alone.ids[s:s + c].tobytes() for s, c in zip(alone.start, alone.count)]
        results.append((*(a.tobytes() for a in sets), *(a.tobytes() for a in bare), *parts))
    numba.set_num_threads(threads)
    assert len(set(results)) == 1


def test_marks_are_told_apart():
    """A vote count never looks like a label or a taken id."""
    from mongoose_nb.kernels import retrieve

    assert retrieve.MAX_VOTES < retrieve.VOTES < retrieve.LABEL and retrieve.LABEL + retrieve.MAX_VOTES < TAKEN


@settings(deadline=None, max_examples=50)
@given(n_rows=st.integers(1, 60), L=st.integers(1, 9), B=st.integers(1, 5), n=st.integers(1, 9), seed=st.integers(0, 999),
       room=st.integers(1, 70), threads=st.integers(1, 4))
def test_most_voted(n_rows, L, B, n, seed, room, threads):
    """As many as there are, up to `room`; nobody who is left out has more votes than anybody taken; one query at a time the same."""
    views = tables(n_rows, L, B, n, seed, load=20)
    builder = ActiveSetBuilder(n_rows, correction="none")
    before = numba.get_num_threads()
    numba.set_num_threads(min(threads, before))
    sets = builder.most_voted(views, room)
    numba.set_num_threads(before)
    assert not builder._mark.any()
    for i, (start, count) in enumerate(zip(sets.start, sets.count)):
        votes = collections.Counter(int(j) for t in range(L) for j in views.pool[t, views.spans[t, views.codes[t, i], 0]:]
                                    [:views.spans[t, views.codes[t, i], 1]])
        taken = sets.ids[start:start + count].tolist()
        assert len(set(taken)) == len(taken) == min(room, len(votes))
        left = [votes[j] for j in votes if j not in taken]
        assert all(votes[j] >= max(left, default=1) for j in taken)
        alone = builder.most_voted(views._replace(codes=np.ascontiguousarray(views.codes[:, i:i + 1])), room)
        assert alone.ids[:alone.count[0]].tolist() == taken


@pytest.mark.parametrize("L", [127, 128, 129, 200, 254])
def test_most_voted_of_many_tables(L):
    """Votes beyond 127 fill the bit that words are compared by."""
    pool, spans = np.zeros((L, 40), np.int32), np.zeros((L, 1, 2), np.int32)
    for t in range(L):  # id j stands in the first L - 3 j tables
        ids = np.array([j for j in range(40) if t < L - 3 * j], np.int32)
        pool[t, :len(ids)], spans[t, 0, 1] = ids, len(ids)
    sets = ActiveSetBuilder(1000, correction="none").most_voted(Views(pool, spans, np.zeros((L, 1), np.uint8)), 7)
    assert sorted(sets.ids[:sets.count[0]].tolist()) == list(range(7))


@settings(deadline=None, max_examples=60)
@given(L=st.integers(1, 254), a_level=st.integers(1, 40), room=st.integers(1, 3000), inside=st.sampled_from([0, 1024, 1 << 14]),
       seed=st.integers(0, 99))
@example(L=254, a_level=1, room=200, inside=1024, seed=0)  # two hundred levels off
@example(L=254, a_level=1, room=200, inside=0, seed=0)
@example(L=254, a_level=9, room=2250, inside=1024, seed=0)
def test_most_voted_where_the_guess_is_wrong(L, a_level, room, inside, seed):
    """The level is guessed from every sixteenth kilobyte of the marks: voters may all stand in these, or beside them, or anywhere."""
    n_rows = 100_000
    ids = np.arange(n_rows, dtype=np.int32)
    ids = ids[ids % (1 << 14) < inside] if inside else ids[ids % (1 << 14) >= 1024]
    ids = np.random.default_rng(seed).permutation(ids)[:min(a_level * L, 2400)]
    pool, spans = np.zeros((L, len(ids)), np.int32), np.zeros((L, 1, 2), np.int32)
    for t in range(L):  # the j-th id stands in the first L - j // a_level tables
        n = min(a_level * (L - t), len(ids))
        pool[t, :n], spans[t, 0, 1] = ids[:n], n
    builder = ActiveSetBuilder(n_rows, correction="none")
    sets = builder.most_voted(Views(pool, spans, np.zeros((L, 1), np.uint8)), room)
    taken = sets.ids[:sets.count[0]].tolist()
    place = {int(j): p for p, j in enumerate(ids)}
    levels = sorted(place[j] // a_level for j in taken)
    assert len(set(taken)) == len(taken) and levels == [p // a_level for p in range(min(room, len(ids)))]
    assert not builder._mark.any()
