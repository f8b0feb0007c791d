"""When hash tables are brought up to date with moving weights.

    FixedPeriod         every so many steps
    ExponentialDecay    ever more rarely, as SLIDE does

A schedule answers one question, ``due(step)``, once after every optimiser step.
"""

from mongoose_nb.schedule.rehash import ExponentialDecay, FixedPeriod, Schedule, make_schedule

__all__ = ["ExponentialDecay", "FixedPeriod", "Schedule", "make_schedule"]
