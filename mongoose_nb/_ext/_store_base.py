"""The bucket store: what its compiled and its Python implementation share, which is everything but the inner loops.

Layout. Table t is a pool of row ids, ``ids[t]``, cut into one segment per bucket::

    ids[t]   | bucket 7: 3 1 4 . | bucket 0: 2 7 | (left behind) | bucket 5: 9 . . | ........ free tail ........ |
               start ^   size 3, room 4                                              ^ counters[t, TAIL]

A. ``spans[t, b]`` holds start and size side by side, so that a look-up costs one cache line; ``room[t, b]``, what the
   segment could hold, is needed by writers only and lives apart.
B. A bucket that outgrows its segment moves to the tail, a quarter larger. When the tail is used up the table is packed:
   live segments are copied side by side, each with a quarter of room, and what they left behind is free again. Where
   that would leave less than an eighth free, all pools are enlarged to 1.5 ids per row held, and packed on the way.
   Both happen after a number of insertions in proportion to the rows held, so an insertion costs O(1) per table on
   average.
C. Rejected: an array of ``capacity`` ids per bucket (most of it empty, 2^K x capacity per table whatever the data) and
   a linked list or vector per bucket (one cache miss more per look-up, and an allocation per bucket).
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from mongoose_nb._ext._checks import (
    STATE_VERSION,
    UNBOUNDED,
    as_codes,
    as_ids,
    bad_code,
    bad_id,
    check_parameters,
    check_state,
    integer,
    within,
)

TAIL, ENTRIES, DROPPED = range(3)  # columns of `counters`
MAX_POOL = 2**31 - 1


def layout(sizes: np.ndarray, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """Starts and rooms of packed segments with the given `sizes`: each gets a quarter of room, at most `limit`."""
    sizes = sizes.astype(np.int64)
    rooms = np.minimum(limit, sizes + sizes // 4)
    return np.cumsum(rooms) - rooms, rooms


def places(starts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Pool positions of all entries, bucket by bucket."""
    sizes = sizes.astype(np.int64)
    ends = np.cumsum(sizes)
    return np.repeat(starts - (ends - sizes), sizes) + np.arange(ends[-1])


class StoreBase:
    """The buckets of L hash tables: bounded memory, changed row by row or loaded in bulk.

    Parameters
    ----------
    n_tables : int
        L, the number of tables.
    n_buckets : int
        Buckets per table, at most 2^26.
    capacity : int, optional
        The most ids a bucket may hold. None: no limit.
    policy : {"fifo", "reservoir"}
        What a full bucket does with an arrival. "fifo": it drops its oldest id. "reservoir": it keeps a uniform sample
        of all that arrived (algorithm R: the s-th arrival is taken with probability capacity / s, in the place of a
        random id).
    seed : int
        Seed of the reservoir, 0 <= seed < 2^64. Draws are keyed by (seed, table, bucket, number of the arrival).

    Notes
    -----
    Within a bucket ids are in order of arrival, except that a reservoir puts an id in the place of the one it drops.
    An id that is inserted twice is stored twice: duplicates are not detected. A removal does not change the reservoir's
    count of arrivals, and the next arrival takes the free place.

    The pools take 4 bytes x 1.5 x rows held (at the last allocation) per table, see `memory_bound`. While they are
    enlarged the old and the new pools exist together.

    `insert`, `remove` and `move` called from several Python threads wait for each other. Builds and
    readers must not run at the same time as a writer.

    Codes are table-major everywhere, shape (L, m): ``codes[t, i]`` is the bucket of row ``ids[i]`` in table t. All
    values are checked before anything is changed.

    See Chen et al., "SLIDE: In Defense of Smart Algorithms over Hardware Acceleration for Large-Scale Deep Learning
    Systems" (MLSys 2020), for the two policies, and Vitter, "Random sampling with a reservoir" (1985), for algorithm R.
    """

    __slots__ = ()
    compiled = False

    def __init__(self, n_tables: int, n_buckets: int, *, capacity: int | None = None, policy: str = "fifo", seed: int = 0) -> None:
        self._setup(*check_parameters(n_tables, n_buckets, capacity, policy, seed))
        self.clear()

    def __repr__(self) -> str:
        return (f"BucketStore(n_tables={self.n_tables}, n_buckets={self.n_buckets}, capacity={self.capacity}, "
                f"policy={self.policy!r}, seed={self.seed})")

    def __reduce__(self) -> tuple:
        return type(self).from_state, (self.state(),)

    # ---------------------------------------------------------------- memory

    @property
    def _limit(self):
        return UNBOUNDED if self.capacity is None else self.capacity

    @property
    def _sampling(self):
        return self.policy == "reservoir" and self.capacity is not None

    def _held(self, rows):
        """The most entries a table can hold after `rows` arrivals."""
        return min(rows, self.n_buckets * self._limit)

    def _pool_size(self, rows):
        """Ids per pool where the fullest table holds `rows`; what is added keeps packing rare in a nearly empty store."""
        size = self._held(rows) * 3 // 2 + 64 + self.n_buckets // 16
        if size > MAX_POOL:
            raise ValueError(f"{rows} rows need {size} places per table, but offsets are int32: at most {MAX_POOL}. "
                             "Set a capacity, or split the rows over several stores")
        return size

    def _check_growth(self, m):
        """Refuse `m` more rows, before anything is changed, where a pool could grow too large."""
        self._pool_size(self.rows + m)

    def _allocate(self, rows):
        """Empty arrays for `rows` rows."""
        tables, buckets = self.n_tables, self.n_buckets
        self._attach(np.zeros((tables, self._pool_size(rows)), np.int32),
                     np.zeros((tables, buckets, 2), np.int32),
                     np.zeros((tables, buckets), np.int32),
                     np.zeros((tables, buckets if self._sampling else 0), np.uint32),
                     np.zeros((tables, 3), np.int64), self._held(rows))

    @property
    def rows(self) -> int:
        """int : rows held: the number of ids in the fullest table."""
        return max(self._counters[:, ENTRIES].tolist(), default=0)

    @property
    def reserved(self) -> int:
        """int : rows held when the pools were last allocated; ``nbytes == memory_bound(reserved)``."""
        return self._reserved

    @property
    def nbytes(self) -> int:
        """int : bytes of all arrays."""
        return sum(a.nbytes for a in (self._ids, self._spans, self._room, self._seen, self._counters))

    def memory_bound(self, n: int) -> int:
        """Bytes that a store takes at most, if it never held more than `n` rows.

        Per table 6 bytes per row (1.5 ids of 4 bytes), 12.25 bytes per bucket (16.25 with a reservoir's counts) and a
        constant.

        Parameters
        ----------
        n : int
            Rows.

        Returns
        -------
        int

        Raises
        ------
        ValueError
            More rows than int32 offsets reach.
        """
        n = integer("n", n, 0, 2**62)
        per_bucket = 16 if self._sampling else 12
        return self.n_tables * (4 * self._pool_size(n) + per_bucket * self.n_buckets + 24)

    # ---------------------------------------------------------------- reading

    def views(self) -> tuple[np.ndarray, np.ndarray]:
        """The store's own arrays, for kernels that read them. Nothing is copied: do not write to them.

        They are valid until the next change of the store: a change may move the ids to a larger array.

        Returns
        -------
        ids : array (L, P) int32
            One pool of row ids per table.
        spans : array (L, n_buckets, 2) int32
            Start and size of each bucket: ``ids[t, start:start + size]``.
        """
        return self._ids, self._spans

    def bucket(self, table: int, code: int) -> np.ndarray:
        """A copy of the ids in one bucket.

        Parameters
        ----------
        table : int
            0 <= table < L.
        code : int
            0 <= code < n_buckets.

        Returns
        -------
        array (size,) int32
        """
        table = integer("table", table, 0, self.n_tables - 1)
        code = integer("code", code, 0, self.n_buckets - 1)
        start, size = self._spans[table, code].tolist()
        return self._ids[table, start:start + size].copy()

    def stats(self) -> dict[str, Any]:
        """How full the store is.

        Returns
        -------
        dict
            ``rows`` (ids in the fullest table), ``entries`` (ids in all tables), ``mean_load`` and ``max_load`` (ids
            per bucket), ``empty_share`` (of all buckets), ``load_histogram`` (list: the number of empty buckets, then of
            buckets with 1, 2-3, 4-7, ... ids), ``dropped`` (entries lost to the capacity since the last `clear` or
            build), ``nbytes``.
        """
        histogram = np.zeros(33, np.int64)
        for sizes in self._spans[:, :, 1]:
            # the exponent of a positive integer as a float is its number of bits
            histogram += np.bincount(np.frexp(sizes.astype(np.float64))[1], minlength=33)
        bins = int(np.flatnonzero(histogram)[-1]) + 1
        entries = int(self._counters[:, ENTRIES].sum())
        buckets = self.n_tables * self.n_buckets
        return {
            "rows": self.rows,
            "entries": entries,
            "mean_load": entries / buckets,
            "max_load": int(self._spans[:, :, 1].max()),
            "empty_share": int(histogram[0]) / buckets,
            "load_histogram": histogram[:bins].tolist(),
            "dropped": int(self._counters[:, DROPPED].sum()),
            "nbytes": self.nbytes,
        }

    # ---------------------------------------------------------------- row by row

    def insert(self, ids: np.ndarray, codes: np.ndarray) -> None:
        """Insert rows one after another.

        Parameters
        ----------
        ids : array (m,) of integers
            Row ids, >= 0.
        codes : array (L, m) of integers
            Bucket of each row in each table, < n_buckets.

        Raises
        ------
        ValueError, TypeError
            Wrong shapes, types or values, or more rows than int32 offsets reach. The store is unchanged.
        """
        ids = as_ids(ids)
        self._insert(ids, as_codes(codes, self.n_tables, len(ids), self.n_buckets))

    def remove(self, ids: np.ndarray, codes: np.ndarray) -> int:
        """Remove rows: of each, the oldest entry in its bucket of each table. Rows that are not there are passed over.

        Parameters
        ----------
        ids : array (m,) of integers
            Row ids, >= 0.
        codes : array (L, m) of integers
            The buckets they were inserted into.

        Returns
        -------
        int
            How many entries were removed, at most L * m: a row may have been dropped from full buckets before.

        Raises
        ------
        ValueError, TypeError
            Wrong shapes, types or values. The store is unchanged.
        """
        ids = as_ids(ids)
        return self._remove(ids, as_codes(codes, self.n_tables, len(ids), self.n_buckets))

    def move(self, ids: np.ndarray, old_codes: np.ndarray, new_codes: np.ndarray) -> int:
        """Move rows whose hash codes changed: remove and insert, in those tables only where the two codes differ.

        Parameters
        ----------
        ids : array (m,) of integers
            Row ids, >= 0.
        old_codes, new_codes : array (L, m) of integers
            Where the rows are, and where they belong. A row that its old bucket dropped is inserted all the same.

        Returns
        -------
        int
            The number of (table, row) pairs whose codes differ.

        Raises
        ------
        ValueError, TypeError
            Wrong shapes, types or values, or more rows than int32 offsets reach. The store is unchanged.
        """
        ids = as_ids(ids)
        return self._move(ids, as_codes(old_codes, self.n_tables, len(ids), self.n_buckets),
                          as_codes(new_codes, self.n_tables, len(ids), self.n_buckets))

    # ---------------------------------------------------------------- whole contents

    def clear(self) -> None:
        """Drop all ids and give the pools' memory back."""
        self._allocate(0)

    def begin_build(self, codes: np.ndarray, ids: np.ndarray | None = None) -> tuple:
        """Prepare a bulk load: check the input, allocate, and return the arrays.

        A kernel does the loading, and has to be called next: ``build_buckets(*store.begin_build(codes, ids))``
        (`mongoose_nb.kernels.tables.buckets`). It replaces the contents by what inserting the rows one at a time, in the order
        given, into an empty store would leave. Until then the store is empty, or, where its arrays can be used again, as
        it was.

        Parameters
        ----------
        codes : array (L, n) of integers
            Buckets, table-major. C arrays of uint8, uint16 or uint32 are not copied.
        ids : array (n,) of integers, optional
            Row ids. None: 0 to n - 1.

        Returns
        -------
        tuple
            The arguments of the kernel: codes (L, n), ids (n,), pool (L, P), spans (L, n_buckets, 2), room
            (L, n_buckets), seen (L, n_buckets or 0), counters (L, 3), capacity, whether to sample, seed.

        Raises
        ------
        ValueError
            A wrong shape, a code >= n_buckets, a negative id, or more rows than int32 offsets reach. The store is
            unchanged.
        TypeError
            An array that does not hold integers.
        """
        rows = None if ids is None else as_ids(ids)
        codes = as_codes(codes, self.n_tables, None if rows is None else rows.size, self.n_buckets, keep=True)
        n = codes.shape[1]
        if self.n_buckets <= np.iinfo(codes.dtype).max:
            within(codes, 0, self.n_buckets - 1, lambda code: bad_code(code, self.n_buckets))
        size = self._pool_size(n)
        if rows is None:
            rows = np.arange(n, dtype=np.int32)
        else:
            within(rows, 0, 2**31 - 1, bad_id)
        # Pools that were made for about as many rows are used again: fresh memory costs as much as the build.
        if not size - self._held(n) // 8 <= self._ids.shape[1] <= size:
            self.clear()  # so that the old pools and the new ones never exist together
            self._allocate(n)
        codes = codes.view()
        codes.flags.writeable = False  # whoever gives them: arrays that may be written are another type to the kernel
        return (codes, rows, self._ids, self._spans, self._room, self._seen, self._counters,
                self._limit, self._sampling, np.uint64(self.seed))

    def state(self) -> dict[str, Any]:
        """Everything needed to make an equal store: arrays and plain values, in no more space than the entries take.

        Returns
        -------
        dict
            ``version``, ``n_tables``, ``n_buckets``, ``capacity``, ``policy``, ``seed``, and the arrays ``sizes``
            (L, n_buckets) int32, ``ids`` (entries,) int32 (table by table, bucket by bucket), ``seen``
            (L, n_buckets or 0) uint32 (arrivals per bucket, for a reservoir) and ``dropped`` (L,) int64.
        """
        ids = np.empty(int(self._counters[:, ENTRIES].sum()), np.int32)
        lo = 0
        for pool, spans in zip(self._ids, self._spans):
            at = places(spans[:, 0], spans[:, 1])
            np.take(pool, at, out=ids[lo:lo + at.size])
            lo += at.size
        return {
            "version": STATE_VERSION, "n_tables": self.n_tables, "n_buckets": self.n_buckets,
            "capacity": self.capacity, "policy": self.policy, "seed": self.seed,
            "sizes": self._spans[:, :, 1].copy(), "ids": ids, "seen": self._seen.copy(),
            "dropped": self._counters[:, DROPPED].copy(),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Make a store from what `state` gave.

        Parameters
        ----------
        state : dict
            As returned by `state`.

        Returns
        -------
        BucketStore

        Raises
        ------
        ValueError
            Anything that `state` would not have given: the message names it.
        """
        scalars, arrays = check_state(state)
        sizes, ids, seen, dropped = arrays
        store = cls.__new__(cls)
        store._setup(*scalars)
        entries = sizes.sum(axis=1, dtype=np.int64)
        store._allocate(int(entries.max()))
        lo = 0
        for t in range(store.n_tables):
            starts, rooms = layout(sizes[t], store._limit)
            at = places(starts, sizes[t])
            store._ids[t, at] = ids[lo:lo + at.size]
            lo += at.size
            store._spans[t, :, 0], store._spans[t, :, 1], store._room[t] = starts, sizes[t], rooms
            store._counters[t] = rooms.sum(), at.size, dropped[t]
        store._seen[:] = seen
        return store
