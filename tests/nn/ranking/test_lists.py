"""Lists of candidates: unions, look-ups, the best entries."""

import numpy as np
from scipy import sparse

from mongoose_nb.nn.ranking import Lists, all_labels
from mongoose_nb.nn.ranking.lists import best_of_lists, best_of_rows, joined, no_labels, union, with_more, with_random
from mongoose_nb.nn.ranking.mixture import precision

VOTES = sparse.csr_matrix(np.float32([[0, .5, .2, 0, .3], [0, 0, 0, 0, 0], [.1, .1, .1, 0, 0]]))


def as_sets(lists):
    return [lists.ids[a:b].tolist() for a, b in zip(lists.indptr[:-1], lists.indptr[1:], strict=True)]


def test_union_of_outputs_and_votes():
    ids = np.array([[4, 0, -1], [2, -1, 3], [-1, -1, -1]])
    assert as_sets(union(ids, VOTES, 2)) == [[0, 1, 4], [2, 3], [0, 1]]  # of equal votes the lower ids
    assert as_sets(union(ids, VOTES, 9)) == [[0, 1, 2, 4], [2, 3], [0, 1, 2]]
    assert (ids == np.array([[4, 0, -1], [2, -1, 3], [-1, -1, -1]])).all()


def test_look_up_and_take():
    lists = Lists(np.array([0, 3, 3, 5]), np.array([0, 1, 4, 2, 3], np.int32))
    np.testing.assert_array_equal(lists.look_up(VOTES), np.float32([0, .5, .3, .1, 0]))
    np.testing.assert_array_equal(lists.look_up(sparse.csr_matrix((3, 5), dtype=np.float32)), np.zeros(5))
    assert as_sets(lists.take(np.array([2, 0, 1]))) == [[2, 3], [0, 1, 4], []]
    assert as_sets(all_labels(2, 3)) == [[0, 1, 2]] * 2


def test_best_entries_beside_a_sort():
    rng = np.random.default_rng(0)
    size = rng.integers(0, 9, 50)
    indptr = np.concatenate([[0], np.cumsum(size)])
    scores = rng.integers(0, 4, indptr[-1]).astype(np.float32)  # many equal ones
    entries, best = best_of_lists(scores, indptr, 5)
    for i in range(50):
        own = np.arange(indptr[i], indptr[i + 1])
        want = own[np.argsort(-scores[own], kind="stable")][:5]
        assert entries[i].tolist() == [*want, *[-1] * (5 - len(want))]
        assert best[i].tolist() == [*scores[want], *[-np.inf] * (5 - len(want))]


def test_precision():
    indptr, positive = np.array([0, 3, 3, 5]), np.array([False, True, True, True, False])
    np.testing.assert_allclose(precision(np.float32([3, 2, 1, 1, 0]), indptr, positive), [1 / 3, 3 / 9, 3 / 15])
    assert (precision(np.zeros(0, np.float32), np.zeros(4, np.int64), np.zeros(0, bool)) == 0).all()


def test_random_labels_join_those_that_are_there():
    lists = Lists(np.array([0, 2, 2, 5]), np.array([3, 7, 0, 1, 9], np.int32))
    more = with_random(lists, 10, 4, np.random.default_rng(0))
    for before, after in zip(as_sets(lists), as_sets(more), strict=True):
        assert set(before) <= set(after) and sorted(set(after)) == after and len(after) <= len(before) + 4
    drawn = with_random(no_labels(20_000), 10, 1, np.random.default_rng(1))
    counts = np.bincount(drawn.ids, minlength=10)
    assert ((counts - 2000) ** 2 / 2000).sum() < 27.9  # chi-square, 9 degrees of freedom, one in a thousand
    same = with_random(no_labels(20_000), 10, 1, np.random.default_rng(1))
    np.testing.assert_array_equal(same.ids, drawn.ids)


def test_lists_one_after_the_other():
    parts = [Lists(np.array([0, 1]), np.array([4], np.int32)), no_labels(2), Lists(np.array([0, 0, 2]), np.array([1, 2], np.int32))]
    assert as_sets(joined(parts)) == [[4], [], [], [], [1, 2]]


def test_the_best_of_rows():
    assert best_of_rows(VOTES, 5) is VOTES
    best = best_of_rows(VOTES, 2)
    np.testing.assert_array_equal(best.toarray(), np.float32([[0, .5, 0, 0, .3], [0, 0, 0, 0, 0], [.1, .1, 0, 0, 0]]))


def test_some_lists_with_more():
    lists = Lists(np.array([0, 2, 2, 3]), np.array([1, 4, 0], np.int32))
    more = with_more(lists, np.array([True, True, False]), np.array([[4, 2, 0], [3, -1, -1]]), 5)
    assert [more.ids[a:b].tolist() for a, b in zip(more.indptr, more.indptr[1:])] == [[0, 1, 2, 4], [3], [0]]
