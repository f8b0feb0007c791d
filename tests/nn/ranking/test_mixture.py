"""The mixture: never worse than a source where it was chosen, better where both know something, saved."""

import numpy as np
import pytest

from mongoose_nb.core.saving import restore, state_of
from mongoose_nb.nn.ranking import Mixture
from mongoose_nb.nn.ranking.mixture import precision

ROWS, EACH = 400, 12
INDPTR = np.arange(0, ROWS * EACH + 1, EACH)
rng = np.random.default_rng(0)
POSITIVE = (np.arange(EACH) == rng.integers(0, EACH, ROWS)[:, None]).ravel()


def seen(noise, seed):
    return (POSITIVE + noise * np.random.default_rng(seed).standard_normal(len(POSITIVE))).astype(np.float32)


@pytest.mark.parametrize("margin, votes", [(0.3, 3.0), (3.0, 0.3), (0.7, 0.7)])
def test_never_worse_than_a_source_and_better_than_two_that_know_different_things(margin, votes):
    margins, shares = 2 * seen(margin, 1) - 1, np.maximum(seen(votes, 2), 0)
    nothing = np.zeros_like(shares)
    mixture = Mixture()
    report = mixture.fit(margins, shares, nothing, INDPTR, POSITIVE)
    mean = {name: np.mean(list(scores.values())) for name, scores in report.items()}
    assert mean["mixture"] >= max(mean["rankers"], mean["neighbours"])
    if margin == votes:
        assert report["mixture"]["P@1"] > max(report["rankers"]["P@1"], report["neighbours"]["P@1"])
    got = precision(mixture.scores(margins, shares, nothing), INDPTR, POSITIVE)
    np.testing.assert_allclose(got, list(report["mixture"].values()))
    again = Mixture()
    restore(again, state_of(mixture))
    np.testing.assert_array_equal(again.scores(margins, shares, nothing), mixture.scores(margins, shares, nothing))


def test_votes_of_the_nearest_alone():
    mixture = Mixture()
    mixture.fit(np.zeros(len(POSITIVE), np.float32), np.zeros(len(POSITIVE), np.float32), POSITIVE.astype(np.float32), INDPTR, POSITIVE)
    assert "of the nearest" in mixture.votes and mixture.scores(*[POSITIVE.astype(np.float32)] * 3).std() > 0


def test_a_damaged_state_is_refused():
    for change in ({"margin": "most"}, {"votes": "all of the nearest"}):
        with pytest.raises(ValueError, match="which are not known"):
            restore(Mixture(), {**state_of(Mixture()), **change})


def test_without_rows_the_margins_rank():
    mixture = Mixture()
    none = np.zeros(0, np.float32)
    mixture.fit(none, none, none, np.zeros(1, np.int64), np.zeros(0, bool))
    assert (mixture.margin, mixture.votes, mixture.weight) == ("margin", "", 0.0)
