"""Schedules by name, by period, or from saved settings."""

from typing import Any

from mongoose_nb.core.registry import fresh, make
from mongoose_nb.core.validation import check_int
from mongoose_nb.rehash import drift, periodic  # noqa: F401  (registers them)
from mongoose_nb.rehash.base import Schedule
from mongoose_nb.rehash.periodic import FixedPeriod


def make_schedule(schedule: Any, **settings) -> Schedule:
    """A schedule of its own state from a period in steps, a name, saved settings, or a schedule (of which a new one is made).

    Parameters
    ----------
    schedule : int, str, dict or Schedule
        Names are those that are registered, such as ``"drift"``.
    **settings
        Constructor arguments for a schedule that is given by name.

    Returns
    -------
    Schedule
    """
    if isinstance(schedule, Schedule):
        return fresh(schedule)
    if isinstance(schedule, str | dict):
        return make("rehash schedule", schedule, **(settings if isinstance(schedule, str) else {}))
    return FixedPeriod(check_int("rehash", schedule, low=1))
