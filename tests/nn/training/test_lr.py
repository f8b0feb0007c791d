"""Learning-rate schedules, against their formulas."""

import math

import pytest

from mongoose_nb.core.registry import describe
from mongoose_nb.nn.training.lr import Constant, Cosine, Linear, Step, make_schedule


def factors(schedule, total=10):
    return [schedule(step, total) for step in range(total + 2)]


def test_constant():
    assert factors(Constant()) == [1.0] * 12


def test_linear():
    assert factors(Linear()) == pytest.approx([*(1 - s / 10 for s in range(11)), 0])
    assert factors(Linear(0.5)) == pytest.approx([*(1 - s / 20 for s in range(11)), 0.5])


def test_cosine():
    assert factors(Cosine(0.2)) == pytest.approx([*(0.2 + 0.4 * (1 + math.cos(math.pi * s / 10)) for s in range(11)), 0.2])


@pytest.mark.parametrize("cls", [Linear, Cosine])
def test_warm_up(cls):
    got = factors(cls(warmup=4))
    assert got[:4] == [0.25, 0.5, 0.75, 1.0] and got[4] == 1.0
    assert got[10] == pytest.approx(0) and all(a >= b for a, b in zip(got[4:], got[5:]))
    assert all(0 < f <= 1 for f in factors(cls(warmup=100), 10))


def test_steps():
    assert factors(Step(0.25, 0.5), 8) == [1, 1, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125, 0.0625, 0.0625]
    # 0.1 * 3 is above 0.3 in binary: the step comes on time all the same
    assert [Step(0.1, 0.5)(s, 10) for s in range(10)] == [0.5**s for s in range(10)]


@pytest.mark.parametrize("schedule", [Constant(), Linear(), Cosine(), Step()])
def test_a_run_of_no_steps(schedule):
    assert math.isfinite(schedule(0, 0))


@pytest.mark.parametrize("schedule", [Constant(), Linear(0.1, 5), Cosine(0.2, 3), Step(0.1, 0.9)])
def test_settings_make_an_equal_one(schedule):
    again = make_schedule(describe(schedule, "lr_schedule"))
    assert type(again) is type(schedule) and vars(again) == vars(schedule)


def test_by_name_and_of_ones_own():
    assert type(make_schedule("cosine")) is Cosine

    def own(step, total):
        return 1.0

    assert make_schedule(own) is own
    with pytest.raises(TypeError, match="lr_schedule is <function .*own.*which a file cannot hold; derive its class"):
        describe(own, "lr_schedule")

    class Mine(Linear):
        pass

    again = make_schedule(describe(Mine(0.25), "lr_schedule"))
    assert type(again) is Mine and again.end == 0.25


@pytest.mark.parametrize("make, error, message", [
    (lambda: make_schedule("warm"), ValueError, "learning-rate schedule 'warm' is unknown; give one of"),
    (lambda: make_schedule(None), TypeError, "must be one of"),
    (lambda: Linear(-1), ValueError, "end"), (lambda: Linear(warmup=1.5), TypeError, "warmup"),
    (lambda: Step(0), ValueError, "every"), (lambda: Step(factor=0), ValueError, "factor"),
])
def test_refusals(make, error, message):
    with pytest.raises(error, match=message):
        make()
