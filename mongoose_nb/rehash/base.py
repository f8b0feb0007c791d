"""The interface of all schedules: told of every step, they answer which rows to put into the tables anew."""

from typing import Any, NamedTuple

import numpy as np

from mongoose_nb.core.registry import Registered
from mongoose_nb.core.saving import Stateful

#: the answer "all rows": the tables are built anew
ALL = "all"


class Stored(NamedTuple):
    """What a schedule may look at: the rows as they are, and how the tables have centred queries since they were built.

    Parameters
    ----------
    weights : (n, d) float32
    query_mean : (d,) float32, optional
        None where rows are hashed as they are.
    query_extra : float
        The query's coordinate beyond d; see `hashing.inner_product`.
    """

    weights: np.ndarray
    query_mean: np.ndarray | None = None
    query_extra: float = 1.0


class Schedule(Registered, Stateful, kind="rehash schedule"):
    """When to rehash, and which rows.

    The order of calls is ``bind``, once; ``rebuilt`` whenever tables were built or rows moved, so for the first time before the
    first step; ``after_step`` after every step. Subclasses that look at the step alone give ``due``, others ``after_step``.
    """

    #: whether `changed_share` is measured, and reported
    measures = False
    #: whether `after_step` wants to know which rows the step touched
    needs_touched = False
    #: ids (int32) that no table need return, since they are candidates of every sample
    always = np.zeros(0, np.int32)
    #: mean share of bits that have changed, at the last look, for schedules that measure it
    changed_share = None

    def bind(self, n_rows: int, width: int, *, family: Any = None, seed: int = 0, room: int | None = None) -> None:
        """Get ready for the rows of one layer.

        Parameters
        ----------
        n_rows, width : int
            Shape of the weights.
        family : hashing.HashFamily, optional
            The tables' hash family.
        seed : int
            Keys whatever is random.
        room : int, optional
            Retrieved candidates of a sample, at most.
        """

    def due(self, step: int) -> bool:
        """Whether to rehash after step `step` (from 0); asked once a step, in order."""
        raise NotImplementedError(f"{type(self).__qualname__} has neither due nor after_step; give it one of them")

    def after_step(self, step: int, touched: np.ndarray | None, stored: Stored) -> Any:
        """Which rows to re-insert after step `step` (from 0); called once a step, in order.

        Parameters
        ----------
        step : int
        touched : array of int32 or None
            Ids of the rows that the step changed, in any order; None where they may be any, or where `needs_touched` is False.
        stored : Stored

        Returns
        -------
        None, ALL, or array of int32
            Nothing, everything, or these ids.
        """
        return ALL if self.due(step) else None

    def rebuilt(self, stored: Stored, ids: np.ndarray | None = None) -> None:
        """Take note that the tables now hold all rows as they are, or with `ids` these rows."""

    def report(self) -> dict[str, float]:
        """What was measured since this was last asked, by name."""
        return {}
