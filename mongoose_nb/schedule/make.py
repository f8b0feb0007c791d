"""Schedules by name, by period, or from saved settings."""

import copy

from mongoose_nb.errors import check_int
from mongoose_nb.schedule.base import Schedule
from mongoose_nb.schedule.drift import Drift
from mongoose_nb.schedule.rehash import ExponentialDecay, FixedPeriod

SCHEDULES = {"FixedPeriod": FixedPeriod, "ExponentialDecay": ExponentialDecay, "Drift": Drift}
#: words for a schedule with its defaults
NAMES = {"drift": Drift, "auto": Drift}


def make_schedule(schedule, **settings):
    """A schedule of its own state from a period in steps, a name, saved settings, or a schedule (which is copied).

    Parameters
    ----------
    schedule : int, str, dict or Schedule
        Names are ``"drift"`` and ``"auto"``: both `Drift` with a threshold from K and L.
    **settings
        Constructor arguments for a schedule that is given by name.

    Returns
    -------
    Schedule
    """
    if type(schedule) in SCHEDULES.values():
        schedule = schedule.settings()
    elif isinstance(schedule, Schedule):
        return copy.deepcopy(schedule)
    if isinstance(schedule, str):
        if schedule not in NAMES:
            raise ValueError(f"rehash={schedule!r} is unknown; give a number of steps, one of {sorted(NAMES)}, or a schedule")
        return NAMES[schedule](**settings)
    if isinstance(schedule, dict):
        settings = dict(schedule)
        name = settings.pop("name", None)
        if name not in SCHEDULES:
            raise ValueError(f"rehash schedule {name!r} is unknown; give a number of steps or one of {sorted(SCHEDULES)}")
        return SCHEDULES[name](**settings)
    return FixedPeriod(check_int("rehash", schedule, low=1))
