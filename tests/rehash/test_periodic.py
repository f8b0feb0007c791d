"""Schedules that look at the step alone."""

import itertools
import math

import numpy as np
import pytest

from mongoose_nb.core.saving import restore, state_of
from mongoose_nb.rehash import ExponentialDecay, FixedPeriod


def fired(schedule, steps):
    return [step for step in range(steps) if schedule.due(step)]


def test_fixed_period():
    assert fired(FixedPeriod(4), 13) == [3, 7, 11]
    assert fired(FixedPeriod(1), 3) == [0, 1, 2]


@pytest.mark.parametrize("period, rate", [(1, 0.0), (5, 0.0), (3, 0.2), (10, 0.7), (1, 2.0)])
def test_exponential_decay(period, rate):
    """The t-th gap is period * exp(rate * t), rounded up."""
    gaps = [math.ceil(period * math.exp(rate * t)) for t in range(6)]
    want = [end - 1 for end in itertools.accumulate(gaps)]
    assert fired(ExponentialDecay(period, rate), want[-1] + 1) == want


def test_a_gap_stays_a_number():
    schedule = ExponentialDecay(1, 1000.0)
    assert fired(schedule, 1000) == [0]


@pytest.mark.parametrize("make, message", [
    (lambda: FixedPeriod(0), "period"), (lambda: ExponentialDecay(0), "period"),
    (lambda: ExponentialDecay(5, -1), "rate"), (lambda: ExponentialDecay(5, float("nan")), "rate"),
])
def test_refusals(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_state_holds_nothing_but_what_the_schedule_keeps():
    """States come from files: they must not replace methods, or numbers by something else."""
    schedule = ExponentialDecay(5, 0.1)
    state = state_of(schedule)
    restore(schedule, {**state, "fired": 3})
    assert schedule._fired == 3
    restore(schedule, {**state, "due": 3, "period": 1, "__class__": 1})
    assert schedule.period == 5 and schedule.due(0) is False
    for change in ({"next": "x"}, {"next": 1.5}, {"next": None}, {"next": np.zeros(1)}):
        with pytest.raises(ValueError, match="the saved ExponentialDecay.next is"):
            restore(schedule, {**state, **change})
