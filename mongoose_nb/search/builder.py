"""Builder: everything of an index that changes with its rows. It takes no lock.

::

    add     --> _learn --> learn_projection, use_projection, load     when the rows have outgrown the functions
            --> _place                                                else
    update  --> _place
    rebuild --> _learn

`_learn` numbers slots again from 0. Trials of `tune` share rows and projection, so they call its steps one by one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from mongoose_nb.core.registry import find
from mongoose_nb.hashing.rows import is_sparse
from mongoose_nb.search.families import FamilyChoice
from mongoose_nb.search.functions import Functions, one_at_a_time
from mongoose_nb.search.ids import IdMap
from mongoose_nb.search.mapped import MappedTables
from mongoose_nb.search.metrics import Metric
from mongoose_nb.search.parallel import default_threads, in_parts
from mongoose_nb.search.projection import SAMPLE, WIDTHS, Projection, row_lengths
from mongoose_nb.search.rows import RowStore
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
    """

    def __init__(self, metric: Metric, dim: int, ids: IdMap, *, family: str | type | dict | Callable | None = None,
                 K: int | None = None, L: int | None = None,
                 capacity: int | None = None, policy: str = "fifo", train_size: int = 1024, seed: int = 0) -> None:
        self.metric, self.dim, self.ids = metric, dim, ids
        self.family = FamilyChoice(metric.family if family is None else family, metric)
        self.K, self.L = K, metric.L if L is None else L
        self.capacity, self.policy, self.train_size, self.seed = capacity, policy, train_size, seed
        self.rows = None
        self._tuned = 0, None  # rows and functions of `adopt`
        self._forget()

    def _forget(self):
        self.projection = self.sketches = self.tables = self.functions = self._snapshot = None
        self.trained = 0
        self._long = 0  # rows added since that are longer than the projection was made for

    def like(self, **changes) -> Builder:
        """A builder without rows, with these settings and otherwise the same."""
        settings = {name: getattr(self, name) for name in ("K", "L", "capacity", "policy", "train_size", "seed")}
        return Builder(self.metric, self.dim, IdMap(), family=self.family.value, **settings | changes)

    # --- rows ---------------------------------------------------------------------------------------------------------

    def _store(self, sparse):
        return find("row store", self.metric.store(sparse))(self.metric, self.dim)

    def check(self, X: Any) -> tuple[RowStore, Batch]:
        """The store for rows that are given, and their batch. Before there are rows, it is a new store that fits them."""
        rows = self._store(is_sparse(X)) if self.rows is None else self.rows
        return rows, rows.check(X)

    def add(self, slots: np.ndarray, batch: Batch) -> None:
        """Keep rows in new slots and hash them; learn functions where it is time to."""
        self.rows.put(slots, batch, self.ids.used)
        self._snapshot = None
        if self._outgrown(batch):
            self._learn()
        elif self.tables is not None:
            self._place(slots, batch, "insert")

    def update(self, slots: np.ndarray, batch: Batch) -> None:
        """Replace rows by others."""
        self.rows.put(slots, batch, self.ids.used)
        self._snapshot = None
        if self.tables is not None:
            self._place(slots, batch, "move")

    def remove(self, slots: np.ndarray) -> None:
        """Take rows out of the tables."""
        self._snapshot = None
        if self.tables is not None:
            self.tables.remove(slots)

    def _outgrown(self, batch):
        n = len(self.ids)
        if self.tables is None:
            return n >= self.train_size and self.family.can_make
        again = n >= REBUILD * self.trained and (self.K is None or self.trained < SAMPLE)
        if self.projection is not None:
            self._long += self.projection.too_long(batch)
            again = again or self._long > max(32, n // 64)
        return again and self.family.can_make

    def _place(self, slots, batch, how):
        """Insert or move rows in the tables."""
        projection, tables, change = self.projection, self.tables, getattr(self.tables, how)
        if projection is not None:
            self.sketches = grown(self.sketches, self.ids.used)
        if self.functions.signs and not self.rows.sparse and len(slots) <= _FEW:
            fold = 32 - tables.bits if tables.folds else 0
            change(slots, batch, codes=projection.place(batch, slots, self.sketches, tables.family, fold))
            return
        Y, rest = self.functions.project(batch)
        if Y is not None:
            self.sketches[slots] = projection.sketch(Y, rest)
        if self.functions.signs and len(slots) <= _FEW:
            codes = tables.fold(self.functions.codes(self.rows, batch, Y, 1)[:, :, 0].T)
            change(slots, batch, codes=np.ascontiguousarray(codes))
            return
        with one_at_a_time:
            change(slots, self.functions.hashed(self.rows, batch, Y))

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
        self.seed = self.seed if seed is None else seed
        self._tuned = 0, None
        self._forget()
        if len(self.ids) >= self.train_size:
            self._learn()

    def _learn(self):
        """Learn the functions, or take those of `adopt` while they are good enough, and hash all rows."""
        self._forget()
        n, (known, functions) = len(self.ids), self._tuned
        if n >= REBUILD * known:
            self._tuned = _, functions = 0, None
        if len(self.ids.free):
            self.rows.restrict(self.ids.compact())
        if functions is not None:
            self.use_projection(functions.projection)
        elif self.metric.projected:
            self.use_projection(self.learn_projection())
        self.load(_Hashed(self, n), None if functions is None else functions.family)

    def adopt(self, other: Builder) -> None:
        """Use K, L and functions of another builder until the rows are `REBUILD` times its rows; hash the present rows again."""
        self.K, self.L = other.K, other.L
        self._forget()
        self._tuned = other.trained, other.functions
        if len(self.ids) >= self.train_size:
            self._learn()

    def learn_projection(self) -> Projection:
        """A projection for the rows, which are in slots 0, 1, ..."""
        n = len(self.ids)
        sample = np.unique(np.linspace(0, n - 1, min(n, SAMPLE)).astype(np.int64))
        longest = 0.0
        for lo in range(0, n, _BLOCK) if self.metric.augmented else ():
            batch = self.rows.take(np.arange(lo, min(n, lo + _BLOCK)))
            longest = max(longest, float(row_lengths(batch, self.rows.sparse).max()))
        return Projection(self.rows, sample, longest, self.seed)

    def use_projection(self, projection: Projection | None) -> None:
        """Take a projection, with room for sketches, or none."""
        self.projection = projection
        self.sketches = None if projection is None else zeros((len(self.ids.ids), projection.width), np.int8)

    def load(self, rows: np.ndarray | _Hashed, family: HashFamily | None = None) -> None:
        """Make the tables of rows in slots 0, 1, ..., as a family hashes them; by default of a family that is drawn now."""
        from mongoose_nb.tables import LSHTables

        n = rows.shape[0]
        dim = self.rows.width if self.projection is None else self.projection.hashed
        K = self.family.hashes_for(n, dim) if self.K is None else self.K
        with one_at_a_time:
            family = family or self.family.make(dim, K, self.L, self.seed)
            tables = LSHTables(family, capacity=self.capacity, policy=self.policy, seed=self.seed)
            tables.build(rows)
        self.tables, self.functions = tables, Functions(self.projection, family)
        self.trained, self._long, self._snapshot = n, 0, None

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
            self._snapshot = Snapshot(self.rows, self.ids.live[:used], self.functions, self.tables, sketches)
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
        out = {"trained": self.trained, "long": self._long, "rows": None, "projection": None, "tables": None, "stats": None}
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
        self.trained, self._long = int(state["trained"]), int(state["long"])
        if state["projection"] is not None:
            self.projection = learned = Projection.from_state(state["projection"])
            expected = self.rows.sparse, self.metric.augmented, self.rows.width + self.metric.augmented
            if (learned.sparse, learned.augmented, len(learned.axes)) != expected:
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
            sketches[slots[lo]:slots[lo] + hi - lo] = projection.sketch(Y[lo:hi], rest[lo:hi])

        in_parts(n, default_threads(), work)
        return np.ascontiguousarray(Y[:, :projection.hashed])
