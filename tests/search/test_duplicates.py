"""find_duplicates against all pairs."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_search import naive_pairs, planted
from scipy.stats import binom

from mongoose_nb.search.duplicates import choose_bands, find_duplicates, s_curve


@pytest.mark.slow
@pytest.mark.parametrize(("threshold", "size"), [(0.5, 60), (0.8, 60), (0.6, 12)])
def test_no_false_pair_and_as_many_true_ones_as_promised(threshold, size):
    X = planted(size=size)
    want = naive_pairs(X, threshold)
    found = find_duplicates(X, threshold, recall=0.9)
    pairs = [tuple(p) for p in found.pairs.tolist()]
    assert pairs == sorted(set(pairs)) and set(pairs) <= set(want)
    np.testing.assert_allclose(found.similarity, [want[p] for p in pairs])
    # each true pair is found with at least this probability: the count is above the 0.1 % quantile
    assert found.expected_recall >= 0.9
    assert len(pairs) >= binom.ppf(0.001, len(want), 0.9)


def test_groups():
    sets = [{"a", "b", "c"}, {"x"}, {"a", "b", "c"}, {"x"}, {"c", "b", "a"}, {"y", "z"}, set(), set()]
    found = find_duplicates(sets, 0.9)
    assert found.pairs.tolist() == [[0, 2], [0, 4], [1, 3], [2, 4]] and (found.similarity == 1).all()
    assert found.groups().tolist() == [0, 1, 0, 1, 0, 5, 6, 7]
    assert found.keep().tolist() == [True, True, False, False, False, True, True, True]


def test_threads_and_forms_do_not_matter():
    X = planted(n=200)
    want = find_duplicates(X, 0.6, n_threads=1)
    for other in (find_duplicates(X, 0.6, n_threads=3), find_duplicates(sp.csr_array(X), 0.6)):
        assert (other.pairs == want.pairs).all() and (other.similarity == want.similarity).all()
    rows = [X.indices[a:b].tolist() for a, b in zip(X.indptr, X.indptr[1:])]
    assert len(find_duplicates(rows, 0.6).pairs) >= 0.9 * len(want.pairs)


def test_nothing_to_find():
    for sets in ([], [{1, 2}], [{1}, {2}], sp.csr_matrix((3, 4))):
        found = find_duplicates(sets, 0.5)
        assert found.pairs.shape == (0, 2) and len(found.groups()) == found.n


def test_a_group_of_many_equal_sets():
    found = find_duplicates([{1, 2, 3}] * 120 + [{4, 5}], 1.0)
    assert len(found.pairs) == found.n_pairs == 120 * 119 // 2


def test_copies_cost_linear_time_and_memory():
    """300,000 copies would have 45 billion pairs; they are counted, not listed."""
    found = find_duplicates([{1, 2, 3}] * 300_000 + [{1, 2, 3, 4}] * 2 + [{9}], 0.7)
    assert found.links.tolist() == [[0, 300_000]] and found.link_similarity.tolist() == [0.75]
    assert found.n_pairs == 300_002 * 300_001 // 2
    assert np.flatnonzero(found.keep()).tolist() == [0, 300_002]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.frozensets(st.integers(0, 7), max_size=4), max_size=25), st.sampled_from([0.3, 0.5, 1.0]),
       st.sampled_from(["jaccard", "containment"]))
def test_pairs_of_small_sets(sets, threshold, measure):
    """With a recall of all but certainty, the pairs are those of the definition; copies included, empty sets not."""
    found = find_duplicates(sets, threshold, measure=measure, recall=1 - 1e-9, n_hashes=4096)
    want = {}
    for i, a in enumerate(sets):
        for j, b in enumerate(sets[:i]):
            size = len(a | b) if measure == "jaccard" else min(len(a), len(b))
            if a and b and len(a & b) >= threshold * size:
                want[j, i] = len(a & b) / size
    assert dict(zip(map(tuple, found.pairs.tolist()), found.similarity.tolist())) == pytest.approx(want)
    assert found.n_pairs == len(want) and (found.first <= np.arange(len(sets))).all()
    assert all(sets[i] == sets[j] for i, j in enumerate(found.first.tolist()))


def test_containment_finds_a_small_set_in_a_large_one():
    X = planted(n=200, size=90)
    small = X.copy()
    small.data[np.arange(small.nnz) % 5 > 0] = 0  # a fifth of every set
    small.eliminate_zeros()
    both = sp.vstack([X, small], format="csr")
    found = find_duplicates(both, 0.95, measure="containment")
    assert {(i, i + 200) for i in range(200)} <= set(map(tuple, found.pairs.tolist())) and found.expected_recall == 1
    assert not any((i, i + 200) in set(map(tuple, find_duplicates(both, 0.3).pairs.tolist())) for i in range(200))
    for threads in (1, 3):
        again = find_duplicates(both, 0.95, measure="containment", n_threads=threads)
        np.testing.assert_array_equal(again.pairs, found.pairs)


def test_a_dense_array_is_an_indicator():
    X = planted(n=60, dim=300).toarray()
    want = find_duplicates(sp.csr_matrix(X), 0.6)
    for dense in (X, X != 0, X.astype(np.uint8), -X, np.asfortranarray(X)):
        np.testing.assert_array_equal(find_duplicates(dense, 0.6).pairs, want.pairs)
    ones = np.eye(4, dtype=int)
    assert find_duplicates(ones, 0.5).pairs.tolist() == [] and find_duplicates(ones, 0.5).keep().all()


def test_bands():
    for threshold in (0.3, 0.5, 0.8, 0.95):
        K, L = choose_bands(threshold, 128)
        assert K * L <= 128 and s_curve(threshold, K, L) >= 0.95
        assert s_curve(threshold, K + 1, 128 // (K + 1)) < 0.95  # no steeper curve would do
    with pytest.raises(ValueError, match="more hashes"):
        choose_bands(0.01, 16)
    np.testing.assert_allclose(s_curve([0, 0.5, 1], 2, 3), [0, 1 - 0.75**3, 1])
    for arguments in ({"threshold": 0}, {"threshold": 1.1}, {"recall": 1.0}, {"n_hashes": 0}):
        with pytest.raises(ValueError):
            find_duplicates([{1}], **{"threshold": 0.5} | arguments)


def test_keys_name_the_sets():
    sets = [{"a", "b", "c"}, {"x"}, {"a", "b", "c"}, {"a", "b", "c", "d"}, set()]
    found = find_duplicates(sets, 0.7, keys=["one.txt", "x.txt", "copy.txt", "long.txt", "empty.txt"])
    assert found.pairs.tolist() == [["one.txt", "copy.txt"], ["one.txt", "long.txt"], ["copy.txt", "long.txt"]]
    assert found.groups().tolist() == ["one.txt", "x.txt", "one.txt", "one.txt", "empty.txt"]
    assert found.keep().tolist() == [True, True, False, False, True] and found.kept().tolist() == ["one.txt", "x.txt", "empty.txt"]
    plain = find_duplicates(sets, 0.7)
    assert plain.pairs.tolist() == [[0, 2], [0, 3], [2, 3]] and plain.kept().tolist() == [0, 1, 4] and plain.keys is None
    assert (plain.links == found.links).all() and (plain.first == found.first).all() and plain.n_pairs == found.n_pairs
    assert find_duplicates([], 0.7, keys=[]).pairs.shape == (0, 2)
    for keys, error, message in ((["a"] * 5, ValueError, "'a' comes more than once"), (["a"], ValueError, "1 keys came with 5 sets"),
                                 ([1, 2, 3, 4, 5], TypeError, "keys must be strings; got 1")):
        with pytest.raises(error, match=message):
            find_duplicates(sets, 0.7, keys=keys)
