"""Schedules that look at the step alone."""

import copy
import math

from mongoose_nb.errors import check_int, check_number


class Schedule:
    """When to rehash. Subclasses give ``due``."""

    def due(self, step):
        """Whether to rehash after step `step` (from 0); asked once a step, in order."""
        raise NotImplementedError  # abstract

    def settings(self):
        """Constructor arguments by name, with the class's, for saving."""
        return {"name": type(self).__name__, **{k: v for k, v in vars(self).items() if not k.startswith("_")}}

    def state(self):
        """What changes while training."""
        return {k: v for k, v in vars(self).items() if k.startswith("_")}

    def load_state(self, state):
        """Put back what `state` gave."""
        vars(self).update(state)

    def __repr__(self):
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.settings().items() if k != 'name')})"


class FixedPeriod(Schedule):
    """Every `period` steps."""

    def __init__(self, period=50):
        self.period = check_int("period", period, low=1)

    def due(self, step):
        """Whether to rehash after step `step`."""
        return (step + 1) % self.period == 0


class ExponentialDecay(Schedule):
    """Gaps between rehashes grow: the t-th comes `period` * exp(`rate` * t) steps after the one before (SLIDE, section 4.2).

    Parameters
    ----------
    period : int
        First gap in steps.
    rate : float
        Growth of the logarithm of the gap from one rehash to the next.
    """

    def __init__(self, period=50, rate=0.1):
        self.period = check_int("period", period, low=1)
        self.rate = check_number("rate", rate, low=0.0)
        self._fired = 0
        self._next = self.period

    def due(self, step):
        """Whether to rehash after step `step`."""
        if step + 1 < self._next:
            return False
        self._fired += 1
        # the exponent is bounded so that the gap stays a number
        self._next = step + 1 + math.ceil(self.period * math.exp(min(self.rate * self._fired, 60.0)))
        return True


SCHEDULES = {"FixedPeriod": FixedPeriod, "ExponentialDecay": ExponentialDecay}


def make_schedule(schedule):
    """A schedule of its own state from a period in steps, saved settings, or a schedule (which is copied)."""
    if type(schedule) in SCHEDULES.values():
        schedule = schedule.settings()
    elif isinstance(schedule, Schedule):
        return copy.deepcopy(schedule)
    if isinstance(schedule, dict):
        settings = dict(schedule)
        name = settings.pop("name", None)
        if name not in SCHEDULES:
            raise ValueError(f"rehash schedule {name!r} is unknown; give a number of steps or one of {sorted(SCHEDULES)}")
        return SCHEDULES[name](**settings)
    return FixedPeriod(check_int("rehash", schedule, low=1))
