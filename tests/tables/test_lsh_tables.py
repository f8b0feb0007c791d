"""Hash tables against lists in dicts, through any sequence of changes; retrieval against its probability."""

import math

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_buckets import NaiveBuckets
from scipy import stats

from mongoose_nb.hashing import DWTA, SimHash
from mongoose_nb.tables import LSHTables, StaleTablesError, lsh_tables

DIM = 12
FAMILIES = {
    "simhash": lambda: SimHash(DIM, K=4, L=5, seed=1),
    "dwta": lambda: DWTA(DIM, K=1, L=5, seed=1),
}
POLICIES = {"unbounded": {}, "fifo": {"capacity": 3, "policy": "fifo"},
            "reservoir": {"capacity": 3, "policy": "reservoir", "seed": 9}}


def rows(n, seed=0):
    return np.random.default_rng(seed).standard_normal((n, DIM)).astype(np.float32)


def candidate_lists(tables, X):
    """What `candidates` returns, as one list of ids a query."""
    indptr, ids = tables.candidates(X)
    assert indptr.dtype == np.int64 and ids.dtype == np.int32 and indptr[0] == 0 and indptr[-1] == len(ids)
    return [ids[a:b].tolist() for a, b in zip(indptr[:-1], indptr[1:])]


class NaiveTables:
    """The same rows in the oracle of the bucket store, under the family's own codes."""

    def __init__(self, family, capacity=None, policy="reservoir", seed=0):
        self.family = family
        self.buckets = NaiveBuckets(family.L, 1 << family.code_bits, capacity=capacity, policy=policy, seed=seed)
        self.at = {}

    def build(self, X):
        self.buckets.build(self.family.hash_tables(X))
        self.at = dict(enumerate(X))

    def insert(self, ids, X):
        self.buckets.insert(ids, self.family.hash_tables(X))
        self.at.update(zip(ids, X))

    def _where(self, ids):
        return self.family.hash_tables(np.array([self.at[i] for i in ids]))

    def remove(self, ids):
        removed = self.buckets.remove(ids, self._where(ids))
        for i in ids:
            del self.at[i]
        return removed

    def move(self, ids, X):
        self.buckets.move(ids, self._where(ids), self.family.hash_tables(X))
        self.at.update(zip(ids, X))

    def candidates(self, X):
        codes = self.family.hash(X)
        return [sorted({i for t, b in enumerate(row) for i in self.buckets.lists[t][b]}) for row in codes]


operations = st.lists(st.tuples(st.sampled_from(["build", "insert", "insert", "remove", "move", "redraw"]), st.integers(1, 8),
                                st.integers(0, 10**6)), max_size=12)


class TestAgainstLists:
    @pytest.mark.parametrize("policy", POLICIES)
    @pytest.mark.parametrize("family", FAMILIES)
    @settings(deadline=None, max_examples=25)
    @given(operations=operations, n=st.integers(1, 30))
    def test_any_sequence_of_changes(self, family, policy, operations, n):
        tables = LSHTables(FAMILIES[family](), **POLICIES[policy])
        naive = NaiveTables(tables.family, **POLICIES[policy])
        queries = rows(6, 99)
        for name, m, seed in [("build", n, 0), *operations]:
            rng = np.random.default_rng(seed)
            X = rows(m, seed)
            held = sorted(naive.at)
            if name == "redraw":
                tables.family.rebuild()
                with pytest.raises(StaleTablesError):
                    tables.candidates(queries)
                name, X = "build", rows(n, seed)
            if name == "build":
                assert tables.build(X) is tables
                naive.build(X)
            elif name == "insert":
                ids = rng.choice([i for i in range(400) if i not in naive.at], m, replace=False)
                tables.insert(ids, X)
                naive.insert(ids.tolist(), X)
            elif held:
                ids = rng.choice(held, min(m, len(held)), replace=False)
                if name == "remove":
                    assert tables.remove(ids) == naive.remove(ids.tolist())
                else:
                    tables.move(ids, X[:len(ids)])
                    naive.move(ids.tolist(), X[:len(ids)])
            assert len(tables) == len(naive.at)
            assert candidate_lists(tables, queries) == naive.candidates(queries)
            assert tables.stats()["entries"] == sum(len(b) for t in naive.buckets.lists for b in t)

    def test_rows_find_themselves(self):
        X = rows(500)
        tables = LSHTables(SimHash(DIM, K=7, L=3)).build(X)
        assert all(i in found for i, found in enumerate(candidate_lists(tables, X)))

    def test_sparse_rows_and_rows_made_on_the_fly(self, monkeypatch):
        monkeypatch.setattr(lsh_tables, "BUILD_BLOCK", 7)
        X = rows(40) * (np.random.default_rng(1).random((40, DIM)) < 0.5)

        class Lazy:
            shape = X.shape
            asked = []

            def __getitem__(self, part):
                self.asked.append(part)
                return X[part] * 1.0

        want = candidate_lists(LSHTables(FAMILIES["simhash"]()).build(X), X)
        assert candidate_lists(LSHTables(FAMILIES["simhash"]()).build(sp.csr_matrix(X)), sp.csr_matrix(X)) == want
        assert candidate_lists(LSHTables(FAMILIES["simhash"]()).build(Lazy()), X) == want
        assert Lazy.asked == [slice(lo, lo + 7) for lo in range(0, 40, 7)]

    def test_a_build_of_another_size_replaces_all(self):
        tables = LSHTables(SimHash(DIM, K=16, L=4))
        for n in (300, 5, 2000, 0, 300):
            tables.build(rows(n))
            assert len(tables) == n
            fresh = LSHTables(SimHash(DIM, K=16, L=4)).build(rows(n))
            assert candidate_lists(tables, rows(9, 3)) == candidate_lists(fresh, rows(9, 3))

    def test_inputs_stay_as_they_are(self):
        X, ids = rows(20), np.arange(20, 25)
        X.setflags(write=False)
        ids.setflags(write=False)
        tables = LSHTables(FAMILIES["simhash"]()).build(X)
        tables.insert(ids, X[:5])
        tables.move(ids, X[5:10])
        tables.remove(ids)
        assert len(tables) == 20

    def test_no_queries(self):
        indptr, ids = LSHTables(FAMILIES["simhash"]()).build(rows(5)).candidates(rows(0))
        assert indptr.tolist() == [0] and len(ids) == 0


class TestVersions:
    def test_empty_tables_refuse(self):
        tables = LSHTables(FAMILIES["simhash"]())
        assert not tables.built and tables.version is None and len(tables) == 0
        for call in (lambda: tables.candidates(rows(1)), lambda: tables.insert([0], rows(1)), lambda: tables.remove([0]),
                     lambda: tables.move([0], rows(1)), tables.views, tables.stats, lambda: tables.codes(rows(1))):
            with pytest.raises(StaleTablesError, match="these tables are empty: call build"):
                call()
        again = LSHTables.from_state(tables.state())
        assert repr(again) == repr(tables) and not again.built

    @pytest.mark.parametrize("change", [
        lambda f: f.rebuild(), lambda f: f.rebuild(seed=5), lambda f: f.set_center(np.ones(DIM)),
        lambda f: setattr(f, "center", np.ones(DIM)), lambda f: f.set_functions(np.ones((DIM, f.K * f.L)))], ids=range(5))
    def test_other_functions_are_refused(self, change):
        X = rows(10)
        tables = LSHTables(FAMILIES["simhash"]()).build(X)
        assert tables.built and tables.version == 0
        change(tables.family)
        assert not tables.built
        for call in (lambda: tables.candidates(X), lambda: tables.insert([10], X[:1]), lambda: tables.remove([0]),
                     lambda: tables.move([0], X[:1]), tables.views):
            with pytest.raises(StaleTablesError, match=r"version 1 meet tables built with version 0.*call build\(X\) again"):
                call()
        assert not LSHTables.from_state(tables.state()).built
        tables.build(X)
        assert tables.built and tables.version == 1
        assert all(i in found for i, found in enumerate(candidate_lists(tables, X)))

    def test_codes_of_another_version_are_refused(self):
        X = rows(10)
        tables = LSHTables(FAMILIES["simhash"]()).build(X)
        codes, version = tables.family.hash(X), tables.family.version
        for a, b in zip(tables.candidates_from_codes(codes, version), tables.candidates(X), strict=True):
            np.testing.assert_array_equal(a, b)
        tables.family.rebuild()
        tables.build(X)
        with pytest.raises(StaleTablesError, match="codes of version 0 meet tables built with version 1"):
            tables.candidates_from_codes(codes, version)

    def test_a_centre_that_stays_is_no_change(self):
        tables = LSHTables(SimHash(DIM, K=4, L=5, center=np.ones(DIM))).build(rows(5))
        tables.family.set_center(np.ones(DIM))
        assert tables.built

    def test_a_build_that_fails_half_way(self, monkeypatch):
        """Rows of the old build are not looked for where the new one would have put them."""
        monkeypatch.setattr(lsh_tables, "BUILD_BLOCK", 4)
        X = rows(12)
        bad = rows(12, 1)
        tables = LSHTables(FAMILIES["simhash"]()).build(X)
        bad[9] = np.nan
        with pytest.raises(ValueError, match="NaN"):
            tables.build(bad)
        assert not tables.built
        with pytest.raises(StaleTablesError, match="the last build failed half way"):
            tables.candidates(X)
        assert len(tables.build(X)) == 12 and tables.remove(np.arange(12)) == 12 * 5

    def test_a_build_of_another_size_that_fails_leaves_the_old_one(self):
        X, bad = rows(12), rows(2000)
        bad[9] = np.nan
        tables = LSHTables(SimHash(DIM, K=16, L=4)).build(X)
        want = candidate_lists(tables, X)
        with pytest.raises(ValueError, match="NaN"):
            tables.build(bad)
        assert tables.built and candidate_lists(tables, X) == want


class TestFolding:
    """Codes longer than the rows can use are shortened: nothing is lost, and few collisions are added."""

    @pytest.mark.parametrize("K, n, bits", [
        (3, 1000, 3), (8, 5, 8), (9, 5, 8), (12, 100, 8), (12, 129, 9), (16, 3000, 13), (16, 2, 8)])
    def test_number_of_buckets(self, K, n, bits):
        tables = LSHTables(SimHash(DIM, K=K, L=2)).build(rows(n))
        assert tables.views()[1].shape == (2, 1 << bits, 2)
        codes = tables.codes(rows(n))
        assert int(codes.max()) < 1 << bits

    def test_collisions(self):
        n, L = 3000, 20
        X, Q = rows(n), rows(200, 1)
        family = SimHash(DIM, K=16, L=L)
        tables = LSHTables(family).build(X)
        stored, asked = tables.codes(X), tables.codes(Q)
        true = family.hash_tables(X)[:, :, None] == family.hash_tables(Q)[:, None, :]
        folded = stored[:, :, None] == asked[:, None, :]
        assert folded[true].all()
        false = (folded & ~true).sum()
        # the documented rate is one in 2n pairs or fewer; pairs that share a row are not independent, codes of tables are
        by_table = (folded & ~true).reshape(L, -1).sum(1)
        assert false / folded.size < 1 / (2 * n) + stats.norm.ppf(0.999) * by_table.std(ddof=1) * math.sqrt(L) / folded.size

    def test_changes_under_folding(self):
        X = rows(50)
        tables = LSHTables(SimHash(DIM, K=16, L=6)).build(X)
        tables.move([3], X[:1])
        tables.insert([70], X[1:2])
        assert tables.remove([5]) == 6
        found = candidate_lists(tables, X)
        assert 3 in found[0] and 70 in found[1] and 5 not in found[5]
        codes = tables.family.hash(X)
        assert [a.tolist() for a in tables.candidates_from_codes(codes, 0)] == [a.tolist() for a in tables.candidates(X)]


class TestRetrieval:
    @pytest.mark.parametrize("cosine, K, L", [(0.9, 8, 10), (0.3, 3, 5), (0.0, 6, 20)])
    def test_planted_neighbours(self, cosine, K, L):
        """A neighbour at a given cosine is found with probability 1 - (1 - p^K)^L; new functions and vectors in every trial."""
        trials, found = 800, 0
        rng = np.random.default_rng(0)
        for seed in range(trials):
            x, y = np.linalg.qr(rng.standard_normal((DIM, 2)))[0].T
            neighbour = cosine * x + math.sqrt(1 - cosine**2) * y
            tables = LSHTables(SimHash(DIM, K=K, L=L, seed=seed)).build(x[None])
            found += len(tables.candidates(neighbour[None])[1])
        p = 1 - math.acos(cosine) / math.pi
        want = 1 - (1 - p**K) ** L
        assert tables.family.retrieval_probability(cosine) == pytest.approx(want)
        low, high = stats.binom.interval(0.999, trials, want)
        assert low <= found <= high


class TestState:
    @pytest.mark.parametrize("policy", POLICIES)
    @pytest.mark.parametrize("family", [*FAMILIES, "folded"])
    def test_round_trip(self, family, policy):
        family = FAMILIES[family]() if family in FAMILIES else SimHash(DIM, K=16, L=3)
        tables = LSHTables(family, **POLICIES[policy]).build(rows(30))
        family.rebuild()
        tables.build(rows(30, 2))
        tables.remove([3, 4])
        again = LSHTables.from_state(tables.state())
        assert repr(again) == repr(tables) and len(again) == 28 and again.version == 1 and again.built
        for step in range(3):
            assert candidate_lists(again, rows(20, 5)) == candidate_lists(tables, rows(20, 5))
            for t in (tables, again):
                t.insert(np.arange(40, 60) + 20 * step, rows(20, 6 + step))
                t.move([1, 7], rows(2, 8 + step))
        # memory depends on when it was allocated
        assert {**again.stats(), "nbytes": 0} == {**tables.stats(), "nbytes": 0}

    def test_a_state_stays_as_it_was(self):
        tables = LSHTables(FAMILIES["simhash"]()).build(rows(30))
        want = candidate_lists(tables, rows(9, 1))
        state = tables.state()
        tables.move(np.arange(30), rows(30, 3))
        tables.remove([2])
        again = LSHTables.from_state(state)
        assert candidate_lists(again, rows(9, 1)) == want and len(again) == 30
        assert again.remove(np.arange(30)) == 30 * 5

    def test_parts_that_do_not_fit(self):
        tables = LSHTables(FAMILIES["simhash"]()).build(rows(30))
        for change, message in [
            (lambda s: s.update(bits=5), "buckets do not fit"),
            (lambda s: s.update(bits=0), "bits must be"),
            (lambda s: s.update(codes=s["codes"][:, 1:]), "row codes do not fit"),
            (lambda s: s.update(codes=s["codes"] + 16), "row codes do not fit"),
            (lambda s: s.update(present=s["present"][1:]), "row codes do not fit"),
        ]:
            state = tables.state()
            change(state)
            with pytest.raises(ValueError, match=message):
                LSHTables.from_state(state)


class TestRefusals:
    @pytest.mark.parametrize("call, error, message", [
        (lambda t: t.insert([25], rows(2)), ValueError, "1 ids came with 2 rows"),
        (lambda t: t.insert([0], rows(1)), ValueError, "id 0 is in the tables already; use move"),
        (lambda t: t.insert([-1], rows(1)), ValueError, "from 0 on; got -1"),
        (lambda t: t.insert([30, 30], rows(2)), ValueError, "ids must not repeat"),
        (lambda t: t.insert([2**32 + 30], rows(1)), ValueError, "ids must be at most"),
        (lambda t: t.insert(np.array([31, 2**63], np.uint64), rows(2)), ValueError, "ids must be at most"),
        (lambda t: t.insert([30.5], rows(1)), TypeError, "ids must be integers"),
        (lambda t: t.insert([[30]], rows(1)), TypeError, "one axis"),
        (lambda t: t.insert([30], rows(1)[:, 1:]), ValueError, r"shape \(1, 11\)"),
        (lambda t: t.insert([30], np.full((1, DIM), np.nan)), ValueError, "NaN"),
        (lambda t: t.remove([20]), KeyError, "id 20 is not in the tables"),
        (lambda t: t.remove([-1]), KeyError, "id -1 is not in the tables"),
        (lambda t: t.remove([3, 3]), ValueError, "ids must not repeat"),
        (lambda t: t.move([99], rows(1)), KeyError, "id 99 is not in the tables"),
        (lambda t: t.move([1, 2], rows(1)), ValueError, "2 ids came with 1 rows"),
        (lambda t: t.candidates(rows(2)[:, :5]), ValueError, r"shape \(2, 5\)"),
        (lambda t: t.candidates_from_codes(np.zeros((2, 4), np.uint8), 0), ValueError, "codes must be unsigned, of shape"),
        (lambda t: t.candidates_from_codes(np.zeros((2, 5), np.int64), 0), ValueError, "codes must be unsigned"),
        (lambda t: t.candidates_from_codes(np.full((2, 5), 16, np.uint8), 0), ValueError, "code 16 is beyond 4 bits"),
        (lambda t: t.build(rows(5)[:, 1:]), ValueError, r"shape \(5, 11\)"),
    ], ids=range(20))
    def test_calls(self, call, error, message):
        tables = LSHTables(FAMILIES["simhash"]()).build(rows(20))
        before = candidate_lists(tables, rows(20))
        with pytest.raises(error, match=message):
            call(tables)
        assert candidate_lists(tables, rows(20)) == before and len(tables) == 20

    @pytest.mark.parametrize("arguments", [{"capacity": 0}, {"capacity": 1.5}, {"policy": "lru"}, {"seed": -1}], ids=str)
    def test_settings(self, arguments):
        with pytest.raises((ValueError, TypeError), match=next(iter(arguments))):
            LSHTables(FAMILIES["simhash"](), **arguments)

    def test_removed_ids_may_come_back(self):
        X = rows(20)
        tables = LSHTables(FAMILIES["simhash"]()).build(X)
        tables.remove([4])
        with pytest.raises(KeyError, match="id 4"):
            tables.remove([4])
        tables.insert([4], X[4:5])
        assert 4 in candidate_lists(tables, X)[4]
