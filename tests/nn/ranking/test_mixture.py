"""The mixture: never worse than a source where it was chosen, better where they know different things, calibrated, saved."""

import numpy as np
import pytest

from mongoose_nb.core.saving import restore, state_of
from mongoose_nb.nn.ranking import Mixture
from mongoose_nb.nn.ranking.mixture import logistic_fit, precision
from mongoose_nb.nn.ranking.source import as_it_is

ROWS, EACH = 400, 12
INDPTR = np.arange(0, ROWS * EACH + 1, EACH)
rng = np.random.default_rng(0)
POSITIVE = (np.arange(EACH) == rng.integers(0, EACH, ROWS)[:, None]).ravel()


def seen(noise, seed):
    return (POSITIVE + noise * np.random.default_rng(seed).standard_normal(len(POSITIVE))).astype(np.float32)


def source(*columns, **forms):
    return {str(i): column for i, column in enumerate(columns)}, forms or {"value": as_it_is}


@pytest.mark.parametrize("first, second", [(0.3, 3.0), (3.0, 0.3), (0.7, 0.7)])
def test_never_worse_than_a_source_and_better_than_two_that_know_different_things(first, second):
    columns = {"first": source(seen(first, 1)), "second": source(seen(second, 2), np.zeros(len(POSITIVE), np.float32), value=as_it_is,
                                                                 cubed=lambda v: v**3)}
    mixture = Mixture()
    report = mixture.fit(columns, INDPTR, POSITIVE)
    mean = {name: np.mean(list(scores.values())) for name, scores in report.items()}
    assert mean["mixture"] >= max(mean["first"], mean["second"]) and len(report) == 3
    if first == second:
        assert report["mixture"]["P@1"] > max(report["first"]["P@1"], report["second"]["P@1"])
        assert sorted(mixture.sources) == ["first", "second"]
    got = precision(mixture.scores(columns), INDPTR, POSITIVE)
    np.testing.assert_allclose(got, list(report["mixture"].values()))
    again = Mixture()
    restore(again, state_of(mixture))
    np.testing.assert_array_equal(again.scores(columns), mixture.scores(columns))
    np.testing.assert_array_equal(again.probabilities(got.astype(np.float32)), mixture.probabilities(got.astype(np.float32)))


def test_a_source_that_adds_nothing_is_left_out():
    mixture = Mixture()
    mixture.fit({"knows": source(seen(0.1, 1)), "noise": source(seen(100, 2))}, INDPTR, POSITIVE)
    assert mixture.sources == ["knows"]


def test_probabilities_are_shares_of_hits():
    """Of candidates with a probability near p, a share near p are labels: within four standard errors, in each of five groups."""
    mixture, values = Mixture(), seen(0.5, 3)
    mixture.fit({"only": source(values)}, INDPTR, POSITIVE)
    other = np.random.default_rng(9)
    labels = other.random(200_000) < 1 / EACH
    scores = mixture.scores({"only": source((labels + 0.5 * other.standard_normal(len(labels))).astype(np.float32))})
    p = mixture.probabilities(scores)
    for group in np.array_split(np.argsort(p), 5):
        error = np.sqrt(max(p[group].mean(), 1e-3) / len(group) + 1 / POSITIVE.sum() * p[group].mean() ** 2)
        assert abs(labels[group].mean() - p[group].mean()) < 4 * error + 0.01
    assert mixture.probabilities(np.array([-np.inf], np.float32)) == 0


def test_rare_labels_may_count_more():
    """Two candidates a row: a common one that is right a little more often, and a rare one that counts three times."""
    random = np.random.default_rng(5)
    first = random.random(1000) < 0.6
    positive = np.stack([first, ~first], axis=1).ravel()
    likely = np.tile(np.float32([0.6, 0.4]), 1000) + 0.05 * random.standard_normal(2000).astype(np.float32)
    worth = np.tile([1.0, 3.0], 1000)
    columns = {"likely": source(likely), "rare": source(np.log(worth).astype(np.float32))}
    indptr = np.arange(0, 2001, 2)
    plain, scored = Mixture(), Mixture()
    report = plain.fit(columns, indptr, positive)
    other = scored.fit(columns, indptr, positive, worth)
    assert "rare" in scored.sources
    assert other["mixture"]["P@1"] < report["mixture"]["P@1"]  # reported as precision
    gain = [precision(mixture.scores(columns), indptr, positive * worth)[0] for mixture in (plain, scored)]
    assert gain[1] > 1.5 * gain[0]


def test_the_logistic_fit_is_at_the_optimum():
    scores = seen(0.7, 4)
    a, b = logistic_fit(scores, POSITIVE)
    n = POSITIVE.sum()
    target = np.where(POSITIVE, (n + 1) / (n + 2), 1 / (len(POSITIVE) - n + 2))
    residual = 1 / (1 + np.exp(-(a * scores.astype(float) + b))) - target
    assert abs(residual.sum()) < 1e-2 and abs(residual @ scores) < 1e-2
    for scores, labels in ((np.zeros(0, np.float32), np.zeros(0, bool)), (np.ones(5, np.float32), np.ones(5, bool)),
                           (np.array([-1, 1], np.float32), np.array([False, True]))):
        assert np.isfinite(logistic_fit(scores, labels)).all()


def test_a_damaged_state_is_refused():
    for terms in ([["rankers", "", "value"]], [[1, "", "value", 1.0]], [["rankers", "", "value", float("nan")]]):
        with pytest.raises(ValueError, match="the saved mixture has the term"):
            restore(Mixture(), {**state_of(Mixture()), "terms": terms})


def test_without_rows_a_source_ranks():
    mixture = Mixture()
    none = np.zeros(0, np.float32)
    mixture.fit({"first": source(none), "second": source(none)}, np.zeros(1, np.int64), np.zeros(0, bool))
    assert len(mixture.terms) == 1


def test_log_probabilities_are_logarithms_of_the_probabilities_and_never_vanish():
    mixture = Mixture()
    mixture.scale, mixture.offset = 2.0, -1.0
    scores = np.array([-np.inf, -3.0, 0.5, 40.0])
    np.testing.assert_allclose(np.exp(mixture.log_probabilities(scores)), mixture.probabilities(scores), rtol=1e-12)
    assert mixture.log_probabilities(np.array([-1e4]))[0] == -20_001
