"""Both parts of the check in one call, and what it reports."""

import pytest
import toy_hashing as toy

from mongoose_nb.testing import CheckFailed, Report, check_hash_family


def test_the_report_holds_both_parts():
    report = check_hash_family(toy.Signs, functions=2000)
    assert isinstance(report, Report) and len(report) == len(list(report)) and set(report.skipped) <= {"threads"}
    for check in ("shape", "dense equals CSR", "rebuild", "monotone probability", "collision frequency", "columns differ"):
        assert check in report
    text = str(report)
    assert "collision frequency: cosine 0, pair 2: observed 0." in text and "expected 0.5, bound [0.4" in text
    assert text.count("\n") == len(report) - 1


def test_the_least_family_in_one_line():
    report = check_hash_family(toy.Grid, metric="l2", dim=1, functions=2000)
    assert "state round trip: skipped, no state and from_state" in str(report)
    check_hash_family(toy.Grid, metric="l2", dim=1, functions=2000, probability=lambda distance: max(0, 1 - distance / 4))


@pytest.mark.parametrize("broken, check", [(toy.CsrDiffers, "dense equals CSR"), (toy.Biased, "collision frequency")])
def test_either_part_can_fail(broken, check):
    with pytest.raises(CheckFailed, match=f"^{check}: "):
        check_hash_family(broken)


def test_arguments_reach_both_parts():
    with pytest.raises(CheckFailed, match="^other process: "):
        check_hash_family(toy.DependsOnTheProcess, another_process=True, functions=200)
    with pytest.raises(CheckFailed, match="^dense equals CSR: hash refuses"):
        check_hash_family(toy.RefusesCsr, sparse=True, functions=200)
    assert "cosine 0.25, pair 2" in str(check_hash_family(toy.Signs, values=(0.25,), pairs=3, functions=200, nnz=2, alpha=1e-6))
