"""Builder: everything of an index that changes with its rows. It takes no lock.

::

    add, update, remove --> _learn --> learn_projection, use_projection, load     when rows have outgrown the functions, or drifted
                        --> tables.insert, move, remove                           else
    rebuild             --> _learn

`_learn` numbers slots again from 0. Trials of `tune` share rows and projection, so they call its steps one by one. What is made of rows is
in `mongoose_nb.search.learner`.
"""

from __future__ import annotations

import numpy as np

from mongoose_nb.core.registry import find
from mongoose_nb.search.drift import Drift
from mongoose_nb.search.functions import Functions, one_at_a_time
from mongoose_nb.search.learner import REBUILD, Learner
from mongoose_nb.search.mapped import MappedTables
from mongoose_nb.search.memory import most_bytes
from mongoose_nb.search.parallel import default_threads, in_parts
from mongoose_nb.search.projection import SAMPLE, Projection
from mongoose_nb.search.rows import RowStore
from mongoose_nb.search.rows.base import Batch, grown, own

# Rows that are hashed on one thread.
_FEW = 64


class Builder(Learner):
    """The rows of an index as they change, and as they are saved; see `Learner` for its parameters and attributes."""

    def add(self, ids: np.ndarray, rows: RowStore, batch: Batch) -> None:
        """Keep rows under new ids and hash them; learn functions where it is time to. What fails leaves everything as it was.

        Parameters
        ----------
        ids : (m,) int64
            Checked to be new.
        rows, batch
            As `check` gave them.
        """
        counts, mark, before = self.drift.mark(), self.ids.mark(), self.rows
        self._snapshot = slots = reason = None
        changing = False
        try:
            slots = self.ids.add(ids)
            self.rows = rows
            rows.put(slots, batch, self.ids.used)
            learn = self._outgrown()
            if not learn and self.tables is not None:
                if self.sketches is not None:
                    self.sketches = grown(self.sketches, self.ids.used)
                sketches, codes, strange = self._hashed(slots, batch)
                if sketches is not None:
                    self.sketches[slots] = sketches
                reason = self._due(len(slots), batch, strange)
                if reason == "look":
                    reason = self._look(slots, codes)
                if reason is None:
                    changing = True
                    self.tables.insert(slots, batch, codes=codes)
            if learn or reason is not None:
                self._learn(reason)
        except BaseException:
            self.ids.undo_add(ids, slots, mark)
            self.rows = before
            self.drift.back(counts)
            if changing:
                self._refill(slots)
            raise

    def update(self, slots: np.ndarray, batch: Batch) -> None:
        """Replace rows by others. What fails leaves everything as it was."""
        rows, used, counts = self.rows, self.ids.used, self.drift.mark()
        if not len(slots):
            return
        self._snapshot = before = reason = sketches = None
        learn = self._outgrown()
        hashed = self.tables is not None and not learn
        changing = written = False
        try:
            if rows.sparse:
                rows.reserve(slots, batch, used)
            if hashed:
                sketches, codes, strange = self._hashed(slots, batch)
                reason = self._due(len(slots), batch, strange)
                if reason is None:
                    changing = True
                    self.tables.move(slots, batch, codes=codes)
            if learn or reason is not None:
                before = rows.take(slots)
            rows.put(slots, batch, used)
            written = True
            if sketches is not None:
                self.sketches[slots] = sketches
            if before is None:
                return
            if reason == "look":
                reason = self._look(slots, codes)
            if learn or reason is not None:
                self._learn(reason)
            else:
                changing = True
                self.tables.move(slots, batch, codes=codes)
        except BaseException:
            self.drift.back(counts)
            if written and before is not None:
                rows.put(slots, before, used)
            if hashed and self.sketches is not None:
                old = rows.sealed(rows.take(slots))
                self.sketches[slots] = self.projection.sketch(*self.projection.project(old))[0]
            if changing:
                self._refill(slots)
            raise

    def remove(self, slots: np.ndarray) -> None:
        """Remove rows. What fails leaves everything as it was."""
        if not len(slots):
            return
        counts = self.drift.mark()
        self._snapshot = reason = None
        changing = False
        ids = self.ids.remove(slots)
        try:
            n = len(self.ids)
            if self.tables is None:
                return
            if n < self.train_size // 2:
                self._forget()  # so few are searched exactly
                return
            few = self.K is None and 2 * n <= self.trained and self.family.can_make and self._hashes(n) <= self.tables.family.K - 2
            if not few:
                reason = self._due(len(slots))
                if reason == "look":
                    reason = self._look(slots, None)
            if few or reason is not None:
                self._learn(reason)
            else:
                changing = True
                self.tables.remove(slots)
        except BaseException:
            self.ids.undo_remove(ids, slots)
            self.drift.back(counts)
            if changing:
                self._refill(slots)
            raise

    def _outgrown(self, more=0):
        n = len(self.ids) + more
        if self.tables is None:
            return n >= self.train_size and self.family.can_make
        return n >= REBUILD * self.trained and (self.K is None or self.trained < SAMPLE) and self.family.can_make

    def _hashed(self, slots, batch):
        """Sketches (None where they are in their slots), bucket numbers, and how many rows are strange or `Projection.strange`."""
        projection, tables, functions = self.projection, self.tables, self.functions
        if functions.signs and not projection.sparse:
            return None, *self._placed(slots, batch)
        Y, rest = functions.project(batch)
        sketches, strange = (None, 0) if Y is None else projection.sketch(Y, rest)
        if functions.signs and len(slots) <= _FEW:
            codes = tables.fold(functions.codes(self.rows, batch, Y, 1)[:, :, 0].T)
        else:
            with one_at_a_time:
                codes = tables.codes(functions.hashed(self.rows, batch, Y))
        longer, longest = (0, 0.0) if Y is None else projection.lengths(batch)
        strange = (strange, longer, longest) if strange or longer else 0
        return sketches, np.ascontiguousarray(codes), strange

    def _placed(self, slots, batch):
        """Bucket numbers of dense rows whose sketches are written into their slots on the way, and how many rows are strange."""
        tables, n, place = self.tables, len(slots), self.projection.place
        fold = 32 - tables.bits if tables.folds else 0
        if n <= _FEW:
            return place(batch, slots, self.sketches, tables.family, fold)
        codes, strange = np.empty((self.L, n), np.uint32), []

        def work(lo, hi):
            codes[:, lo:hi], more = place(self.rows.part(batch, lo, hi), slots[lo:hi], self.sketches, tables.family, fold)
            strange.append(more)

        in_parts(n, default_threads(), work)
        return codes, sum(strange)

    def _refill(self, slots):
        """Make the tables again after a change of some slots that failed; rows and ids are as they were before."""
        try:
            live = self.ids.live[:self.ids.used].astype(bool)
            slots = slots[slots < len(live)]
            slots = slots[live[slots]]
            codes = self._hashed(slots, self.rows.sealed(self.rows.take(slots)))[1] if len(slots) else np.zeros((self.L, 0), np.uint32)
            self.tables.refill(live, slots, codes)
        except BaseException:
            self._forget()  # rows are searched exactly until functions are learned again

    # --- drift --------------------------------------------------------------------------------------------------------

    def _due(self, m, batch=None, strange=0):
        """Count m changed rows; returns why functions may have to be learned, or None."""
        drift = self.drift
        if not strange and m < drift.quiet:
            drift.quiet -= m
            drift.quietly += m
            return None
        if self.projection is None or not self.family.can_make:
            drift.quiet = 1 << 62
            return None
        details = strange if isinstance(strange, tuple) else self.projection.strange(batch) if strange else ()
        return drift.changes(m, len(self.ids), *details)

    def _look(self, slots, codes):
        """Why functions should be learned, by a sample of the rows."""
        return self.drift.look(self._profile(slots, codes), len(self.ids))

    # --- measures -----------------------------------------------------------------------------------------------------

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays but those of the ids."""
        parts = [part.nbytes for part in (self.rows, self.projection, self.sketches, self.tables) if part is not None]
        if self.tables is not None:
            parts.append(getattr(self.tables.family, "functions", np.zeros(0)).nbytes)
        return sum(parts)

    def memory_usage(self, n: int, stored: float | None = None) -> int:
        """Most bytes with n rows; see `LSHIndex.memory_usage`."""
        return most_bytes(self, n, stored)

    # --- saving -------------------------------------------------------------------------------------------------------

    def state(self) -> dict:
        """Nested dicts of plain values and arrays, for `restore`; nothing is copied."""
        out = {"trained": self.trained, "drift": self.drift.state(), "rows": None, "projection": None, "tables": None, "stats": None}
        if self.rows is not None:
            out["rows"] = {"store": self.rows.name, **self.rows.state(self.ids.used)}
        if self.projection is not None:
            out["projection"] = self.projection.state()
            out["sketches"] = self.sketches[:self.ids.used]
        if self.tables is not None:
            out["tables"], out["stats"] = self.tables.state(), self.tables.stats()
        return out

    def restore(self, state: dict, frozen: bool = False) -> None:
        """Take back what `state` gave. With `frozen` nothing is copied, and the builder cannot change rows.

        Raises
        ------
        KeyError, TypeError, ValueError
            The state is not whole, or does not fit the settings.
        """
        used = self.ids.used
        if state["rows"] is not None:
            self.rows = find("row store", state["rows"]["store"])(self.metric, self.dim)
            self.rows.restore(state["rows"], used, frozen)
        self.trained = int(state["trained"])
        self.drift = Drift.from_state(state["drift"], self.dim) if "drift" in state else Drift(self.trained, self.dim)
        if state["projection"] is not None:
            self.projection = learned = Projection.from_state(state["projection"])
            columns = self.rows.width if learned.columns is None else len(learned.columns)
            expected = self.rows.sparse, self.metric.augmented, columns + self.metric.augmented
            beyond = learned.columns is not None and learned.columns.max(initial=0) >= self.rows.width
            if beyond or (learned.sparse, learned.augmented, len(learned.axes)) != expected:
                raise ValueError("the saved projection is not one of the saved rows")
            sketches = state["sketches"]
            if sketches.shape != (used, learned.width) or sketches.dtype != np.int8:
                raise ValueError("the saved sketches do not fit the saved rows")
            self.sketches = sketches if frozen else own(sketches)
        if state["tables"] is not None:
            ids = state["tables"]["store"]["ids"]
            if ids.size and not 0 <= ids.min() <= ids.max() < used:  # of a mapped file they are all that is read
                raise ValueError("the saved buckets name rows that are not there")
            self.tables = MappedTables.from_state(state["tables"], state["stats"]) if frozen else _tables(state["tables"])
            family = self.tables.family
            dim = self.rows.width if self.projection is None else self.projection.hashed
            if family.L != self.L or family.K > 256 or family.dim != dim:
                raise ValueError("the saved hash family does not fit the index")
            self.functions = Functions(self.projection, family)


def _tables(state):
    from mongoose_nb.tables import LSHTables

    return LSHTables.from_state(state)
