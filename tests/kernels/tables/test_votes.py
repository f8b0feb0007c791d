"""Who stands in most buckets, against counting with a dictionary."""

import collections

import numba
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from naive_buckets import random_views

from mongoose_nb.nn.sampling.candidate_sets import ActiveSetBuilder, Views


@settings(deadline=None, max_examples=50)
@given(n_rows=st.integers(1, 60), L=st.integers(1, 9), B=st.integers(1, 5), n=st.integers(1, 9), seed=st.integers(0, 999),
       room=st.integers(1, 70), threads=st.integers(1, 4))
def test_most_voted(n_rows, L, B, n, seed, room, threads):
    """As many as there are, up to `room`; nobody who is left out has more votes than anybody taken; one query at a time the same."""
    views = random_views(n_rows, L, B, n, seed, load=20)
    builder = ActiveSetBuilder(n_rows)
    before = numba.get_num_threads()
    numba.set_num_threads(min(threads, before))
    sets = builder.most_voted(views, room)
    numba.set_num_threads(before)
    assert builder.clean
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
    sets = ActiveSetBuilder(1000).most_voted(Views(pool, spans, np.zeros((L, 1), np.uint8)), 7)
    assert sorted(sets.ids[:sets.count[0]].tolist()) == list(range(7))


@settings(deadline=None, max_examples=60)
@given(L=st.integers(1, 254), a_level=st.integers(1, 40), room=st.integers(1, 3000), inside=st.sampled_from([0, 1024, 1 << 14]),
       seed=st.integers(0, 99))
@example(L=254, a_level=1, room=200, inside=1024, seed=0)  # two hundred levels off
@example(L=254, a_level=1, room=200, inside=0, seed=0)
@example(L=254, a_level=9, room=2250, inside=1024, seed=0)
def test_most_voted_where_the_guess_is_wrong(L, a_level, room, inside, seed):
    """The level is guessed from every sixteenth kilobyte of the marks: voters may all stand in these, or beside them, or anywhere."""
    n_rows = 140_000
    ids = np.arange(n_rows, dtype=np.int32)
    ids = ids[ids % (1 << 14) < inside] if inside else ids[ids % (1 << 14) >= 1024]
    ids = np.random.default_rng(seed).permutation(ids)[:min(a_level * L, 2400)]
    pool, spans = np.zeros((L, len(ids)), np.int32), np.zeros((L, 1, 2), np.int32)
    for t in range(L):  # the j-th id stands in the first L - j // a_level tables
        n = min(a_level * (L - t), len(ids))
        pool[t, :n], spans[t, 0, 1] = ids[:n], n
    builder = ActiveSetBuilder(n_rows)
    sets = builder.most_voted(Views(pool, spans, np.zeros((L, 1), np.uint8)), room)
    taken = sets.ids[:sets.count[0]].tolist()
    place = {int(j): p for p, j in enumerate(ids)}
    levels = sorted(place[j] // a_level for j in taken)
    assert len(set(taken)) == len(taken) and levels == [p // a_level for p in range(min(room, len(ids)))]
    assert builder.clean
