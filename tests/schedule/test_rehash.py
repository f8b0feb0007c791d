"""When tables are rehashed."""

import itertools
import json
import math

import pytest

from mongoose_nb.schedule import ExponentialDecay, FixedPeriod, Schedule, make_schedule
from mongoose_nb.schedule.make import SCHEDULES


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


@pytest.mark.parametrize("schedule", [FixedPeriod(7), ExponentialDecay(3, 0.2)], ids=repr)
class TestContract:
    def test_settings_make_an_equal_one(self, schedule):
        settings = json.loads(json.dumps(schedule.settings()))
        again = make_schedule(settings)
        assert type(again) is type(schedule) and fired(again, 90) == fired(make_schedule(schedule), 90)
        assert repr(again).split("(")[0] in SCHEDULES

    def test_state_goes_on(self, schedule):
        whole, half, rest = (make_schedule(schedule) for _ in range(3))
        want = fired(whole, 60)
        got = fired(half, 31)
        rest.load_state(*json.loads(json.dumps(half.state())))
        assert got + [step for step in range(31, 60) if rest.due(step)] == want

    def test_a_copy_has_a_state_of_its_own(self, schedule):
        first = make_schedule(schedule)
        fired(first, 50)
        assert fired(make_schedule(first), 30) == fired(make_schedule(schedule), 30)


def test_from_a_number():
    assert isinstance(make_schedule(5), FixedPeriod) and fired(make_schedule(5), 12) == [4, 9]
    assert isinstance(make_schedule(5), Schedule)


@pytest.mark.parametrize("make, error, message", [
    (lambda: make_schedule(0), ValueError, "rehash must be an integer from 1"),
    (lambda: make_schedule("often"), ValueError, r"rehash='often' is unknown; give a number of steps, one of .*'drift'"),
    (lambda: make_schedule(2.5), TypeError, "rehash must be an integer"),
    (lambda: make_schedule({"name": "Never"}), ValueError, "'Never' is unknown; give a number of steps or one of"),
    (lambda: FixedPeriod(0), ValueError, "period"), (lambda: ExponentialDecay(0), ValueError, "period"),
    (lambda: ExponentialDecay(5, -1), ValueError, "rate"), (lambda: ExponentialDecay(5, float("nan")), ValueError, "rate"),
])
def test_refusals(make, error, message):
    with pytest.raises(error, match=message):
        make()
