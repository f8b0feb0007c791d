"""The contract of a hash family: right ones pass, and every wrong one fails with its name on the message."""

import re

import numpy as np
import pytest
import toy_hashing as toy

from mongoose_nb.hashing import SimHash
from mongoose_nb.testing import CheckFailed, check_hash_contract

ALL = ["shape", "code range", "input unchanged", "determinism", "threads", "batch equals single", "dense equals CSR", "state round trip",
       "pickle", "rebuild"]


def test_a_family_with_everything_passes():
    report = check_hash_contract(toy.Signs)
    assert [line.check for line in report] == ALL and set(report.skipped) <= {"threads"}
    assert str(report).splitlines()[0] == "shape: holds"


def test_the_least_that_a_family_must_offer():
    report = check_hash_contract(toy.Grid, metric="l2", dim=1)
    assert set(report.skipped) - {"threads"} == {"dense equals CSR", "state round trip", "rebuild"}
    assert "dense equals CSR" not in report and "pickle" in report


@pytest.mark.parametrize("broken, check, text", [
    (toy.CodesTooLarge, "code range", "codes from 1 to 2, expected bound [0, 2)"),
    (toy.FloatCodes, "shape", "dtype float64, expected integers"),
    (toy.Transposed, "shape", "observed (100, 600), expected (600, L)"),
    (toy.NotDeterministic, "determinism", "another family of the same seed, 0"),
    (toy.IgnoresSeed, "determinism", "seeds 0 and 1 give the same codes"),
    (toy.BatchDependent, "batch equals single", "rows hashed one by one"),
    (toy.OrderDependent, "batch equals single", "rows hashed one by one"),
    (toy.CsrDiffers, "dense equals CSR", "CSR rows"),
    (toy.WritesToItsInput, "input unchanged", "refuses a read-only array"),
    (toy.ThreadDependent, "threads", "of 60000 entries that differ"),
    (toy.SharesItsState, "state round trip", "after its state was overwritten"),
    (toy.ForgetsTheGeneration, "state round trip", "version of the copy: observed 7, expected 0"),
    (toy.LosesFunctions, "pickle", "the copy"),
    (toy.RebuildsNothing, "rebuild", "rebuild number 1"),
    (toy.RebuildsUncounted, "rebuild", "version after rebuild number 1: observed 0, expected more than 0"),
])
def test_broken_families_fail_by_name(broken, check, text):
    if broken is toy.ThreadDependent and pytest.importorskip("numba").config.NUMBA_NUM_THREADS < 2:
        pytest.skip("one thread only")
    with pytest.raises(CheckFailed, match=f"^{check}: .*{re.escape(text)}") as caught:
        check_hash_contract(broken)
    assert caught.value.check == check and isinstance(caught.value, AssertionError)


def test_differences_are_counted_and_the_first_is_shown():
    text = r"observed \d+ of 4000 entries that differ, expected 0, bound \[0, 0\]; the first at \(\d+, \d+\), [01] instead of [01]"
    with pytest.raises(CheckFailed, match=text) as caught:
        check_hash_contract(toy.BatchDependent)
    assert caught.value.observed > 0 and caught.value.expected == 0 and caught.value.bound == (0, 0)


def test_csr_may_be_refused_unless_it_is_demanded():
    assert "dense equals CSR" in check_hash_contract(toy.RefusesCsr).skipped
    assert "dense equals CSR" in check_hash_contract(toy.CsrDiffers, sparse=False).skipped
    with pytest.raises(CheckFailed, match="dense equals CSR: hash refuses a CSR array: TypeError: dense rows only"):
        check_hash_contract(toy.RefusesCsr, sparse=True)


def test_another_process():
    assert "other process" in check_hash_contract(toy.Signs, another_process=True)
    with pytest.raises(CheckFailed, match="^other process: .* new interpreter"):
        check_hash_contract(toy.DependsOnTheProcess, another_process=True)
    with pytest.raises(ValueError, match="cannot be pickled"):
        check_hash_contract(lambda seed: toy.Signs(seed), another_process=True)


def test_an_object_that_can_be_rebuilt_is_a_factory():
    family = SimHash(12, K=2, L=5, seed=3, center=np.ones(12))
    codes = family.hash(np.eye(12))
    assert "rebuild" in check_hash_contract(family)
    np.testing.assert_array_equal(family.hash(np.eye(12)), codes)
    assert family.version == 0
    with pytest.raises(TypeError, match="Grid has no rebuild.*factory"):
        check_hash_contract(toy.Grid(0), metric="l2", dim=1)
    with pytest.raises(TypeError, match="factory make"):
        check_hash_contract(3)


def test_rows_of_the_user():
    with pytest.raises(ValueError, match="at least two rows"):
        check_hash_contract(toy.Signs, rows=np.ones(12))
    with pytest.raises(TypeError, match="Grid has no attribute dim"):
        check_hash_contract(toy.Grid, metric="l2")
    rows = np.random.default_rng(0).standard_normal((9, 12))
    kept = rows.copy()
    check_hash_contract(toy.Signs, rows=rows)
    np.testing.assert_array_equal(rows, kept)
