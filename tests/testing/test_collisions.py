"""Frequencies of collisions: right families pass as often as promised, wrong ones fail by name."""

import re

import numpy as np
import pytest
import toy_hashing as toy

from mongoose_nb.hashing import DWTA
from mongoose_nb.testing import CheckFailed, check_collisions, check_sensitivity
from mongoose_nb.testing.statistics import clopper_pearson


def test_right_families_pass():
    report = check_collisions(toy.Signs)
    assert {line.check for line in report} == {"monotone probability", "collision frequency", "independent columns", "columns differ"}
    for line in report:
        if line.expected is not None:
            assert line.bound[0] <= line.expected <= line.bound[1] and line.bound[0] <= line.observed <= line.bound[1]
    assert report.skipped == []
    report = check_collisions(toy.Grid, metric="l2", dim=1)
    assert sum(line.check == "collision frequency" for line in report) == 10  # two pairs at each of five distances


def test_several_hashes_in_a_column():
    check_collisions(lambda seed: toy.Signs(seed, K=3, L=50))
    with pytest.raises(CheckFailed, match="^collision frequency"):  # not the probability of one hash
        check_collisions(lambda seed: toy.Signs(seed, K=3, L=50), probability=toy.Signs().collision_probability)


@pytest.mark.parametrize("broken, check, text", [
    (toy.Biased, "collision frequency", "cosine -0.5, pair 0: observed 0.36"),
    (toy.BiasedByRebuild, "collision frequency", "cosine -0.5, pair 0: observed 0.39"),
    (toy.WrongFormula, "collision frequency",
     "expected 0.25000; at confidence 0.999 over 20 statements the probability lies in bound [0."),
    (toy.WrongFormulaOfTwo, "collision frequency", "cosine -0.5, pair 0, collision_probability_of: observed 0.3"),
    (toy.AxisAligned, "collision frequency", "pair"),
    (toy.Falling, "monotone probability", "falls from 0.160861 to 0 where cosine goes from 0.875 to 1"),
    (toy.AboveOne, "monotone probability", "observed probability 1.1 at cosine 1, expected bound [0, 1]"),
    (toy.EqualColumns, "columns differ", "observed 1.000 of all pairs of 100 columns"),
    (toy.ColumnsInPairs, "independent columns", "in at least one of 2 columns"),
    (toy.IgnoresSeed, "collision frequency", "pair"),
])
def test_broken_families_fail_by_name(broken, check, text):
    with pytest.raises(CheckFailed, match=f"^{check}: .*{re.escape(text)}") as caught:
        check_collisions(broken)
    assert caught.value.check == check and caught.value.observed is not None


def test_a_formula_for_the_average_over_pairs():
    # Single coordinates of normal rows: right on average over pairs, for which each column takes a pair of its own.
    kind = {"metric": "correlation", "values": (-0.5, 0.0, 0.9)}
    without = type("Average", (toy.AxisAligned,), {"collision_probability_of": None})
    without = type("Average", (without,), {"collision_probability_of": property(lambda self: self.missing)})  # hasattr says no
    report = check_collisions(without, over="pairs", **kind)
    assert [line.note.rstrip(": ") for line in report if line.check == "collision frequency"] == [
        f"correlation {value:g}, random pairs" for value in kind["values"]]
    with pytest.raises(CheckFailed, match="^collision frequency"):
        check_collisions(without, over="functions", **kind)
    wrong = type("Wrong", (without,), {"collision_probability": lambda self, rho: (1 + rho) / 2})
    with pytest.raises(CheckFailed, match="^collision frequency: correlation -0.5, random pairs"):
        check_collisions(wrong, over="pairs", **kind)


def test_random_sets_are_judged_by_the_similarity_they_have():
    """Of unions of two to five members, none has similarity 0.3; the nearest is 1/3."""
    class MinHash:
        dim = 10

        def __init__(self, seed, L=100):
            self.order = np.random.default_rng(seed).random((L, self.dim)).argsort(axis=1)

        def hash(self, X):
            return np.stack([np.where(X[:, order] > 0, np.arange(self.dim), self.dim).min(axis=1) for order in self.order], axis=1)

        def collision_probability(self, jaccard):
            return jaccard

    for over in ("functions", "pairs"):
        report = check_collisions(MinHash, metric="jaccard", over=over, values=(0.0, 0.3, 0.9))
        assert {line.expected for line in report if line.check == "collision frequency"} == {0, 1 / 3, 0.8}


def test_few_coordinates_find_functions_that_see_few():
    # Every function reads a third of the coordinates: dense rows are nearly right, rows of two coordinates are not.
    class Sparse(toy.Signs):
        dim = 300

        def draw(self):
            super().draw()
            self.R *= np.random.default_rng([self.seed, self.generation, 2]).random(self.R.shape) < 1 / 3

    check_collisions(Sparse, functions=4000)
    with pytest.raises(CheckFailed, match="^collision frequency"):
        check_collisions(Sparse, functions=4000, nnz=2)


def test_a_tolerance_for_approximate_formulas():
    class Rough(toy.Signs):
        def collision_probability(self, cosine):
            return super().collision_probability(cosine) * (0.95 if cosine < 1 else 1)

        collision_probability_of = property(lambda self: self.missing)

    with pytest.raises(CheckFailed, match="^collision frequency"):
        check_collisions(Rough)
    check_collisions(Rough, tolerance=0.06)


def test_tables_of_dwta_with_few_coordinates_are_alike():
    # A bin that holds all coordinates sorts rows by their largest one, whatever the permutation: L tables that are one.
    class Old(DWTA):
        def _draw(self):
            order = np.random.default_rng(self._seed).permuted(np.tile(np.arange(self.dim), (self.K * self.L, 1)), axis=1)
            self._set_index(order.astype(np.int32))

    with pytest.raises(CheckFailed, match="^columns differ: observed 1.000 of all pairs of 50 columns"):
        check_collisions(lambda seed: Old(8, K=1, L=50, seed=seed), metric="correlation", over="pairs")


# --- how often right ones fail ----------------------------------------------------------------------------------------------------------


def test_false_alarms_are_no_more_frequent_than_alpha():
    """The whole check on right families, at an alpha large enough to see it: the rate is compatible with at most alpha."""
    runs, alpha, failures = 300, 0.2, 0
    for seed in range(runs):
        try:
            check_collisions(lambda s: toy.Grid(s, L=50), metric="l2", dim=1, values=(0.5, 1.5, 3.0), functions=400, alpha=alpha, seed=seed)
        except CheckFailed as error:
            assert error.check in ("collision frequency", "independent columns")
            failures += 1
    assert clopper_pearson(failures, runs, 2e-3)[0] <= alpha
    assert failures > 0  # else the alarm could be broken


def test_a_bias_of_two_in_a_hundred_is_seen():
    """Seldom missed: 2 standard deviations beyond the bound."""
    def half(distance):  # at distance 2, where it is a half
        return 0.72 - 0.1 * distance

    missed = 0
    for seed in range(20):
        try:
            check_collisions(toy.Grid, metric="l2", dim=1, values=(2.0,), probability=half, seed=seed)
            missed += 1
        except CheckFailed:
            pass
    assert missed <= 4


# --- sensitivity ------------------------------------------------------------------------------------------------------------------------


def test_sensitivity():
    exact = toy.Signs().collision_probability
    report = check_sensitivity(toy.Signs, 0.8, 0.5, p1=exact(0.8), p2=exact(0.4))
    assert len(report) == 12 and all(line.check == "sensitivity" for line in report)
    check_sensitivity(toy.Signs, 0.8, 0.5, p1=0.7, p2=0.7 - 1e-9)
    check_sensitivity(toy.Grid, 1.0, 3.0, p1=0.75, p2=0.25, metric="l2", dim=1)


@pytest.mark.parametrize("make, arguments, text", [
    (toy.Signs, (0.8, 0.5, 0.85, 0.65), r"cosine 0.8 \(near side.*expected at least p1 = 0.85.*bound \[0.7"),
    (toy.Signs, (0.8, 0.5, 0.75, 0.6), r"cosine 0.4 \(far side.*expected at most p2 = 0.6;.*bound \[0.6"),
    (toy.Biased, (0.8, 0.5, 0.78, 0.631), r"cosine 0.4 \(far side"),
])
def test_claims_that_are_not_so(make, arguments, text):
    with pytest.raises(CheckFailed, match=f"^sensitivity: {text}"):
        check_sensitivity(make, *arguments)


def test_wrong_arguments():
    for arguments, text in ((("cosine", 0.8, 1.2), "1.2"), (("l2", 1.0, 0.5), "above 1"), (("cosine", -0.2, 0.5), "below 1")):
        metric, S0, c = arguments
        if c == 1.2:
            text = "below 1"
        with pytest.raises(ValueError, match=text):
            check_sensitivity(toy.Signs, S0, c, 0.8, 0.5, metric=metric)
    with pytest.raises(ValueError, match="p2 < p1"):
        check_sensitivity(toy.Signs, 0.8, 0.5, 0.5, 0.8)
    with pytest.raises(ValueError, match="'functions' or 'pairs'"):
        check_collisions(toy.Signs, over="rows")
    with pytest.raises(ValueError, match="alpha is 0"):
        check_collisions(toy.Signs, alpha=0)
    with pytest.raises(TypeError, match="pass probability="):
        check_collisions(type("Bare", (), {"__init__": lambda self, seed: None, "dim": 3}))
