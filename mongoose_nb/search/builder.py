"""Builder: everything of an index that changes with its rows. It takes no lock.

::

    add, update, remove --> _learn --> learn_projection, use_projection, load     when rows have outgrown the functions, or drifted
                        --> _place                                                else
    rebuild             --> _learn

`_learn` numbers slots again from 0. Trials of `tune` share rows and projection, so they call its steps one by one.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mongoose_nb.core.registry import describe, find
from mongoose_nb.hashing.rows import is_sparse
from mongoose_nb.search.columns import NARROW
from mongoose_nb.search.drift import SAMPLE as PROFILED
from mongoose_nb.search.drift import Drift, Profile
from mongoose_nb.search.families import FamilyChoice
from mongoose_nb.search.functions import Functions, one_at_a_time
from mongoose_nb.search.ids import IdMap
from mongoose_nb.search.mapped import MappedTables
from mongoose_nb.search.metrics import Metric
from mongoose_nb.search.parallel import default_threads, in_parts
from mongoose_nb.search.projection import MOST_COLUMNS, SAMPLE, WIDTHS, Projection, row_squares
from mongoose_nb.search.rows import RowStore, store_of
from mongoose_nb.search.rows.base import Batch, grown, own, zeros
from mongoose_nb.search.snapshot import Snapshot

if TYPE_CHECKING:
    from mongoose_nb.hashing import HashFamily

# Functions are learned again when the rows have become so many times those they were chosen for.
REBUILD = 4
# Rows that are taken in at a time.
_BLOCK = 1 << 15
# Rows that one kernel places.
_FEW = 64


class _Tuned(NamedTuple):
    """What `adopt` brought."""

    rows: int = 0
    functions: Functions | None = None
    profile: Profile | None = None


_NOTHING = _Tuned()


class Builder:
    """Rows of an index, and what is made of them: projection, sketches, hash family and tables.

    Parameters
    ----------
    metric : Metric
    dim : int
    ids : IdMap
        Of the same index.
    family : str, type, dict or callable
    K : int or None
    L : int
    capacity : int or None
    policy : str
    storage : str or None
    train_size, seed : int
        As `LSHIndex` takes them.

    Attributes
    ----------
    rows : RowStore or None
        None before the first rows.
    functions : Functions or None
    tables : LSHTables, MappedTables or None
        None while there are fewer rows than `train_size`.
    sketches : ndarray of shape (slots, width), int8, or None
    trained : int
        Rows that the functions were learned from.
    drift : Drift
        What has changed since.
    """

    def __init__(self, metric: Metric, dim: int, ids: IdMap, *, family: str | type | dict | Callable | None = None,
                 K: int | None = None, L: int | None = None,
                 capacity: int | None = None, policy: str = "fifo", train_size: int = 1024, seed: int = 0,
                 storage: str | None = None) -> None:
        self.metric, self.dim, self.ids, self.storage = metric, dim, ids, storage
        if storage is not None:
            store_of(metric, False, storage)
        self.family = FamilyChoice(metric.family if family is None else family, metric)
        self.K, self.L = K, metric.L if L is None else L
        self.capacity, self.policy, self.train_size, self.seed = capacity, policy, train_size, seed
        self.rows = None
        self._tuned = _NOTHING
        self.drift = Drift()
        self._forget()

    def _forget(self):
        self.projection = self.sketches = self.tables = self.functions = self._snapshot = None
        self.trained = 0

    def like(self, **changes) -> Builder:
        """A builder without rows, with these settings and otherwise the same."""
        settings = {name: getattr(self, name) for name in ("K", "L", "capacity", "policy", "train_size", "seed", "storage")}
        return Builder(self.metric, self.dim, IdMap(), family=self.family.value, **settings | changes)

    # --- rows ---------------------------------------------------------------------------------------------------------

    def _store(self, sparse):
        return store_of(self.metric, sparse, self.storage)(self.metric, self.dim)

    def check(self, X: Any) -> tuple[RowStore, Batch]:
        """The store for rows that are given, and their batch. Before there are rows, it is a new store that fits them."""
        rows = self._store(is_sparse(X)) if self.rows is None else self.rows
        return rows, rows.check(X)

    def like_rows(self, other: Builder) -> RowStore:
        """The store for rows of another builder as they are kept there, or a ValueError that says why there is none."""
        mine, theirs = describe(self.metric, "metric"), describe(other.metric, "metric")
        if (mine, self.dim) != (theirs, other.dim):
            raise ValueError(f"this index has metric {mine!r} and dim={self.dim}, the other one {theirs!r} and dim={other.dim}; merge "
                             "takes an index of the same")
        rows = self._store(other.rows.sparse) if self.rows is None else self.rows
        if rows.takes != other.rows.takes:
            raise ValueError(f"this index holds {rows.name} rows, the other one {other.rows.name} rows; add its rows in the form of this "
                             "one")
        return rows

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
        few = functions.signs and len(slots) <= _FEW
        if few and not projection.sparse:
            return None, *projection.place(batch, slots, self.sketches, tables.family, 32 - tables.bits if tables.folds else 0)
        Y, rest = functions.project(batch)
        sketches, strange = (None, 0) if Y is None else projection.sketch(Y, rest)
        if few:
            codes = tables.fold(functions.codes(self.rows, batch, Y, 1)[:, :, 0].T)
        else:
            with one_at_a_time:
                codes = tables.codes(functions.hashed(self.rows, batch, Y))
        longer, longest = (0, 0.0) if Y is None else projection.lengths(batch)
        strange = (strange, longer, longest) if strange or longer else 0
        return sketches, np.ascontiguousarray(codes), strange

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

    def _profile(self, slots=None, codes=None):
        """What the present rows are like; those in `slots` have bucket numbers `codes` that the tables do not know yet."""
        live = np.flatnonzero(self.ids.live[:self.ids.used])
        sample = live[np.linspace(0, len(live) - 1, min(len(live), PROFILED)).astype(np.int64)]
        if codes is None:
            numbers = self.tables.codes_of(sample)
        else:
            place = np.full(self.ids.used, -1, np.int64)
            place[slots] = np.arange(len(slots))
            at = place[sample]
            numbers = np.empty((len(codes), len(sample)), codes.dtype)
            numbers[:, at >= 0], numbers[:, at < 0] = codes[:, at[at >= 0]], self.tables.codes_of(sample[at < 0])
        few = sample[:: max(1, len(sample) // 128)]
        squares = row_squares(self.rows.take(few), self.rows.sparse) if self.metric.augmented else np.zeros(0)
        return Profile.of(self.sketches[sample], self.projection.steps, self.projection.hashed, squares, numbers)

    # --- learning -----------------------------------------------------------------------------------------------------

    def rebuild(self, seed: int | None = None) -> None:
        """Learn the functions from the present rows and hash all of them; functions that `adopt` brought are forgotten.

        Raises
        ------
        ValueError
            The family cannot be made. Nothing has changed.
        """
        if self.tables is not None and not self.family.can_make:
            self.family.make(self.dim, 1, self.L, self.seed)
        with self._all_or_nothing():
            self.seed = self.seed if seed is None else seed
            self._tuned = _NOTHING
            self._forget()
            if len(self.ids) >= self.train_size:
                self._learn()

    @contextlib.contextmanager
    def _all_or_nothing(self):
        """Context manager: what fails leaves everything as it was. Inside, arrays are replaced and not written to."""
        kept = [(part, dict(vars(part))) for part in (self, self.ids, self.rows) if part is not None]
        try:
            yield
        except BaseException:
            for part, values in kept:
                vars(part).clear()
                vars(part).update(values)
            raise

    def _learn(self, reason=None):
        """Learn the functions, or take those of `adopt` while they are good enough, and hash all rows. `reason`: how rows have drifted."""
        with self._all_or_nothing():
            drift = self.drift
            tuned = self._tuned
            if reason is not None or len(self.ids) >= REBUILD * tuned.rows:
                tuned = _NOTHING
            if len(self.ids) < self.train_size:
                self._forget()  # so few are searched exactly
                return
            if len(self.ids.free):
                self.rows.restrict(self.ids.compact())
            self._load(tuned)
            if tuned.profile is not None:
                reason = tuned.profile.change(self.drift.profile, len(self.ids))
                if reason is not None:  # rows are unlike those that it was tuned for
                    tuned = _NOTHING
                    self._load(tuned)
            self._tuned = tuned
            drift.learned(self.drift, len(self.ids), reason)

    def _load(self, tuned):
        self._forget()
        if tuned.functions is not None:
            self.use_projection(tuned.functions.projection)
        elif self.metric.projected:
            self.use_projection(self.learn_projection())
        self.load(_Hashed(self, len(self.ids)), None if tuned.functions is None else tuned.functions.family)

    def adopt(self, other: Builder) -> None:
        """Use K, L and functions of another builder until the rows are `REBUILD` times its rows, or unlike them; hash the present rows
        again."""
        with self._all_or_nothing():
            self.K, self.L = other.K, other.L
            self._forget()
            self._tuned = _Tuned(other.trained, other.functions, other.drift.profile)
            if len(self.ids) >= self.train_size:
                self._learn()

    def learn_projection(self) -> Projection:
        """A projection for the rows, which are in slots 0, 1, ..."""
        n = len(self.ids)
        sample = np.unique(np.linspace(0, n - 1, min(n, SAMPLE)).astype(np.int64))
        longest = 0.0
        for lo in range(0, n, _BLOCK) if self.metric.augmented else ():
            batch = self.rows.take(np.arange(lo, min(n, lo + _BLOCK)))
            longest = max(longest, float(np.sqrt(row_squares(batch, self.rows.sparse).max(initial=0))))
        return Projection(self.rows, sample, longest, self.seed)

    def use_projection(self, projection: Projection | None) -> None:
        """Take a projection, with room for sketches, or none."""
        self.projection = projection
        self.sketches = None if projection is None else zeros((len(self.ids.ids), projection.width), np.int8)

    def load(self, rows: np.ndarray | _Hashed, family: HashFamily | None = None) -> None:
        """Make the tables of rows in slots 0, 1, ..., as a family hashes them; by default of a family that is drawn now."""
        from mongoose_nb.tables import LSHTables

        n, dim = rows.shape[0], self._hashed_width
        with one_at_a_time:
            family = family or self.family.make(dim, self._hashes(n), self.L, self.seed)
            tables = LSHTables(family, capacity=self.capacity, policy=self.policy, seed=self.seed)
            tables.build(rows)
        self.tables, self.functions = tables, Functions(self.projection, family)
        self.trained, self._snapshot, self.drift = n, None, Drift(n, self.rows.width)
        if self.projection is not None:
            self.drift.profile = self._profile()

    @property
    def _hashed_width(self):
        return self.rows.width if self.projection is None else self.projection.hashed

    def _hashes(self, n):
        """Hashes per table for n rows."""
        return self.family.hashes_for(n, self._hashed_width) if self.K is None else self.K

    def hashed(self) -> np.ndarray | _Hashed:
        """The rows as a family hashes them. Their sketches are filled in on the way."""
        rows = _Hashed(self, len(self.ids))
        if self.projection is None:
            return rows
        return np.concatenate([rows[lo:lo + _BLOCK] for lo in range(0, len(self.ids), _BLOCK)])

    def with_tables(self, hashed: np.ndarray | _Hashed, family: HashFamily | None = None, **changes) -> Builder:
        """A builder over the same rows and projection, with other settings and tables of its own."""
        other = self.like(**changes)
        other.ids, other.rows, other.projection, other.sketches = self.ids, self.rows, self.projection, self.sketches
        other.load(hashed, family)
        return other

    # --- searching ----------------------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """The present rows and tables, to be searched."""
        if self._snapshot is None:
            used = self.ids.used
            sketches = None if self.sketches is None else self.sketches[:used]
            self._snapshot = Snapshot(self.rows, self.ids.live[:used], self.functions, self.tables, sketches, few=self.train_size)
        return self._snapshot

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
        row = self._store(stored is not None).row_bytes(stored)
        slots = n + n // 4 + 32
        total = math.ceil(slots * (row + 9))
        if n < self.train_size:
            return total
        width = 0
        dim = self.metric.width(self.dim)
        if self.metric.projected:
            d = dim + self.metric.augmented
            m = min(WIDTHS[-1], d)
            if stored is not None and dim > NARROW:
                d = min(d, MOST_COLUMNS + 1, math.ceil(stored * min(n, SAMPLE)) + 1)
                total += 32 * d + 128  # table of columns
            width = -(-(m + 1) // 64) * 64
            total += 4 * d * (m + 1) + 4 * m * 32 * self.L
        K = self.family.hashes_for(n, dim) if self.K is None else self.K
        code = min(32, K) if self.family.one_bit else 32
        bits = min(code, max(8, max(1, n - 1).bit_length() + 1), 26)
        item = 1 if code <= 8 else 2 if code <= 16 else 4
        per_bucket = 16 if self.policy == "reservoir" and self.capacity is not None else 12
        held = n if self.capacity is None else min(n, self.capacity << bits)
        table = 4 * (held * 3 // 2 + 64 + (1 << bits) // 16) + (per_bucket << bits) + item * slots + 24
        return total + width * slots + self.L * table + slots

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


class _Hashed:
    """Rows of a builder as its family hashes them, slice by slice, so that they need not all be in memory. Their sketches are filled in on
    the way."""

    def __init__(self, builder, n):
        self.builder, self.shape = builder, (n, builder.dim)

    def __getitem__(self, part):
        rows, projection, sketches = self.builder.rows, self.builder.projection, self.builder.sketches
        slots = np.arange(self.shape[0])[part]
        batch = rows.take(slots)
        if projection is None:
            return rows.matrix(batch)
        m, n = projection.axes.shape[1], len(slots)
        Y, rest = np.empty((n, m), np.float32), np.empty(n, np.float32)

        def work(lo, hi):
            Y[lo:hi], rest[lo:hi] = projection.project(rows.part(batch, lo, hi))
            sketches[slots[lo]:slots[lo] + hi - lo] = projection.sketch(Y[lo:hi], rest[lo:hi])[0]

        in_parts(n, default_threads(), work)
        return np.ascontiguousarray(Y[:, :projection.hashed])
