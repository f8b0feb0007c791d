"""The contract of a hash family, run on every family."""

import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from mongoose_nb.core.registry import name_of, registered
from mongoose_nb.core.threads import ROWS_FROM
from mongoose_nb.hashing import (
    DWTA,
    WTA,
    BitSampling,
    CrossPolytope,
    HashFamily,
    MinHash,
    PStable,
    SimHash,
    family_from_state,
)
from mongoose_nb.testing import check_hash_contract
from mongoose_nb.testing.factories import thread_counts, threads

DIM = 50
CENTER = np.linspace(-1, 1, DIM)
FAMILIES = {
    "simhash": lambda seed=1: SimHash(DIM, K=9, L=12, seed=seed),
    "simhash-sparse": lambda seed=1: SimHash(DIM, K=5, L=12, seed=seed, projection="sparse"),
    "simhash-center": lambda seed=1: SimHash(DIM, K=17, L=12, seed=seed, center=CENTER),
    "crosspolytope": lambda seed=1: CrossPolytope(DIM, K=2, L=12, seed=seed, last_dim=4),
    "crosspolytope-features": lambda seed=1: CrossPolytope(DIM, K=2, L=12, seed=seed, feature_dim=16, center=CENTER),
    "dwta": lambda seed=1: DWTA(DIM, K=3, L=12, seed=seed),
    "dwta-value": lambda seed=1: DWTA(DIM, K=3, L=12, seed=seed, zeros="value"),
    "dwta-center": lambda seed=1: DWTA(DIM, K=2, L=12, seed=seed, bin_size=16, center=CENTER),
    "dwta-value-center": lambda seed=1: DWTA(DIM, K=3, L=12, seed=seed, zeros="value", center=CENTER),
    "wta": lambda seed=1: WTA(DIM, K=3, L=12, seed=seed),
    "minhash": lambda seed=1: MinHash(DIM, K=2, L=12, seed=seed),
    "minhash-bits": lambda seed=1: MinHash(DIM, K=3, L=12, seed=seed, bits=4),
    "pstable": lambda seed=1: PStable(DIM, K=3, L=12, seed=seed, width=2.0, center=CENTER),
    "pstable-cauchy": lambda seed=1: PStable(DIM, K=3, L=12, seed=seed, p=1, code_bits=14),
    "bitsampling": lambda seed=1: BitSampling(DIM, K=12, L=12, seed=seed),
    "dwta-wide-bin": lambda seed=1: DWTA(DIM, K=3, L=12, seed=seed, bin_size=64, zeros="value"),
}
# families that are registered and not listed above, with their defaults
FAMILIES |= {name: lambda seed=1, cls=cls: cls(DIM, K=2, L=12, seed=seed) for name, cls in registered("hash family", "mongoose_nb.").items()
             if cls not in {type(make()) for make in FAMILIES.values()}}


def rows(n, seed=0):
    """Rows of every density, some with many ties, the first of them all zero, the second constant."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, DIM)) * (rng.random((n, DIM)) < rng.random((n, 1)))
    X[n // 2 :] = np.round(X[n // 2 :])
    X[:1] = 0
    X[1:2] = 1
    return X.astype(np.float32)


@pytest.fixture(params=FAMILIES)
def make(request):
    return FAMILIES[request.param]


@pytest.fixture
def family(make):
    return make()


class TestContract:
    def test_what_every_family_promises(self, make):
        report = check_hash_contract(make, rows=rows(1500), sparse=True)
        assert set(report.skipped) <= {"threads"}

    def test_shape_dtype_and_layout(self, family):
        codes = family.hash(rows(40))
        bits = family.code_bits
        assert 1 <= bits <= 32 and family.n_buckets == 2**bits
        assert codes.shape == (40, 12)
        assert codes.dtype == family.code_dtype == np.min_scalar_type(2**bits - 1)
        assert codes.T.flags.c_contiguous
        np.testing.assert_array_equal(codes.T, family.hash_tables(rows(40)))

    def test_out_is_filled_and_returned(self, family):
        X = rows(9)
        out = np.empty((12, 9), family.code_dtype)
        assert family.hash_tables(X, out=out) is out
        np.testing.assert_array_equal(out.T, family.hash(X))

    @settings(deadline=None, max_examples=15)
    @given(n=st.integers(1, 90), seed=st.integers(0, 1000), where=st.integers(0, 89))
    def test_a_code_depends_on_its_row_alone(self, n, seed, where):
        X = rows(n, seed)
        i = where % n
        for make in FAMILIES.values():
            np.testing.assert_array_equal(make().hash(X)[i], make().hash(X[i])[0])

    def test_kinds_of_sparse_input(self, family):
        X = rows(40)
        for other in (sp.csr_matrix(X), sp.csr_array(X.astype(np.float64))):
            np.testing.assert_array_equal(family.hash(other), family.hash(X))

    def test_untidy_sparse_rows(self, family):
        # unsorted columns, a column given twice, stored zeros, and storage beyond the last row
        data = np.array([1, 2, 0.5, 0, -3, 9, 9], np.float32)
        columns = np.array([7, 3, 3, 5, 0, 1, 1])
        messy = sp.csr_array((data, columns, np.array([0, 4, 5])), shape=(2, DIM))
        before = messy.data.copy(), messy.indices.copy()
        tidy = np.zeros((2, DIM))
        tidy[0, [7, 3]] = 1, 2.5
        tidy[1, 0] = -3
        np.testing.assert_array_equal(family.hash(messy), family.hash(tidy))
        np.testing.assert_array_equal(messy.data, before[0])
        np.testing.assert_array_equal(messy.indices, before[1])

    def test_kinds_of_dense_input(self, family, tmp_path):
        X = rows(40)
        codes = family.hash(X)
        locked = X.copy()
        locked.setflags(write=False)
        mapped = np.memmap(tmp_path / "rows", np.float32, "w+", shape=X.shape)
        mapped[:] = X
        mapped = np.memmap(tmp_path / "rows", np.float32, "r", shape=X.shape)
        odd = np.empty(X.nbytes + 1, np.uint8)[1:].view(np.float32).reshape(X.shape)
        odd[:] = X
        strided = np.repeat(X, 2, axis=0)[::2]
        for other in (locked, mapped, odd, X.astype(np.float64), np.asfortranarray(X), strided, X.tolist()):
            np.testing.assert_array_equal(family.hash(other), codes)
        np.testing.assert_array_equal(family.hash(np.round(X).astype(np.int64)), family.hash(np.round(X)))

    def test_no_rows(self, family):
        for empty in (np.empty((0, DIM)), sp.csr_array((0, DIM))):
            codes = family.hash(empty)
            assert codes.shape == (0, 12) and codes.dtype == family.code_dtype

    def test_probes(self, family):
        X = rows(300)
        probes = min(family.max_probes, 20)
        codes = family.probe_tables(X, probes)
        assert codes.shape == (12, 300, probes) and codes.dtype == family.code_dtype
        np.testing.assert_array_equal(codes[:, :, 0], family.hash_tables(X))
        ordered = np.sort(codes, axis=2)
        assert (ordered[:, :, 1:] != ordered[:, :, :-1]).all()
        assert int(codes.max()) < family.n_buckets
        np.testing.assert_array_equal(family.probe_tables(sp.csr_array(X), probes), codes)
        np.testing.assert_array_equal(np.concatenate([family.probe_tables(part, probes) for part in np.split(X, [1, 8, 9])], 1), codes)
        np.testing.assert_array_equal(family.probe_tables(X[7], probes), codes[:, 7:8])
        np.testing.assert_array_equal(family.probe_tables(X, 1), codes[:, :, :1])
        if probes > 2:  # fewer probes are the first of more; how they are found may differ
            np.testing.assert_array_equal(family.probe_tables(X, 3), codes[:, :, :3])
        assert family.probe_tables(np.empty((0, DIM)), 1).shape == (12, 0, 1)

    def test_probes_find_neighbours_that_the_exact_code_misses(self, family):
        if family.max_probes == 1:
            pytest.skip("this family has no order of probes: it offers one bucket a table")
        rng = np.random.default_rng(1)
        X = rng.standard_normal((2000, DIM)).astype(np.float32)
        Y = X + np.float32(0.35 if not isinstance(family, PStable) else 0.02) * rng.standard_normal(X.shape).astype(np.float32)
        found = (family.probe_tables(Y, 8) == family.hash_tables(X)[:, :, None]).mean(axis=(0, 1))
        error = 3.3 * np.sqrt(0.25 / 2000)  # of a share of 2,000 rows; the twelve tables only make it smaller
        assert found[0] > 0.05 and found[1:].sum() > 0.1 * found[0] + error
        assert (np.diff(found) <= 2 * error).all() and found[0] > found[1] > found[3:].mean()

    def test_wrong_probes(self, family):
        for wrong, error in ((0, ValueError), (1.5, TypeError), (None, TypeError)):
            with pytest.raises(error, match="probes"):
                family.probe_tables(rows(2), wrong)
        text = "no multi-probe.*'simhash'" if family.max_probes == 1 else f"probes <= {family.max_probes}"
        with pytest.raises(ValueError, match=text):
            family.probe_tables(rows(2), family.max_probes + 1)

    def test_large_finite_rows_can_be_probed(self, family):
        X = np.full((4, DIM), 3e38, np.float32)
        X[1:] *= np.random.default_rng(0).uniform(-1, 1, (3, DIM)).astype(np.float32)
        probes = min(family.max_probes, 5)
        codes = np.sort(family.probe_tables(X, probes), axis=2)
        assert (codes[:, :, 1:] != codes[:, :, :-1]).all()

    def test_version_counts_changes(self, family):
        X = rows(100)
        version, codes = family.version, family.hash(X)
        family.rebuild().rebuild()
        family.rebuild(seed=1)
        assert family.version == version + 3 and family.seed == 1
        np.testing.assert_array_equal(family.hash(X), codes)
        if not family.takes_center:
            return
        family.set_center(np.cos(np.arange(DIM)))
        assert family.version == version + 4
        assert (family.hash(X) != codes).any()
        family.center = np.cos(np.arange(DIM))  # no change
        assert family.version == version + 4
        family.center = None
        assert family.version == version + 5 and family.center is None

    def test_center_cannot_be_changed_behind_the_version(self, family):
        if not family.takes_center:
            pytest.skip("this family takes no centre")
        mu = np.full(DIM, 0.3, np.float32)
        family.set_center(mu)
        mu[:] = 0
        assert family.center[0] == np.float32(0.3)
        with pytest.raises(ValueError):
            family.center[0] = 1

    def test_state_in_a_file(self, family, tmp_path):
        X = rows(100)
        family.rebuild()
        if family.takes_center:
            family.set_center(np.sin(np.arange(DIM)))
        np.savez(tmp_path / "state.npz", **family.state())
        with np.load(tmp_path / "state.npz") as loaded:
            copy = family_from_state(loaded)
        assert repr(copy) == repr(family) and copy.version == family.version
        for form in (X, sp.csr_array(X)):
            np.testing.assert_array_equal(copy.hash(form), family.hash(form))
        np.testing.assert_array_equal(copy.rebuild().hash(X), family.rebuild().hash(X))

    def test_state_of_another_kind_is_refused(self, family):
        other = DWTA if isinstance(family, SimHash) else SimHash
        with pytest.raises(ValueError, match=name_of(type(family))):
            other.from_state(family.state())
        with pytest.raises(ValueError, match="format 99"):
            HashFamily.from_state({**family.state(), "format": 99})
        with pytest.raises(ValueError, match="lacks 'seed'"):
            HashFamily.from_state({k: v for k, v in family.state().items() if k != "seed"})
        with pytest.raises(ValueError, match="Unheard"):
            HashFamily.from_state({**family.state(), "family": "Unheard"})

    def test_any_number_of_threads_probes_alike(self, family):
        X, results = rows(1500), []
        for number in thread_counts():
            with threads(number):
                results.append(family.probe_tables(X, min(family.max_probes, 5)))
        for other in results[1:]:
            np.testing.assert_array_equal(other, results[0])

    def test_scaling_a_row_changes_nothing(self, family):
        if isinstance(family, PStable):
            pytest.skip("a hash of distances: it may change with the scale of a row")
        family.set_center(None)
        X = rows(100)
        for scale in (2.0**-20, 2.0**9):
            np.testing.assert_array_equal(family.hash(X * np.float32(scale)), family.hash(X))

    def test_wrong_input(self, family):
        X = rows(4)
        S = sp.csr_array(X)
        for wrong, error, text in [
            (X[:, :-1], ValueError, r"shape \(4, 49\).*dim=50"), (np.zeros(7), ValueError, r"shape \(1, 7\)"),
            (np.zeros((2, 2, DIM)), ValueError, r"shape \(2, 2, 50\)"), (np.float32(1), ValueError, r"shape \(\)"),
            (X.astype(complex), TypeError, "complex"), (np.full((1, DIM), "a"), TypeError, "dtype"),
            (S.tocsc(), TypeError, "tocsr"), (S[:, :-1], ValueError, "dim=50"),
        ]:
            with pytest.raises(error, match=text):
                family.hash(wrong)
        for bad in (np.nan, np.inf, -np.inf, 1e300):
            Y = X.astype(np.float64)
            Y[2, 3] = bad
            for form in (np.asarray, sp.csr_array):
                with pytest.raises(ValueError, match="NaN or infinity"):
                    family.hash(form(Y))
        S.indices[-1] = DIM
        with pytest.raises(ValueError, match="broken CSR"):
            family.hash(S)

    def test_large_finite_rows_are_accepted(self, family):
        X = np.full((20, DIM), 3e38, np.float32)
        X[:, ::2] *= -1
        X[1:] *= np.random.default_rng(0).random((19, DIM), dtype=np.float32)
        np.testing.assert_array_equal(family.hash(X), family.hash(sp.csr_array(X)))

    def test_wrong_out(self, family):
        X, dtype = rows(4), family.code_dtype
        locked = np.empty((12, 4), dtype)
        locked.setflags(write=False)
        for out in (np.empty((4, 12), dtype), np.empty((12, 4), np.int64), np.empty((4, 12), dtype).T, locked, [1]):
            with pytest.raises(ValueError, match="out"):
                family.hash_tables(X, out=out)

    def test_wrong_center(self, family):
        if not family.takes_center:
            with pytest.raises(TypeError, match="takes no center"):
                family.set_center(np.zeros(DIM))
            return
        for center, text in ((np.zeros(3), r"\(3,\)"), (np.full(DIM, np.nan), "NaN")):
            with pytest.raises(ValueError, match=text):
                family.set_center(center)

    @pytest.mark.slow
    def test_probabilities(self, family):
        alike, first, wrong = domain(family)
        p = family.collision_probability(alike)
        assert (np.diff(p) > -1e-12).all() and p[-1] == 1 and p[0] == pytest.approx(first, abs=0.01)
        retrieval = family.retrieval_probability(alike)
        assert (np.diff(retrieval) > -1e-12).all() and retrieval[-1] == 1
        if type(family).table_probability is HashFamily.table_probability:
            np.testing.assert_allclose(retrieval, 1 - (1 - p**family.K) ** 12, atol=1e-12)
        assert np.ndim(family.collision_probability(alike[2])) == 0
        with pytest.raises(ValueError, match=str(wrong)):
            family.collision_probability(wrong)
        x = np.random.default_rng(0).standard_normal(DIM)
        assert family.collision_probability_of(x, x) == pytest.approx(1)


def domain(family):
    """What the collision probability takes, from the least to the most alike; the first probability; a wrong value."""
    if isinstance(family, MinHash):
        return np.linspace(0, 1, 9), 2.0**-family.bits_per_hash, 1.5
    if isinstance(family, PStable):
        return np.linspace(1000, 0, 9), 0, -0.5
    if isinstance(family, BitSampling):
        return np.linspace(DIM, 0, 9), 0, DIM + 1
    return np.linspace(-1, 1, 9), 0, 1.5


@pytest.mark.parametrize("name", ["dim", "K", "L"])
@pytest.mark.parametrize("family", [SimHash, DWTA, WTA, CrossPolytope, MinHash, PStable, BitSampling])
def test_sizes_must_be_positive_integers(family, name):
    sizes = {"dim": 8, "K": 2, "L": 2}
    with pytest.raises(ValueError, match=f"{name} is 0"):
        family(**{**sizes, name: 0})
    with pytest.raises(TypeError, match=f"{name} is 1.5"):
        family(**{**sizes, name: 1.5})
    for seed, error in ((-1, ValueError), (None, TypeError), (2**64, ValueError)):
        with pytest.raises(error, match="seed"):
            family(**sizes, seed=seed)
    assert family(**sizes, seed=2**64 - 1).hash(np.ones(8)).shape == (1, 2)


def test_a_code_has_at_most_32_bits():
    assert SimHash(8, K=32, L=2).hash(np.ones(8)).dtype == np.uint32
    with pytest.raises(ValueError, match="K <= 32"):
        SimHash(8, K=33, L=2)
    assert DWTA(8, K=10, L=2).hash(np.ones(8)).dtype == np.uint32
    with pytest.raises(ValueError, match="K <= 10"):
        DWTA(8, K=11, L=2)
    with pytest.raises(ValueError, match="K <= 4"):
        CrossPolytope(128, K=5, L=2)
    with pytest.raises(ValueError, match="K <= 2"):
        MinHash(8, K=3, L=2, bits=16)
    with pytest.raises(ValueError, match="at most 32"):
        PStable(8, K=33, L=2)


def test_importing_the_room_loads_neither_numba_nor_scipy():
    code = "import sys, mongoose_nb.hashing; sys.exit('numba' in sys.modules or 'scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("name", sorted(registered("hash family", "mongoose_nb.")))
def test_few_rows_are_hashed_on_one_thread(name, monkeypatch):
    """To wake threads for a row takes a hundred times as long as the row."""
    import numba

    cls, seen = registered("hash family", "mongoose_nb.")[name], []
    family = cls(16, 4, 2)
    for hook in ("_hash_dense", "_probe_dense"):
        original = getattr(family, hook)

        def record(*arguments, original=original):
            seen.append(numba.get_num_threads())
            return original(*arguments)

        monkeypatch.setattr(family, hook, record)
    before, X = numba.get_num_threads(), (np.random.default_rng(0).random((ROWS_FROM, 16)) < 0.5).astype(np.float32)
    for rows in (X[:1], X[:ROWS_FROM - 1]):
        family.hash(rows)
        if family.max_probes > 1:
            family.probe_tables(rows, 2)
    assert seen and set(seen) == {1}
    family.hash(X)
    assert seen[-1] == before == numba.get_num_threads()
