"""When hash tables are brought up to date with moving weights, and which rows; and how hash functions learn.

::

    nn/ ──after every step: touched rows, weights──> Schedule ──> nothing | ALL | ids to re-insert
                                                     │
                     FixedPeriod, ExponentialDecay ──┤  rehash.py   look at the step alone
                                             Drift ──┘  drift.py    looks how far rows have turned, by _ext.DriftSketch
                                               │
                                               └─ theory.py   what a rotation costs a look-up

    FixedPeriod         every so many steps
    ExponentialDecay    ever more rarely, as SLIDE does
    Drift               when rows have turned, all of them or row by row, as MONGOOSE does

    LearnedHash         when all rows are due, trains the hash functions on recent queries first    learn.py, hash_losses.py

`make_schedule` takes all that users may give: a period, a name, settings, or a schedule.
"""

from mongoose_nb.schedule.base import ALL, Schedule, Stored
from mongoose_nb.schedule.drift import Drift
from mongoose_nb.schedule.learn import LearnedHash, make_learned
from mongoose_nb.schedule.make import make_schedule
from mongoose_nb.schedule.rehash import ExponentialDecay, FixedPeriod

__all__ = ["ALL", "Drift", "ExponentialDecay", "FixedPeriod", "LearnedHash", "Schedule", "Stored", "make_learned", "make_schedule"]
