"""LSHIndex: approximate nearest-neighbour and inner-product search with insertions, updates and deletions."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mongoose_nb.core.files import FormatError
from mongoose_nb.core.registry import describe, make, parameters
from mongoose_nb.core.saving import join, split
from mongoose_nb.core.validation import check_choice, check_int
from mongoose_nb.search import storage
from mongoose_nb.search.allowed import Filter, allowed_slots, filters
from mongoose_nb.search.builder import Builder
from mongoose_nb.search.ids import IdMap, as_ids
from mongoose_nb.search.lock import ReadWriteLock
from mongoose_nb.search.metrics import Metric
from mongoose_nb.search.radii import radii
from mongoose_nb.search.snapshot import DEFAULT_PROBES, MANY, Search

if TYPE_CHECKING:
    import scipy.sparse

    from mongoose_nb.search.tune import Tuned

    Rows = np.ndarray | scipy.sparse.csr_matrix


def _of_builder(name, doc):
    return property(operator.attrgetter(f"_builder.{name}"), doc=doc)


class LSHIndex:
    """Nearest neighbours by locality-sensitive hashing; smaller distances are closer.

    A query looks into ``probes`` buckets of each of L tables, compares the sketches (64 bytes) of what it finds, and computes exact
    distances of the best ``rerank * k``. Adding, changing and removing a row takes O(L).

    Parameters
    ----------
    metric : str, dict or Metric
        Distance: "cosine" is ``1 - cos``; "l2" is the Euclidean distance (not squared); "ip" is ``- q . x``, so the largest inner product
        has the least distance; "jaccard" is 1 - intersection / union of the columns that are not zero; "hamming" is the number of
        differing bits. Or a metric of your own, see `mongoose_nb.search.metrics`.
    dim : int
        Columns of a row.
    K : int, optional
        Hashes per table. By default they follow from the number of rows, and are chosen again whenever that has grown fourfold.
    L : int, optional
        Tables; by default 8, or 24 for jaccard and hamming.
    probes : int, optional
        Buckets per table; by default 8 for families with multi-probe, else 1.
    rerank : int or None
        Exact distances per query and neighbour, chosen by sketches. None: of all candidates.
    capacity : int, optional
        Most rows in a bucket. None: no bound.
    policy : {"fifo", "reservoir"}
        What a full bucket keeps: the newest rows, or a uniform sample of all that came. A capacity bounds the work of a query whatever the
        data; an unbounded stream keeps finding what is new (fifo) or what is typical (reservoir).
    family : str, type, dict or callable, optional
        Hash family: a registered name, a subclass of `HashFamily`, a description (a dict of ``"name"`` and further arguments), or a
        function of (dim, K, L, seed) that returns a family. By default that of the metric: "simhash", "minhash" for jaccard, "bitsampling"
        for hamming. An index with a function is saved if the function is decorated with `family_maker`.
    max_candidates : int, optional
        Most candidates of a query; those with the fewest votes (buckets that they share with it) are dropped.
    exact_fallback : bool
        Whether to compare all rows with a query that shares buckets with fewer than k rows; else, `train_size` of them.
    train_size : int
        Fewer rows are searched exactly; with so many, functions and tables are made. With less than half of them they are dropped.
    n_threads : int, optional
        Threads for many queries at once; by default Numba's number. Results do not depend on it.
    seed : int
        Of the hash functions and the reservoir.

    Notes
    -----
    Rows are dense or, for cosine, ip and jaccard, SciPy CSR. The first rows decide in which form all are kept. Under ``cosine`` they are
    kept at length one.

    Functions are learned from the rows: main axes of a sample, their mean, and signs of random directions among the axes (`Projection`).
    They are learned again when the rows have grown fourfold, as long as K is automatic or fewer than 16,384 rows were seen; when so many
    were removed that tables are too fine; and when rows drift: when they are beyond the range of the sketches or longer than the longest
    row that was known, or when a sample of them (looked at after each eighth of the rows has changed) has another mean, spread, direction
    or length, or crowds in few buckets. At most, functions are learned once in advance and then once for an eighth of the rows that
    change, so that in all a change costs O(1) builds; ``stats()["drift"]`` tells how often and why. `rebuild` does it at any time.
    Queries that are not like rows, as activations are not like output weights, need functions that are trained on queries: `tune` trains
    them, given some.

    A query that shares buckets with fewer than k rows looks into eight times the buckets, and is then compared with `train_size` rows
    from all over the index, so it always gets k rows if there are so many. Rows and queries longer than 2^62 are refused under metrics
    that square them; squares below 1e-38 are 0.

    Any number of threads may search at once. A change waits for searches, and searches wait for a change. Searches run in serial kernels
    that release the interpreter lock, so they are safe under each of Numba's threading layers. Families other than SimHash hash one call
    at a time.

    Examples
    --------
    >>> import numpy as np
    >>> from mongoose_nb import LSHIndex
    >>> X = np.random.default_rng(0).standard_normal((2000, 32)).astype(np.float32)
    >>> index = LSHIndex("l2", dim=32)
    >>> ids = index.add(X)
    >>> found, distances = index.query(X[:3], k=2)
    >>> found[:, 0].tolist(), distances[:, 0].tolist()
    ([0, 1, 2], [0.0, 0.0, 0.0])
    """

    def __init__(self, metric: str | dict | Metric, dim: int, *, K: int | None = None, L: int | None = None, probes: int | None = None,
                 rerank: int | None = 4, capacity: int | None = None, policy: str = "fifo",
                 family: str | type | dict | Callable | None = None, max_candidates: int | None = None,
                 exact_fallback: bool = False, train_size: int = 1024, n_threads: int | None = None, seed: int = 0) -> None:
        def count(name, value):
            return None if value is None else check_int(name, value, low=1)

        self.probes, self.rerank = count("probes", probes), count("rerank", rerank)
        self.max_candidates, self.n_threads = count("max_candidates", max_candidates), count("n_threads", n_threads)
        self.exact_fallback = bool(exact_fallback)
        self._lock = ReadWriteLock()
        self._read_only, self._mapped = False, None
        self._ids = IdMap()
        self._builder = Builder(
            make("search metric", metric), check_int("dim", dim, low=1, high=2**31 - 1), self._ids, family=family,
            K=None if K is None else check_int("K", K, low=1, high=256), L=count("L", L), capacity=count("capacity", capacity),
            policy=check_choice("policy", policy, ("fifo", "reservoir")), train_size=check_int("train_size", train_size, low=2),
            seed=check_int("seed", seed, low=0, high=2**64 - 1))

    metric = _of_builder("metric.name", "Name of the metric.")
    dim = _of_builder("dim", "Columns of a row.")
    K = _of_builder("K", "Hashes per table, None where they follow from the number of rows.")
    L = _of_builder("L", "Tables.")
    capacity = _of_builder("capacity", "Most rows in a bucket, or None.")
    policy = _of_builder("policy", "What a full bucket keeps.")
    family = _of_builder("family.value", "The hash family, as it was given.")
    train_size = _of_builder("train_size", "Rows from which there are tables.")
    seed = _of_builder("seed", "Of the hash functions and the reservoir.")

    # --- what is in it ------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, id: int) -> bool:
        with self._lock.reading():
            return id in self._ids

    @property
    def ids(self) -> np.ndarray:
        """All ids, (n,) int64, ascending."""
        with self._lock.reading():
            return self._ids.present

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        with self._lock.reading():
            return self._ids.nbytes + self._builder.nbytes

    def get(self, ids: np.ndarray) -> Rows:
        """The rows of these ids, as they are kept: dense, CSR, or booleans; for cosine at length one.

        Raises
        ------
        KeyError
            An id is not in the index.
        """
        with self._lock.reading():
            slots = self._ids.slots(as_ids(ids))
            rows = self._builder.rows
            return rows.matrix(rows.take(slots))

    def contents(self) -> tuple[np.ndarray, Any]:
        """All ids, ascending, and a copy of their rows in the form in which they are kept (None before the first rows); see `merge`."""
        with self._lock.reading():
            ids, rows = self._ids.present, self._builder.rows
            return ids, None if rows is None else rows.take(self._ids.slots(ids))

    # --- changing -----------------------------------------------------------------------------------------------------

    def _writable(self):
        if self._read_only:
            raise ValueError("this index is mapped read-only; load it with mmap=False to change it")

    def add(self, X: Rows, ids: np.ndarray | None = None, *, any_id: bool = False) -> np.ndarray:
        """Add rows.

        Parameters
        ----------
        X : array_like or CSR matrix of shape (m, dim), or array_like of shape (dim,)
            CSR for cosine, ip and jaccard.
        ids : array_like of shape (m,), integers, optional
            Any int64 but -1 that are not in the index. By default those that follow the largest that ever was.
        any_id : bool
            Whether -1 is an id too. In answers, a finite distance tells it from a place without a row.

        Returns
        -------
        ids : ndarray of shape (m,), int64

        Raises
        ------
        ValueError, TypeError
            Wrong shapes, values or ids. The index is unchanged.
        """
        self._writable()
        with self._lock.writing():
            rows, batch = self._builder.check(X)
            m = rows.count(batch)
            if ids is None:
                ids = self._ids.fresh(m)
            else:
                ids = as_ids(ids)
                if len(ids) != m:
                    raise ValueError(f"{len(ids)} ids came with {m} rows; give one id for each row")
                self._ids.check_new(ids, any_id)
            self._builder.add(ids, rows, batch)
            return ids

    def merge(self, other: LSHIndex, *, renumber: bool = False) -> np.ndarray:
        """Add all rows of another index of the same metric and width, which stays as it is.

        Parameters
        ----------
        other : LSHIndex
            Its settings do not matter. It may be mapped.
        renumber : bool
            Whether its rows get new ids, those that follow the largest of this index; else they keep theirs.

        Returns
        -------
        ids : ndarray of shape (len(other),), int64
            The ids here, in the order of ``other.ids``.

        Raises
        ------
        TypeError, ValueError
            Not another index; it differs in metric, width or form of rows, or has ids of this one. This index is unchanged.
        """
        self._writable()
        if not isinstance(other, LSHIndex) or other is self:
            raise TypeError(f"merge takes another LSHIndex; got {other!r}")
        ids, batch = other.contents()
        if not len(ids):
            return ids
        with self._lock.writing():
            rows = self._builder.like_rows(other.builder)
            if renumber:
                ids = self._ids.fresh(len(ids))
            else:
                self._ids.check_new(ids, any_id=True)
            self._builder.add(ids, rows, rows.sealed(batch))
            return ids

    def remove(self, ids: np.ndarray) -> None:
        """Remove rows; O(L) a row.

        Raises
        ------
        KeyError
            An id is not in the index. The index is unchanged.
        """
        self._writable()
        ids = as_ids(ids)
        with self._lock.writing():
            self._builder.remove(self._ids.slots(ids))

    def update(self, ids: np.ndarray, X: Rows) -> None:
        """Replace the rows of these ids by others; O(L) a row.

        Raises
        ------
        KeyError, ValueError, TypeError
            An id is not in the index; wrong shapes or values. The index is unchanged.
        """
        self._writable()
        ids = as_ids(ids)
        with self._lock.writing():
            slots = self._ids.slots(ids)
            rows, batch = self._builder.check(X)
            if rows.count(batch) != len(ids):
                raise ValueError(f"{len(ids)} ids came with {rows.count(batch)} rows; give one row for each id")
            self._builder.update(slots, batch)

    def rebuild(self, *, seed: int | None = None) -> LSHIndex:
        """Learn the functions from the present rows and hash all of them again.

        Parameters
        ----------
        seed : int, optional
            Of the new functions; by default the old one.

        Returns
        -------
        self
        """
        self._writable()
        with self._lock.writing():
            self._builder.rebuild(None if seed is None else check_int("seed", seed, low=0, high=2**64 - 1))
        return self

    def tune(self, X: Rows, *, queries: Rows | None = None, learn: bool | None = None, recall: float = 0.9, k: int = 10,
             memory: int | None = None, n_queries: int = 2000, seed: int = 0, worst_tenth: float | None = None) -> Tuned:
        """Choose K, L, probes and rerank for rows and queries like these, and set them.

        Parameters
        ----------
        X : array_like or CSR matrix of shape (n, dim)
            The rows that the index is to hold, or as many like them: recall depends on their number. They are not added. Rows that the
            index holds are hashed again. The functions stay until the rows are four times those of X.
        queries : array_like or CSR matrix of shape (m, dim), optional
            Queries like those to come. Without them, rows of X are put aside.
        learn : bool, optional
            Whether functions may be trained on a half of the queries, at most 4,096; they are used where that is cheaper. By default if
            the family is trainable and there are 1,000 queries.
        recall : float
            Wanted share of the k nearest rows.
        k : int
        memory : int, optional
            Most bytes, by `memory_usage`.
        n_queries : int
            Most queries that choose and measure. With more of them, the expectation is closer.
        seed : int
            Of the rows put aside.
        worst_tenth : float, optional
            Wanted share of the k nearest rows of the tenth of the queries that find least, besides `recall`.

        Returns
        -------
        Tuned
            The setting, the recall to expect, and its cost.

        Raises
        ------
        ValueError
            Fewer than 20 queries or rows, no setting within the memory, or ``learn=True`` without queries or with a family that cannot be
            trained.
        """
        from mongoose_nb.search.tune import choose

        self._writable()
        tuned, chosen = choose(self._builder, X, queries=queries, learn=learn, recall=recall, k=k, memory=memory, n_queries=n_queries,
                               seed=seed, n_threads=self.n_threads, max_candidates=self.max_candidates, worst=worst_tenth)
        with self._lock.writing():
            self._builder.adopt(chosen)
            self.probes, self.rerank = tuned.probes, tuned.rerank
        return tuned

    # --- searching ----------------------------------------------------------------------------------------------------

    def _search(self, k=1, probes=None, rerank=None, exact=False):
        """How to search for k neighbours."""
        functions = self._builder.functions
        if exact or functions is None:
            return Search()
        probes = self.probes or DEFAULT_PROBES if probes is None else check_int("probes", probes, low=1)
        rerank = self.rerank if rerank is None else check_int("rerank", rerank, low=1)
        return Search(min(probes, functions.most_probes), self.max_candidates or MANY, MANY if rerank is None else rerank * k,
                      self.exact_fallback)

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
            Which rows may be answers: their ids (those that are not in the index allow nothing); one boolean for each of `ids`; or a
            function that takes an array of ids and returns booleans. A list of arrays or functions, or an array of booleans of shape
            (n, rows), has a filter for each query. If few rows are allowed, all of them are compared with the query.

        Returns
        -------
        ids : ndarray of shape (n, k), int64
            Nearest first; of equally near rows the one that was added first. Where the index has fewer rows (that are allowed), -1.
        distances : ndarray of shape (n, k), float32
            Infinite where nothing was found.
        """
        k = check_int("k", k, low=1)
        lock = self._lock
        lock.enter()
        try:
            builder = self._builder
            rows, batch = builder.check(Q)
            if not len(self._ids):
                n = rows.count(batch)
                return np.full((n, k), -1, np.int64), np.full((n, k), np.inf, np.float32)
            search, threads = self._search(k, probes, rerank, exact), n_threads or self.n_threads
            if allowed is None:
                slots, distances = builder.snapshot().query(batch, k, search, threads)
            else:
                slots, distances = self._filtered(rows, batch, k, search, threads, allowed)
            ids = self._ids.ids[slots]  # slot -1 reads the last id: put right below
            if k > 1 or slots[:, -1].min(initial=0) < 0:
                ids[slots < 0] = -1
            return ids, distances
        finally:
            lock.leave()

    def _filtered(self, rows, batch, k, search, threads, allowed):
        """As `Snapshot.query`, with one filter or one for each query."""
        snapshot, n = self._builder.snapshot(), rows.count(batch)
        each = filters(allowed, n)
        if each is None:
            return snapshot.query(batch, k, search._replace(allowed=allowed_slots(allowed, self._ids)), threads)
        slots, distances = np.full((n, k), -1, np.int32), np.full((n, k), np.inf, np.float32)
        for i, one in enumerate(each):
            own = None if one is None else allowed_slots(one, self._ids)
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
        ids : ndarray of shape (indptr[-1],), int64
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
            return indptr, ids[np.lexsort((ids, query))]

    def radius(self, Q: Rows, r: float | np.ndarray, *, probes: int | None = None,
               exact: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All rows found within a distance of a query.

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
        ids : ndarray of shape (indptr[-1],), int64
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
            return indptr, self._ids.ids[slots], distances

    # --- measures -----------------------------------------------------------------------------------------------------

    def stats(self) -> dict[str, Any]:
        """What the index is and how full its buckets are.

        Returns
        -------
        dict
            rows, metric, dim, kind, K, L, probes, rerank, trained (rows at the last build), nbytes, and, None before there are tables,
            ``buckets`` (`BucketStore.stats`) and ``drift``: since the last learning, rows that changed, came from outside of the range of
            sketches, and were longer than the longest row then; the credit that changes have paid towards the next learning, in rows; how
            often functions were learned because rows drifted; and why the last time.
        """
        with self._lock.reading():
            b = self._builder
            tables = b.tables
            return {"rows": len(self), "metric": b.metric.name, "dim": b.dim, "kind": None if b.rows is None else b.rows.name,
                    "family": None if tables is None else type(tables.family).__name__, "K": b.K if tables is None else tables.family.K,
                    "L": b.L, "probes": self.probes if tables is None else self._search().probes, "rerank": self.rerank,
                    "trained": b.trained, "drift": None if tables is None else b.drift.stats(),
                    "nbytes": self.nbytes, "buckets": None if tables is None else tables.stats()}

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
            100 bytes a row besides.
        """
        return self._builder.memory_usage(check_int("n", n, low=0), stored)

    @property
    def builder(self) -> Builder:
        """What makes the tables, for measurements. It takes no lock."""
        return self._builder

    # --- saving -------------------------------------------------------------------------------------------------------

    def _state(self):
        if self._read_only:
            raise ValueError("this index is mapped from a file: copy that file, or load it with mmap=False")
        arguments = {name: getattr(self, name) for name in parameters(LSHIndex)}
        arguments |= {"metric": describe(self._builder.metric, "metric"), "family": self._builder.family.describe()}
        return {"arguments": arguments, "ids": self._ids.state(), "builder": self._builder.state()}

    def save(self, path: str | os.PathLike) -> None:
        """Write the index to one file, replacing it as a whole; nothing is pickled.

        Raises
        ------
        TypeError
            The file cannot hold the metric or the family; the message says what to do.
        """
        with self._lock.reading():
            storage.save(path, self._state())

    @classmethod
    def load(cls, path: str | os.PathLike, *, mmap: bool = False, verify: bool = False) -> LSHIndex:
        """Read what `save` wrote. A module with a metric or a family of your own is to be imported before.

        Parameters
        ----------
        path : path-like
        mmap : bool
            Map rows, sketches and buckets instead of reading them: the index is there at once, read-only, and shares its memory with
            other processes. It can be pickled while the file is there: a pickle holds the path.
        verify : bool
            With mmap, whether to compute the checksums of arrays above 1 MB, which reads the file once. Without mmap they always are.

        Raises
        ------
        FormatError
            Not such a file, or damaged.
        """
        self = cls.__new__(cls)
        try:
            self._restore(storage.load(path, mmap, verify), os.path.abspath(path) if mmap else None)
        except FormatError:
            raise
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
            raise FormatError(f"{os.fspath(path)!r} does not hold a whole index: {error}") from error
        return self

    def _restore(self, state, mapped=None):
        """Take a state; `mapped` is the path of the file whose arrays it shares."""
        arguments, frozen = dict(state["arguments"]), mapped is not None
        LSHIndex.__init__(self, arguments.pop("metric"), arguments.pop("dim"), **arguments)
        self._ids = self._builder.ids = IdMap.from_state(state["ids"], frozen)
        self._builder.restore(state["builder"], frozen)
        self._read_only, self._mapped = frozen, mapped

    def __getstate__(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        if self._mapped is not None:
            return {"mapped": self._mapped}, {}
        with self._lock.reading():
            settings, arrays = split(self._state())
            return settings, {name: np.array(array) for name, array in arrays.items()}

    def __setstate__(self, state: tuple[dict[str, Any], dict[str, np.ndarray]]) -> None:
        path = state[0].get("mapped")
        if path is None:
            self._restore(join(*state))
        else:
            self._restore(storage.load(path, True), path)

    def __repr__(self) -> str:
        metric = self._builder.metric
        return (f"LSHIndex({metric if metric.config() else metric.name!r}, dim={self.dim}, K={self.K}, L={self.L}, probes={self.probes}, "
                f"rerank={self.rerank}, rows={len(self)})")
