"""What an index answers: its rows, searches, and measures. Changes are in `mongoose_nb.search.index`."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mongoose_nb.core.validation import check_int
from mongoose_nb.search.allowed import Filter, allowed_slots, filters
from mongoose_nb.search.builder import Builder
from mongoose_nb.search.ids import IdMap
from mongoose_nb.search.lock import ReadWriteLock
from mongoose_nb.search.names import Names
from mongoose_nb.search.radii import radii
from mongoose_nb.search.snapshot import DEFAULT_PROBES, MANY, MOST_PROBES, Search

if TYPE_CHECKING:
    import scipy.sparse

    Rows = np.ndarray | scipy.sparse.csr_matrix


def _of_builder(name, doc):
    return property(operator.attrgetter(f"_builder.{name}"), doc=doc)


#: places of answers, beyond the rows of an index, that are given at most
PLACES = 1 << 26


def check_places(n: int, k: int, rows: int) -> None:
    """Refuse a k so far beyond the number of rows that the empty places of n answers would take all memory."""
    if k > rows and n * k > PLACES:
        raise ValueError(f"k={k:,} is more than the {rows:,} rows of the index, and {n:,} queries would have {n * k:,} places, most of "
                         f"them empty: give k={max(rows, 1):,} or less")


class SearchedIndex:
    """The part of `LSHIndex` that does not change rows.

    Attributes
    ----------
    probes : int or None
        Buckets per table.
    rerank, max_candidates, entries, n_threads : int or None
    exact_fallback : bool
        As `LSHIndex` takes them.
    """

    _ids: IdMap
    _names: Names
    _builder: Builder
    _lock: ReadWriteLock
    probes: int | None
    rerank: int | None
    max_candidates: int | None
    entries: int | None
    n_threads: int | None
    exact_fallback: bool

    metric = _of_builder("metric.name", "Name of the metric.")
    dim = _of_builder("dim", "Columns of a row.")
    K = _of_builder("K", "Hashes per table, None where they follow from the number of rows.")
    L = _of_builder("L", "Tables.")
    capacity = _of_builder("capacity", "Most rows in a bucket, or None.")
    policy = _of_builder("policy", "What a full bucket keeps.")
    family = _of_builder("family.value", "The hash family, as it was given.")
    train_size = _of_builder("train_size", "Rows from which there are tables.")
    storage = _of_builder("storage", "In what dense rows are kept, None for float32.")
    seed = _of_builder("seed", "Of the hash functions and the reservoir.")

    # --- what is in it ------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, id: int | str) -> bool:
        with self._lock.reading():
            return self._names.holds(self._ids, id)

    @property
    def ids(self) -> np.ndarray:
        """All ids, (n,) int64, ascending; those of rows with keys are numbers that the index counts up."""
        with self._lock.reading():
            return self._ids.present

    @property
    def keys(self) -> np.ndarray | None:
        """All keys, (n,) strings, in the order of `ids`; None where rows have no keys."""
        with self._lock.reading():
            return self._names.outward(self._ids.present) if self._names.keyed else None

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        with self._lock.reading():
            return self._ids.nbytes + self._names.nbytes + self._builder.nbytes

    def get(self, ids: np.ndarray | Sequence[int | str] | str) -> Rows:
        """The rows of these ids or keys, as they are kept: dense, CSR, or booleans; for cosine at length one.

        Raises
        ------
        KeyError
            An id or key is not in the index.
        """
        with self._lock.reading():
            slots = self._ids.slots(self._names.inward(ids))
            rows = self._builder.rows
            return rows.matrix(rows.take(slots))

    def contents(self) -> tuple[np.ndarray, Any]:
        """All ids, ascending, and a copy of their rows in the form in which they are kept (None before the first rows); see `merge`."""
        ids, _, rows = self.named_contents()
        return ids, rows

    def named_contents(self) -> tuple[np.ndarray, np.ndarray | None, Any]:
        """As `contents`, with the keys of the rows (None where they have none) between ids and rows."""
        with self._lock.reading():
            ids, rows = self._ids.present, self._builder.rows
            keys = self._names.outward(ids) if self._names.keyed else None
            return ids, keys, None if rows is None else rows.take(self._ids.slots(ids))

    # --- searching ----------------------------------------------------------------------------------------------------

    def _search(self, k=1, probes=None, rerank=None, exact=False):
        """How to search for k neighbours."""
        functions = self._builder.functions
        if exact or functions is None:
            return Search()
        usual = DEFAULT_PROBES if self.entries is None else MOST_PROBES
        probes = self.probes or usual if probes is None else check_int("probes", probes, low=1)
        rerank = self.rerank if rerank is None else check_int("rerank", rerank, low=1)
        return Search(min(probes, functions.most_probes), self.max_candidates or MANY, MANY if rerank is None else rerank * k,
                      self.exact_fallback, self.entries or MANY)

    def query(self, Q: Rows, k: int = 10, *, probes: int | None = None, rerank: int | None = None, exact: bool = False,
              n_threads: int | None = None, allowed: Filter | Sequence[Filter] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest rows of each query.

        Parameters
        ----------
        Q : array_like or CSR matrix of shape (n, dim), or array_like of shape (dim,)
        k : int
        probes, rerank : int, optional
            Other values than those of the index, for these queries. More probes than a table has buckets mean all buckets.
        exact : bool
            Whether to look at every row: the exact twin, against which the approximation is measured.
        n_threads : int, optional
        allowed : array_like of ids, mask or callable, or a list of n of these, optional
            Which rows may be answers: their ids or keys (those that are not in the index allow nothing); one boolean for each of `ids`;
            or a function that takes an array of ids or keys and returns booleans. A list of arrays or functions, or an array of booleans
            of shape (n, rows), has a filter for each query. If few rows are allowed, all of them are compared with the query.

        Returns
        -------
        ids : ndarray of shape (n, k), int64, or strings where rows have keys
            Nearest first; of equally near rows the one that was added first, or that took the place of one that was removed. Where the
            index has fewer rows (that are allowed), -1, or None where rows have keys.
        distances : ndarray of shape (n, k), float32
            Infinite where nothing was found.
        """
        k = check_int("k", k, low=1)
        lock = self._lock
        lock.enter()
        try:
            builder = self._builder
            rows, batch = builder.check(Q)
            n = rows.count(batch)
            check_places(n, k, len(self._ids))
            if not len(self._ids):
                return self._names.outward(np.full((n, k), -1, np.int64)), np.full((n, k), np.inf, np.float32)
            search, threads = self._search(k, probes, rerank, exact), n_threads or self.n_threads
            if allowed is None:
                slots, distances = builder.snapshot().query(batch, k, search, threads)
            else:
                slots, distances = self._filtered(rows, batch, k, search, threads, allowed)
            ids = self._ids.ids[slots]  # slot -1 reads the last id: put right below
            if k > 1 or slots[:, -1].min(initial=0) < 0:
                ids[slots < 0] = -1
            return self._names.outward(ids), distances
        finally:
            lock.leave()

    def _filtered(self, rows, batch, k, search, threads, allowed):
        """As `Snapshot.query`, with one filter or one for each query."""
        snapshot, n = self._builder.snapshot(), rows.count(batch)
        each = filters(allowed, n)
        if each is None:
            return snapshot.query(batch, k, search._replace(allowed=allowed_slots(allowed, self._ids, self._names)), threads)
        slots, distances = np.full((n, k), -1, np.int32), np.full((n, k), np.inf, np.float32)
        for i, one in enumerate(each):
            own = None if one is None else allowed_slots(one, self._ids, self._names)
            slots[i:i + 1], distances[i:i + 1] = snapshot.query(rows.part(batch, i, i + 1), k, search._replace(allowed=own), threads)
        return slots, distances

    def candidates(self, Q: Rows, *, probes: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """All rows that share a probed bucket with a query, before any distance.

        Parameters
        ----------
        Q : array_like or CSR matrix of shape (n, dim)
        probes : int, optional

        Returns
        -------
        indptr : ndarray of shape (n + 1,), int64
        ids : ndarray of shape (indptr[-1],), int64, or strings where rows have keys
            Of query i ``ids[indptr[i] : indptr[i + 1]]``, ascending.
        """
        with self._lock.reading():
            rows, batch = self._builder.check(Q)
            n = rows.count(batch)
            if self._builder.rows is None:
                return np.zeros(n + 1, np.int64), np.zeros(0, np.int64)
            indptr, slots = self._builder.snapshot().candidates(batch, self._search(probes=probes))
            ids = self._ids.ids[slots]
            query = np.repeat(np.arange(n), np.diff(indptr))
            return indptr, self._names.outward(ids[np.lexsort((ids, query))])

    def radius(self, Q: Rows, r: float | np.ndarray, *, probes: int | None = None,
               exact: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All rows found within a distance of a query; as many may be missing as `query` with so many neighbours misses.

        The rows of the probed buckets are compared. The wider the radius, the more of the rows within it lie in other buckets: on MNIST
        (60,000 rows, l2, defaults) 0.98 of 17 rows are found, 0.89 of 126 and 0.82 of 235; with ``probes=32`` 1.00, 0.98 and 0.96. To tune
        for a radius, give `tune` as `k` the number of rows that it holds.

        Parameters
        ----------
        Q : array_like or CSR matrix of shape (n, dim)
        r : float or array_like of shape (n,)
            Greatest distance, in the terms of the metric; one for all queries, or one for each. A row at that distance belongs to the
            answer. Distances are float32, and r is rounded to that.
        probes, exact
            As in `query`.

        Returns
        -------
        indptr : ndarray of shape (n + 1,), int64
        ids : ndarray of shape (indptr[-1],), int64, or strings where rows have keys
            Of query i ``ids[indptr[i] : indptr[i + 1]]``, nearest first.
        distances : ndarray of shape (indptr[-1],), float32

        Raises
        ------
        ValueError, TypeError
            r is NaN, negative where distances are not, or not one number or one for each query.
        """
        with self._lock.reading():
            rows, batch = self._builder.check(Q)
            bounds = radii(r, rows.count(batch), self._builder.metric.signed)
            if self._builder.rows is None:
                return np.zeros(rows.count(batch) + 1, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32)
            indptr, slots, distances = self._builder.snapshot().radius(batch, bounds, self._search(probes=probes, exact=exact))
            return indptr, self._names.outward(self._ids.ids[slots]), distances

    # --- measures -----------------------------------------------------------------------------------------------------

    def stats(self) -> dict[str, Any]:
        """What the index is and how full its buckets are.

        Returns
        -------
        dict
            rows, metric, dim, kind (how rows are kept), K, L, probes, rerank, entries, trained (rows at the last build), nbytes, row_nbytes
            (of the rows alone), and, None before there are tables, ``buckets`` (`BucketStore.stats`) and ``drift``: since the last
            learning, rows that changed, came from outside of the range of sketches, and were longer than the longest row then; the credit
            that changes have paid towards the next learning, in rows; how often functions were learned because rows drifted; and why the
            last time.
        """
        with self._lock.reading():
            b = self._builder
            tables = b.tables
            return {"rows": len(self), "metric": b.metric.name, "dim": b.dim, "kind": None if b.rows is None else b.rows.name,
                    "family": None if tables is None else type(tables.family).__name__, "K": b.K if tables is None else tables.family.K,
                    "L": b.L, "probes": self.probes if tables is None else self._search().probes, "rerank": self.rerank,
                    "entries": self.entries, "trained": b.trained, "drift": None if tables is None else b.drift.stats(),
                    "nbytes": self.nbytes, "row_nbytes": 0 if b.rows is None else b.rows.nbytes,
                    "buckets": None if tables is None else tables.stats()}

    def memory_usage(self, n: int, *, stored: float | None = None) -> int:
        """Most bytes that this index takes with n rows, before any is added.

        Parameters
        ----------
        n : int
        stored : float, optional
            Mean number of stored columns of a sparse row; without it rows count as dense.

        Returns
        -------
        int
            Bytes of the arrays. A dict from ids to slots, made at the first removal, update or addition with ids of your own, takes about
            100 bytes a row besides, and keys take 250.
        """
        return self._builder.memory_usage(check_int("n", n, low=0), stored)

    @property
    def builder(self) -> Builder:
        """What makes the tables, for measurements. It takes no lock."""
        return self._builder
