"""What every schedule does, and how schedules are made."""

import json

import numpy as np
import pytest

from mongoose_nb.core.registry import describe, name_of, registered
from mongoose_nb.core.saving import join, restore, split, state_of
from mongoose_nb.hashing import SimHash
from mongoose_nb.rehash import ALL, Drift, ExponentialDecay, FixedPeriod, Schedule, Stored, make_schedule

N, D = 600, 6
SCHEDULES_MADE = [FixedPeriod(7), ExponentialDecay(3, 0.2), Drift(0.08, check_every=3), Drift("auto", check_every=2, rows=50, keep=0.99),
                  Drift(0.1, check_every=4, weight="touch", rows=90, bits=128),
                  Drift(0.2, check_every=2, per_row=True, rows=60, list_size=9), Drift(0.1, longest=40)]


class Layer:
    """Rows that a step at random moves, and a schedule that is told."""

    def __init__(self, schedule, center=True):
        self.schedule = make_schedule(schedule)
        self.schedule.bind(N, D, family=SimHash(D + 1, 8, 20), seed=3, room=100)
        rng = np.random.default_rng(0)
        self.weights = rng.standard_normal((N, D)).astype(np.float32)
        self.query = (rng.standard_normal(D).astype(np.float32), np.float32(2)) if center else ()
        self.schedule.rebuilt(self.stored())

    def stored(self):
        return Stored(self.weights.copy(), *self.query)

    def step(self, step):
        """One step; what the schedule answered, and its list."""
        rng = np.random.default_rng(step + 1)
        touched = rng.permutation(N)[:40].astype(np.int32)
        self.weights[touched] += np.float32(0.15) * rng.standard_normal((40, D)).astype(np.float32)
        answer = self.schedule.after_step(step, touched, self.stored())
        if answer is not None:
            self.schedule.rebuilt(self.stored(), None if isinstance(answer, str) else answer)
        return answer if answer is None or isinstance(answer, str) else answer.tolist(), self.schedule.always.tolist()

    def run(self, steps):
        return [self.step(step) for step in steps]


@pytest.mark.parametrize("schedule", SCHEDULES_MADE, ids=repr)
class TestContract:
    def test_it_answers_nothing_all_or_ids(self, schedule):
        answers = [answer for answer, _ in Layer(schedule).run(range(80))]
        fired = [answer for answer in answers if answer is not None]
        assert 0 < len(fired) < 60
        for answer in fired:
            assert answer == ALL or (answer and answer == sorted(set(answer)) and 0 <= answer[0] <= answer[-1] < N)
        if getattr(schedule, "per_row", False):
            assert any(answer != ALL for answer in fired)
        else:
            assert set(fired) == {ALL}

    def test_settings_make_an_equal_one(self, schedule):
        again = make_schedule(json.loads(json.dumps(describe(schedule))))
        assert type(again) is type(schedule) and again is not schedule and describe(again) == describe(schedule)
        assert Layer(again).run(range(60)) == Layer(schedule).run(range(60))
        assert repr(again) == repr(schedule) and name_of(type(again)) in registered("rehash schedule", "mongoose_nb.")

    def test_state_goes_on(self, schedule):
        whole, half, rest = (Layer(schedule) for _ in range(3))
        want = whole.run(range(70))
        got = half.run(range(31))
        settings, arrays = split(state_of(half.schedule))
        restore(rest.schedule, join(json.loads(json.dumps(settings)), arrays))
        rest.weights[...] = half.weights
        assert rest.schedule.changed_share == half.schedule.changed_share
        assert got + rest.run(range(31, 70)) == want
        assert rest.schedule.report() != {} or not schedule.measures
        # what was saved is a copy
        assert got + half.run(range(31, 70)) == want

    def test_a_copy_has_a_state_of_its_own(self, schedule):
        first = make_schedule(schedule)
        Layer(first).run(range(20))
        assert Layer(make_schedule(first)).run(range(30)) == Layer(schedule).run(range(30))

    def test_a_step_may_touch_nothing_or_everything(self, schedule):
        for touched in (np.zeros(0, np.int32), None):
            layer = Layer(schedule)
            answers = [layer.schedule.after_step(step, touched, layer.stored()) for step in range(8)]
            assert all(a is None or isinstance(a, str) for a in answers)


class TestOnesOwn:
    def test_by_the_step_alone(self):
        class Odd(Schedule):
            def due(self, step):
                return step % 2 == 1

        schedule = make_schedule(Odd())
        assert [schedule.after_step(step, None, None) for step in range(4)] == [None, ALL, None, ALL]
        assert schedule.report() == {} and schedule.changed_share is None and schedule.always.tolist() == []

    def test_it_is_copied(self):
        class Mine(Schedule):
            def __init__(self):
                self.seen = []

            def due(self, step):
                self.seen.append(step)
                return False

        mine = Mine()
        make_schedule(mine).due(3)
        assert mine.seen == []


def test_by_name():
    for name in ("drift", "auto"):
        schedule = make_schedule(name)
        assert type(schedule) is Drift and describe(schedule) == describe(Drift("auto"))
    for name, cls in registered("rehash schedule", "mongoose_nb.").items():
        assert type(make_schedule(name)) is cls


def test_from_a_number():
    assert isinstance(make_schedule(5), FixedPeriod) and make_schedule(5).period == 5
    assert isinstance(make_schedule(np.int64(5)), Schedule)


@pytest.mark.parametrize("make, error, message", [
    (lambda: make_schedule(0), ValueError, "rehash must be an integer from 1"),
    (lambda: make_schedule("often"), ValueError, "schedule 'often' is unknown; give one of .*'drift'"),
    (lambda: make_schedule(2.5), TypeError, "rehash must be an integer"),
    (lambda: make_schedule({"name": "Never"}), ValueError, "'Never' is unknown; give one of"),
    (lambda: Drift(1.5), ValueError, "thresh must be"), (lambda: Drift("often"), TypeError, "thresh must be a number"),
    (lambda: Drift(check_every=0), ValueError, "check_every"), (lambda: Drift(rows=1), ValueError, "rows"),
    (lambda: Drift(bits=32), ValueError, "bits"), (lambda: Drift(bits=100), ValueError, "multiple of 64; got 100"),
    (lambda: Drift(weight="often"), ValueError, "weight must be one of 'rows', 'touch'"),
    (lambda: Drift(list_size=-1), ValueError, "list_size"), (lambda: Drift(keep=1.0), ValueError, "keep"),
    (lambda: Drift(longest=0), ValueError, "longest must be an integer from 1"),
    (lambda: Drift().bind(10, 4), ValueError, "thresh='auto' is computed from the tables' hash family"),
])
def test_refusals(make, error, message):
    with pytest.raises(error, match=message):
        make()
