"""Learner: what is made of the rows of an index: projection, hash functions, tables and sketches. `Builder` changes the rows."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from mongoose_nb.core.registry import describe
from mongoose_nb.hashing.rows import is_sparse
from mongoose_nb.search.drift import SAMPLE as PROFILED
from mongoose_nb.search.drift import Drift, Profile
from mongoose_nb.search.families import FamilyChoice
from mongoose_nb.search.functions import Functions, one_at_a_time
from mongoose_nb.search.ids import IdMap
from mongoose_nb.search.metrics import Metric
from mongoose_nb.search.parallel import default_threads, in_parts
from mongoose_nb.search.projection import SAMPLE, Projection, row_squares
from mongoose_nb.search.rows import RowStore, store_of
from mongoose_nb.search.rows.base import Batch, zeros
from mongoose_nb.search.snapshot import Snapshot

if TYPE_CHECKING:
    from mongoose_nb.hashing import HashFamily

# Functions are learned again when the rows have become so many times those they were chosen for.
REBUILD = 4
# Rows that are taken in at a time.
_BLOCK = 1 << 15


class _Tuned(NamedTuple):
    """What `adopt` brought."""

    rows: int = 0
    functions: Functions | None = None
    profile: Profile | None = None


_NOTHING = _Tuned()


class Learner:
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

    def like(self, **changes) -> Self:
        """A builder without rows, with these settings and otherwise the same."""
        settings = {name: getattr(self, name) for name in ("K", "L", "capacity", "policy", "train_size", "seed", "storage")}
        return type(self)(self.metric, self.dim, IdMap(), family=self.family.value, **settings | changes)

    # --- rows ---------------------------------------------------------------------------------------------------------

    def store(self, sparse: bool) -> RowStore:
        """A new store of rows that come dense or sparse."""
        return store_of(self.metric, sparse, self.storage)(self.metric, self.dim)

    def check(self, X: Any) -> tuple[RowStore, Batch]:
        """The store for rows that are given, and their batch. Before there are rows, it is a new store that fits them."""
        rows = self._store_for(X)
        return rows, rows.check(X)

    def arrive(self, X: Any) -> tuple[RowStore, Batch]:
        """As `check`, of rows that are to be kept."""
        rows = self._store_for(X)
        return rows, rows.arrive(X)

    def _store_for(self, X):
        return self.store(is_sparse(X)) if self.rows is None else self.rows

    def like_rows(self, other: Learner) -> RowStore:
        """The store for rows of another builder as they are kept there, or a ValueError that says why there is none."""
        mine, theirs = describe(self.metric, "metric"), describe(other.metric, "metric")
        if (mine, self.dim) != (theirs, other.dim):
            raise ValueError(f"this index has metric {mine!r} and dim={self.dim}, the other one {theirs!r} and dim={other.dim}; merge "
                             "takes an index of the same")
        rows = self.store(other.rows.sparse) if self.rows is None else self.rows
        if rows.takes != other.rows.takes:
            raise ValueError(f"this index holds {rows.name} rows, the other one {other.rows.name} rows; add its rows in the form of this "
                             "one")
        return rows

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

    def adopt(self, other: Learner) -> None:
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

    def with_tables(self, hashed: np.ndarray | _Hashed, family: HashFamily | None = None, **changes) -> Self:
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
