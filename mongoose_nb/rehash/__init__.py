"""When hash tables are brought up to date with moving weights, and which rows; how often, and by what rule.

::

    nn/ ──after every step: touched rows, weights──> Schedule ──> nothing | ALL | ids to re-insert
                                                     │
                     FixedPeriod, ExponentialDecay ──┤  periodic.py   look at the step alone
                                             Drift ──┘  drift.py    looks how far rows have turned, by _ext.DriftSketch
                                               │
                                               └─ theory.py   what a rotation costs a look-up

    FixedPeriod         every so many steps
    ExponentialDecay    ever more rarely, as SLIDE does
    Drift               when rows have turned, all of them or row by row, as MONGOOSE does

`make_schedule` takes all that users may give: a period, a name, settings, or a schedule.
"""

from mongoose_nb.rehash.base import ALL, Schedule, Stored
from mongoose_nb.rehash.drift import Drift
from mongoose_nb.rehash.make import make_schedule
from mongoose_nb.rehash.periodic import ExponentialDecay, FixedPeriod

__all__ = ["ALL", "Drift", "ExponentialDecay", "FixedPeriod", "Schedule", "Stored", "make_schedule"]
