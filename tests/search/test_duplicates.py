"""find_duplicates against all pairs."""

import numpy as np
import pytest
import scipy.sparse as sp
from naive_search import distances
from scipy.stats import binom

from mongoose_nb.search.duplicates import choose_bands, find_duplicates, s_curve


def planted(n=400, dim=5000, size=60, seed=0):
    """Sets, every second one a copy of the one before with some members replaced."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(n // 2):
        a = rng.choice(dim, size, replace=False)
        b = a.copy()
        change = rng.integers(0, size // 3)
        b[:change] = rng.choice(dim, change, replace=False)
        rows += [np.unique(a), np.unique(b)]
    return sp.csr_matrix((np.ones(sum(map(len, rows))), np.concatenate(rows), np.cumsum([0] + [len(r) for r in rows])), shape=(n, dim))


def naive_pairs(X, threshold):
    """Pairs (i, j), i < j, that similar."""
    similar = 1 - distances("jaccard", X, X)
    i, j = np.nonzero(np.triu(similar >= threshold - 1e-12, 1))
    return dict(zip(zip(i.tolist(), j.tolist()), similar[i, j]))


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
    assert len(found.pairs) == 120 * 119 // 2


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
