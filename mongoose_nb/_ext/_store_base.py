"""What the compiled bucket store and its Python twin share: everything that is not hot.

Layout. Table t is a pool of row ids, ``ids[t]``, cut into one segment per bucket::

    ids[t]   | bucket 7: 3 1 4 . | bucket 0: 2 7 | (left behind) | bucket 5: 9 . . | ........ free tail ........ |
               start ^   size 3, room 4                                              ^ counters[t, TAIL]

A. ``spans[t, b]`` holds start and size side by side, so that a look-up costs one cache line; ``room[t, b]``, what the segment
   could hold, is needed by writers only and lives apart.
B. A bucket that outgrows its segment moves to the tail, a quarter larger. When the tail is used up the table is packed:
   live segments are copied side by side, each with a quarter of room, and what they left behind is free again. Where
   that would leave less than an eighth free, all pools are enlarged to 1.5 ids per row held, and packed on the way.
   Both happen after a number of insertions in proportion to the rows held, so an insertion costs O(1) per table on average.
C. Rejected: an array of ``capacity`` ids per bucket (most of it empty, 2^K x capacity per table whatever the data) and a
   linked list or vector per bucket (one cache miss more per look-up, and an allocation per bucket).
"""

import numpy as np

TAIL, ENTRIES, DROPPED = range(3)  # columns of `counters`
UNBOUNDED = 2**31 - 1
MAX_POOL = 2**31 - 1
MAX_BUCKETS = 2**26
STATE_VERSION = 1
_POLICIES = ("fifo", "reservoir")


def _integer(name, value, low, high):
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if not low <= value <= high:
        raise ValueError(f"{name} must be between {low} and {high}, got {value}")
    return int(value)


def _integer_array(name, value):
    array = np.asarray(value)
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(f"{name} must be an integer array, got dtype {array.dtype}")
    return array


def bad_id(row):
    """The error for an id that is not a row."""
    return ValueError(f"row ids must be between 0 and {2**31 - 1} (int32), got {row}")


def bad_code(code, n_buckets):
    """The error for a code that is not a bucket."""
    return ValueError(f"codes must be between 0 and n_buckets - 1 = {n_buckets - 1}, got {code}: "
                      "hash to fewer bits, or make the store with more buckets")


def _within(array, low, high, error):
    """Raise `error(value)` for an entry of `array` outside [low, high]."""
    if array.size:
        for value in (int(array.min()), int(array.max())):
            if not low <= value <= high:
                raise error(value)


def as_ids(ids):
    """`ids` as a C array (m,) int32; without a look at the values where the dtype is int32 already."""
    array = _integer_array("ids", ids)
    if array.ndim != 1:
        raise ValueError(f"ids must have one axis (m,), got shape {array.shape}")
    if array.dtype != np.int32:
        _within(array, 0, 2**31 - 1, bad_id)
    return np.ascontiguousarray(array, dtype=np.int32)


def as_codes(codes, n_tables, m, n_buckets, keep=False):
    """`codes` as a C array (L, m) of uint32, or with `keep` of their own unsigned dtype; checks what a cast would hide."""
    array = _integer_array("codes", codes)
    if array.ndim != 2 or array.shape[0] != n_tables or (m is not None and array.shape[1] != m):
        raise ValueError(f"codes must have shape (tables, rows) = ({n_tables}, {'n' if m is None else m}), got {array.shape}")
    if array.dtype.kind != "u" or array.dtype.itemsize > 4:
        _within(array, 0, n_buckets - 1, lambda code: bad_code(code, n_buckets))
    elif keep and array.dtype.isnative:
        return np.ascontiguousarray(array)
    return np.ascontiguousarray(array, dtype=np.uint32)


def layout(sizes, limit):
    """Starts and rooms of packed segments with the given `sizes`: each gets a quarter of room, at most `limit`."""
    sizes = sizes.astype(np.int64)
    rooms = np.minimum(limit, sizes + sizes // 4)
    return np.cumsum(rooms) - rooms, rooms


def places(starts, sizes):
    """Pool positions of all entries, bucket by bucket."""
    sizes = sizes.astype(np.int64)
    ends = np.cumsum(sizes)
    return np.repeat(starts - (ends - sizes), sizes) + np.arange(ends[-1])


def restore(compiled, state):
    """Unpickle a store: compiled again where that is possible, else the twin (the results are the same)."""
    from mongoose_nb import _ext
    from mongoose_nb._ext import _buckets_py

    return (_ext.BucketStore if compiled else _buckets_py.BucketStore).from_state(state)


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
        What a full bucket does with an arrival. "fifo": it drops its oldest id. "reservoir": it keeps a uniform sample of
        all that arrived (algorithm R: the s-th arrival is taken with probability capacity / s, in the place of a random id).
    seed : int
        Seed of the reservoir, 0 <= seed < 2^64. Draws are keyed by (seed, table, bucket, number of the arrival).

    Notes
    -----
    Within a bucket ids stand in order of arrival, except that a reservoir puts an id in the place of the one it drops. An id that
    is inserted twice is held twice: nothing looks for duplicates. A removal leaves the reservoir's count of arrivals as it is, and the
    next arrival takes the free place.

    The pools take 4 bytes x 1.5 x rows held (at the last allocation) per table, see `memory_bound`. While they are enlarged
    the old and the new pools exist together.

    `insert`, `remove` and `move` called from several Python threads wait for each other. A build, and whoever reads, must not
    run beside a writer.

    Codes are table-major everywhere, shape (L, m): ``codes[t, i]`` is the bucket of row ``ids[i]`` in table t. All values are
    checked before anything is changed.

    See Section 3.1 of Chen et al., "SLIDE: In Defense of Smart Algorithms over Hardware Acceleration for Large-Scale Deep Learning
    Systems" (MLSys 2020), for the two policies, and Vitter, "Random sampling with a reservoir" (1985), for algorithm R.
    """

    __slots__ = ()
    compiled = False

    def __init__(self, n_tables, n_buckets, *, capacity=None, policy="fifo", seed=0):
        n_tables = _integer("n_tables", n_tables, 1, 2**20)
        n_buckets = _integer("n_buckets", n_buckets, 1, MAX_BUCKETS)
        if capacity is not None:
            capacity = _integer("capacity", capacity, 1, UNBOUNDED)
        if not isinstance(policy, str) or policy not in _POLICIES:
            raise ValueError(f"policy must be one of {_POLICIES}, got {policy!r}")
        seed = _integer("seed", seed, 0, 2**64 - 1)
        self._setup(n_tables, n_buckets, capacity, policy, seed)
        self.clear()

    def __repr__(self):
        return (f"BucketStore(n_tables={self.n_tables}, n_buckets={self.n_buckets}, capacity={self.capacity}, "
                f"policy={self.policy!r}, seed={self.seed})")

    def __reduce__(self):
        return restore, (self.compiled, self.state())

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
        """Ids per pool where the fullest table holds `rows`. The constant keeps packing rare in a nearly empty store."""
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
    def rows(self):
        """int : rows held: the number of ids in the fullest table."""
        return int(self._counters[:, ENTRIES].max(initial=0))

    @property
    def reserved(self):
        """int : rows held when the pools were last allocated; ``nbytes == memory_bound(reserved)``."""
        return self._reserved

    @property
    def nbytes(self):
        """int : bytes of all arrays."""
        return sum(a.nbytes for a in (self._ids, self._spans, self._room, self._seen, self._counters))

    def memory_bound(self, n):
        """Bytes that a store takes at most, if it never held more than `n` rows.

        Per table 6 bytes per row (1.5 ids of 4 bytes), 12.25 bytes per bucket (16.25 with a reservoir's counts) and a constant.

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
        n = _integer("n", n, 0, 2**62)
        per_bucket = 16 if self._sampling else 12
        return self.n_tables * (4 * self._pool_size(n) + per_bucket * self.n_buckets + 24)

    # ---------------------------------------------------------------- reading

    def views(self):
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

    def bucket(self, table, code):
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
        table = _integer("table", table, 0, self.n_tables - 1)
        code = _integer("code", code, 0, self.n_buckets - 1)
        start, size = self._spans[table, code].tolist()
        return self._ids[table, start:start + size].copy()

    def stats(self):
        """How full the store is.

        Returns
        -------
        dict
            ``rows`` (ids in the fullest table), ``entries`` (ids in all tables), ``mean_load`` and ``max_load`` (ids per
            bucket), ``empty_share`` (of all buckets), ``load_histogram`` (list: the number of empty buckets, then of buckets with 1,
            2-3, 4-7, ... ids), ``dropped`` (entries lost to the capacity since the last `clear` or build), ``nbytes``.
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

    # ---------------------------------------------------------------- whole contents

    def clear(self):
        """Drop all ids and give the pools' memory back."""
        self._allocate(0)

    def begin_build(self, codes, ids=None):
        """Get ready to be loaded anew: check the input, make room, hand over the arrays.

        The loading itself is a kernel's work, called at once: ``build_buckets(*store.begin_build(codes, ids))``
        (`mongoose_nb.kernels.buckets`). It replaces the contents by what inserting the rows one at a time, in the order given,
        into an empty store would leave. Until then the store is empty, or, where its arrays can be used again, as it was.

        Parameters
        ----------
        codes : array (L, n) of integers
            Buckets, table-major. C arrays of uint8, uint16 or uint32 are not copied.
        ids : array (n,) of integers, optional
            Row ids. None: 0 to n - 1.

        Returns
        -------
        tuple
            The arguments of the kernel: codes (L, n), ids (n,), pool (L, P), spans (L, n_buckets, 2), room (L, n_buckets), seen
            (L, n_buckets or 0), counters (L, 3), capacity, whether to sample, seed.

        Raises
        ------
        ValueError
            A wrong shape, a code >= n_buckets, a negative id, or more rows than int32 offsets reach. The store is unchanged.
        TypeError
            An array that does not hold integers.
        """
        rows = None if ids is None else as_ids(ids)
        codes = as_codes(codes, self.n_tables, None if rows is None else rows.size, self.n_buckets, keep=True)
        n = codes.shape[1]
        if self.n_buckets <= np.iinfo(codes.dtype).max:
            _within(codes, 0, self.n_buckets - 1, lambda code: bad_code(code, self.n_buckets))
        size = self._pool_size(n)
        if rows is None:
            rows = np.arange(n, dtype=np.int32)
        else:
            _within(rows, 0, 2**31 - 1, bad_id)
        # Pools that were made for about as many rows are used again: fresh memory costs as much as the build.
        if not size - self._held(n) // 8 <= self._ids.shape[1] <= size:
            self.clear()  # so that the old pools and the new ones never exist together
            self._allocate(n)
        return (codes, rows, self._ids, self._spans, self._room, self._seen, self._counters,
                self._limit, self._sampling, np.uint64(self.seed))

    def state(self):
        """Everything needed to make an equal store: arrays and plain values, in no more space than the entries take.

        Returns
        -------
        dict
            ``version``, ``n_tables``, ``n_buckets``, ``capacity``, ``policy``, ``seed``, and the arrays ``sizes`` (L, n_buckets)
            int32, ``ids`` (entries,) int32 (table by table, bucket by bucket), ``seen`` (L, n_buckets or 0) uint32 (arrivals
            per bucket, for a reservoir) and ``dropped`` (L,) int64.
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
    def from_state(cls, state):
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
        scalars, arrays = _checked_state(state)
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


def _checked_state(state):
    """The plain values and the arrays of a `state` that a store could have given; ValueError for any other."""
    names = ("version", "n_tables", "n_buckets", "capacity", "policy", "seed", "sizes", "ids", "seen", "dropped")
    if not isinstance(state, dict):
        raise ValueError(f"the state of a bucket store must be a dict, got {type(state).__name__}")
    for name in names:
        if name not in state:
            raise ValueError(f"the state of a bucket store lacks {name!r}; it must have {', '.join(names)}")
    version, tables, buckets, capacity, policy, seed = (state[name] for name in names[:6])
    if isinstance(version, (np.ndarray, bool)) or version != STATE_VERSION:
        raise ValueError(f"the state of a bucket store has version {version!r}, this program reads version {STATE_VERSION}")
    try:
        tables = _integer("n_tables", tables, 1, 2**20)
        buckets = _integer("n_buckets", buckets, 1, MAX_BUCKETS)
        capacity = None if capacity is None else _integer("capacity", capacity, 1, UNBOUNDED)
        seed = _integer("seed", seed, 0, 2**64 - 1)
        if not isinstance(policy, str) or policy not in _POLICIES:
            raise ValueError(f"policy must be one of {_POLICIES}, got {policy!r}")
        sampling = policy == "reservoir" and capacity is not None
        limit = UNBOUNDED if capacity is None else capacity
        shapes = {"sizes": (tables, buckets), "ids": None, "seen": (tables, buckets if sampling else 0), "dropped": (tables,)}
        arrays = []
        for (name, shape), high in zip(shapes.items(), (limit, 2**31 - 1, 2**32 - 1, 2**62)):
            array = _integer_array(name, state[name])
            if array.ndim != 1 if shape is None else array.shape != shape:
                raise ValueError(f"{name} has shape {array.shape}, expected {shape or '(entries,)'}")
            _within(array, 0, high, lambda v, n=name, h=high: ValueError(f"{n} must be between 0 and {h}, got {v}"))
            arrays.append(array)
    except TypeError as error:
        raise ValueError(f"the state of a bucket store is damaged: {error}") from None
    sizes, ids, seen, _ = arrays
    total = int(sizes.sum(dtype=np.int64))
    if total != ids.size:
        raise ValueError(f"the state of a bucket store is damaged: sizes add up to {total} entries, but ids has {ids.size}")
    if sampling and (seen < sizes).any():
        raise ValueError("the state of a bucket store is damaged: a bucket holds more ids than it has seen arrive")
    return (tables, buckets, capacity, policy, seed), arrays
