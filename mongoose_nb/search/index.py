"""LSHIndex: approximate nearest neighbours and largest inner products, with rows that come, change and go."""

import math

import numpy as np

from mongoose_nb.core.validation import check_choice, check_int
from mongoose_nb.search import functions
from mongoose_nb.search.families import FAMILIES, make_family
from mongoose_nb.search.ids import IdMap, as_ids
from mongoose_nb.search.lock import ReadWriteLock
from mongoose_nb.search.rows import BitRows, DenseRows, SparseRows, is_sparse
from mongoose_nb.search.searcher import Searcher, default_threads, in_parts

METRICS = ("cosine", "l2", "ip", "jaccard", "hamming")


class LSHIndex:
    """Nearest neighbours by locality-sensitive hashing; distances are always smaller-is-closer.

    A query looks into ``probes`` buckets of each of L tables, compares the sketches (64 bytes) of what it finds, and computes exact
    distances of the best ``rerank * k``. A row is added, changed and removed in O(L).

    Parameters
    ----------
    metric : {"cosine", "l2", "ip", "jaccard", "hamming"}
        Distance: ``1 - cos``, the Euclidean distance (not squared), ``- q . x`` (the largest inner product has the least distance),
        1 - intersection / union of the columns that are not zero, and the number of differing bits.
    dim : int
        Columns of a row.
    K : int, optional
        Hashes per table. None: by the number of rows, and again whenever that has grown fourfold.
    L : int, optional
        Tables; 8, or 24 for jaccard and hamming.
    probes : int, optional
        Buckets per table; 8 where the family can, else 1.
    rerank : int or None
        Exact distances per query and neighbour wanted, chosen by sketches. None: of all candidates.
    capacity : int, optional
        Most rows in a bucket; None: no bound.
    policy : {"fifo", "reservoir"}
        What a full bucket keeps: the newest, or a uniform sample of all that came. With a capacity this bounds the work of a query
        whatever the data, and an unbounded stream keeps finding what is new (fifo) or what is typical (reservoir).
    family : str or callable, optional
        Hash family by name, or a function of (dim, K, L, seed) that makes one. By default "simhash"; "minhash" for jaccard,
        "bitsampling" for hamming.
    max_candidates : int, optional
        Where a query finds more, those with the fewest votes (buckets in which they stand) go first.
    exact_fallback : bool
        Answer exactly where fewer than k are found.
    train_size : int
        Fewer rows are searched exactly; with so many, functions and tables are made.
    n_threads : int, optional
        Threads for many queries at once; Numba's number by default. Results do not depend on it.
    seed : int
        Of the hash functions and the reservoir.

    Notes
    -----
    Input is dense or, for cosine, ip and jaccard, SciPy CSR; the first rows decide in which form all are kept. Vectors of ``cosine``
    are kept at length one.

    Functions are learnt from the rows: main axes of a sample, their mean, and signs of random directions among the axes
    (`Projection`). They are learnt anew when the rows have grown fourfold, as long as K is automatic or fewer than 16,384 rows were
    seen; all together that costs an addition O(1) builds. `rebuild` does it at will, for instance when data drift. Queries that are not
    like rows, as activations are not like output weights, need functions trained on queries: `tune` does it, given some.

    Any number of threads may search; a change waits for them and they for it. Searches run in serial kernels that release the
    interpreter lock, so they are safe under each of Numba's threading layers; families other than SimHash hash one call at a time.

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

    def __init__(self, metric, dim, *, K=None, L=None, probes=None, rerank=4, capacity=None, policy="fifo", family=None,
                 max_candidates=None, exact_fallback=False, train_size=1024, n_threads=None, seed=0):
        self.metric = check_choice("metric", metric, METRICS)
        self.dim = check_int("dim", dim, low=1, high=2**31 - 1)
        self.family = FAMILIES[metric] if family is None else family
        if not callable(self.family):
            make_family(self.family, self.metric)
        self.K = None if K is None else check_int("K", K, low=1, high=256)
        self.L = (24 if metric in ("jaccard", "hamming") else 8) if L is None else check_int("L", L, low=1)
        self.probes = None if probes is None else check_int("probes", probes, low=1)
        self.rerank = None if rerank is None else check_int("rerank", rerank, low=1)
        self.capacity = None if capacity is None else check_int("capacity", capacity, low=1)
        self.policy = check_choice("policy", policy, ("fifo", "reservoir"))
        self.max_candidates = None if max_candidates is None else check_int("max_candidates", max_candidates, low=1)
        self.exact_fallback = bool(exact_fallback)
        self.train_size = check_int("train_size", train_size, low=2)
        self.n_threads = None if n_threads is None else check_int("n_threads", n_threads, low=1)
        self.seed = check_int("seed", seed, low=0, high=2**64 - 1)
        self._start()

    def _start(self):
        """An index without rows."""
        self._lock = ReadWriteLock()
        self._tuned = None  # (rows, projection, family) that `tune` measured: what it promised holds for these functions
        self._rows = None  # DenseRows, SparseRows or BitRows, from the first rows on
        self._map = IdMap()
        self._read_only = False
        self._drop_tables()

    def _drop_tables(self):
        self._projection = self._sketches = self._tables = self._searcher = None
        self._trained = 0  # rows that functions were chosen for
        self._long = 0  # rows added since that are longer than inner products were prepared for

    # --- what is in it ------------------------------------------------------------------------------------------------

    def __len__(self):
        return len(self._map)

    def __contains__(self, id):
        with self._lock.reading():
            return id in self._map

    @property
    def ids(self):
        """All ids, (n,) int64, ascending."""
        with self._lock.reading():
            return np.sort(self._map.ids[:self._map.used][self._map.live[:self._map.used] == 1])

    @property
    def nbytes(self):
        """Bytes of all arrays."""
        with self._lock.reading():
            parts = [self._map.ids.nbytes + self._map.live.nbytes]
            parts += [part.nbytes for part in (self._rows, self._projection, self._sketches) if part is not None]
            if self._tables is not None:
                parts += [self._tables.nbytes, getattr(self._tables.family, "functions", np.zeros(0)).nbytes]
            return sum(parts)

    def get(self, ids):
        """The rows of these ids, as they are kept: dense, CSR, or booleans; for cosine at length one.

        Raises
        ------
        KeyError
            An id that is not there.
        """
        with self._lock.reading():
            slots = self._map.slots(as_ids(ids))
            return self._rows.matrix(self._rows.take(slots))

    # --- changing -----------------------------------------------------------------------------------------------------

    def _writable(self):
        if self._read_only:
            raise ValueError("this index is mapped read-only; load it with mmap=False to change it")

    def _check(self, X):
        if self._rows is not None:
            return self._rows.check(X)
        if self.metric == "hamming":
            kind = BitRows
        elif self.metric == "jaccard" or (is_sparse(X) and self.metric != "l2"):
            kind = SparseRows
        elif is_sparse(X):
            raise TypeError("metric 'l2' takes dense rows; pass X.toarray(), or use metric 'cosine' or 'ip' for sparse ones")
        else:
            kind = DenseRows
        rows = kind(self.dim, self.metric)
        batch = rows.check(X)
        self._rows = rows
        return batch

    def add(self, X, ids=None):
        """Add rows.

        Parameters
        ----------
        X : (m, dim) or (dim,)
            Dense, or CSR for cosine, ip and jaccard.
        ids : (m,) integers, optional
            Any int64 that are not in the index. By default those that follow the largest that ever was.

        Returns
        -------
        ids : (m,) int64

        Raises
        ------
        ValueError, TypeError
            Wrong shapes, values or ids. The index is unchanged.
        """
        self._writable()
        with self._lock.writing():
            fresh = self._rows is None
            batch = self._check(X)
            m = self._rows.count(batch)
            try:
                if ids is None:
                    ids = self._map.fresh(m)
                else:
                    ids = as_ids(ids)
                    if len(ids) != m:
                        raise ValueError(f"{len(ids)} ids came with {m} rows; give one id for each row")
                    self._map.check_new(ids)
            except (ValueError, TypeError):
                self._rows = None if fresh else self._rows
                raise
            slots = self._map.add(ids)
            self._rows.put(slots, batch, self._map.used)
            functions.insert_rows(self, slots, batch)
            self._searcher = None
            return ids

    def remove(self, ids):
        """Remove rows; O(L) a row.

        Raises
        ------
        KeyError
            An id that is not there. The index is unchanged.
        """
        self._writable()
        ids = as_ids(ids)
        with self._lock.writing():
            slots = self._map.slots(ids)
            if self._tables is not None:
                self._tables.remove(slots)
            self._map.remove(ids)
            self._searcher = None

    def update(self, ids, X):
        """Replace the rows of these ids by others; O(L) a row.

        Raises
        ------
        KeyError, ValueError, TypeError
            An id that is not there; wrong shapes or values. The index is unchanged.
        """
        self._writable()
        ids = as_ids(ids)
        with self._lock.writing():
            slots = self._map.slots(ids)
            batch = self._check(X)
            if self._rows.count(batch) != len(ids):
                raise ValueError(f"{len(ids)} ids came with {self._rows.count(batch)} rows; give one row for each id")
            self._rows.put(slots, batch, self._map.used)
            if self._tables is not None:
                functions.place_rows(self, slots, batch, "move")
            self._searcher = None

    def rebuild(self, *, seed=None):
        """Learn the functions from the present rows and hash all of them anew.

        Parameters
        ----------
        seed : int, optional
            Of the new functions; the old one by default.

        Returns
        -------
        self
        """
        self._writable()
        with self._lock.writing():
            if seed is not None:
                self.seed = check_int("seed", seed, low=0, high=2**64 - 1)
            self._tuned = None
            self._reload()
        return self

    def _reload(self):
        """Make the tables anew, as far as there are rows enough."""
        self._drop_tables()
        if len(self) >= self.train_size:
            functions.train(self)

    # --- searching ----------------------------------------------------------------------------------------------------

    def _ready(self):
        """The searcher of the present rows."""
        searcher = self._searcher
        if searcher is None:
            views = None
            if self._tables is not None:
                views = self._tables.flat_views()
            used = self._map.used
            searcher = Searcher(self._rows, self._map.live[:used], views, self._projection,
                                None if self._sketches is None else self._sketches[:used])
            self._searcher = searcher
        return searcher

    def _queries(self, Q):
        """Checked queries, or None and their number where there are no rows yet."""
        if self._rows is not None:
            batch = self._rows.check(Q)
            return batch, self._rows.count(batch)
        probe = LSHIndex(self.metric, self.dim)
        batch = probe._check(Q)
        return None, probe._rows.count(batch)

    def query(self, Q, k=10, *, probes=None, rerank=None, exact=False, n_threads=None):
        """The k nearest rows of each query.

        Parameters
        ----------
        Q : (n, dim) or (dim,)
            Queries, dense or CSR.
        k : int
        probes, rerank : int, optional
            Other values than those of the index, for these queries. More probes than a table has buckets mean all.
        exact : bool
            Look at every row: what the approximation is measured against.
        n_threads : int, optional

        Returns
        -------
        ids : (n, k) int64
            Nearest first; of equally near ones the row that was added first. Where fewer were found, -1.
        distances : (n, k) float32
            Infinite where nothing was found.
        """
        k = check_int("k", k, low=1)
        lock = self._lock
        lock.enter()
        try:
            batch, n = self._queries(Q)
            if batch is None or not len(self._map):
                return np.full((n, k), -1, np.int64), np.full((n, k), np.inf, np.float32)
            searcher = self._ready()
            settings = self._effective(k, probes, rerank, exact)
            threads = n if n < 2 else (n_threads or self.n_threads or default_threads())
            if threads < 2:
                slots, distances, _ = self._search(searcher, batch, k, *settings)
            else:
                slots, distances = np.empty((n, k), np.int32), np.empty((n, k), np.float32)

                def work(lo, hi):
                    slots[lo:hi], distances[lo:hi], _ = self._search(searcher, self._rows.part(batch, lo, hi), k, *settings)

                in_parts(n, threads, work)
            ids = self._map.ids[slots]  # slot -1 reads the last id: put right below
            if k > 1 or slots[:, -1].min(initial=0) < 0:
                ids[slots < 0] = -1
            if self.metric == "l2":
                np.sqrt(distances, out=distances)
            return ids, distances
        finally:
            lock.leave()

    def _effective(self, k, probes, rerank, exact):
        """(probes or None for everything, budget, refine) of a call."""
        if exact or self._tables is None:
            return None, 1, 1
        probes = self._probes if probes is None else min(check_int("probes", probes, low=1), self._most_probes)
        rerank = self.rerank if rerank is None else check_int("rerank", rerank, low=1)
        return probes, self.max_candidates or 2**31 - 1, 2**31 - 1 if rerank is None else rerank * k

    def _search(self, searcher, batch, k, probes, budget, refine):
        """Slots, distances and counts of a batch."""
        if probes is None:
            return searcher.exact(batch, k)
        Y, rest = functions.project(self, batch, queries=True)
        codes = functions.codes_of(self, batch, Y, probes)
        out = searcher.search(batch, codes, Y, rest, k, budget=budget, refine=max(refine, k))
        if self.exact_fallback and len(self) > 0:
            few = np.flatnonzero((out[0] >= 0).sum(axis=1) < min(k, len(self)))
            for i in few.tolist():
                full = searcher.search(self._rows.part(batch, i, i + 1), None, None, None, k, budget=1, refine=1)
                for old, new in zip(out, full):
                    old[i] = new[0]
        return out

    def candidates(self, Q, *, probes=None):
        """All rows that share a probed bucket with a query, before any distance.

        Parameters
        ----------
        Q : (n, dim)
        probes : int, optional

        Returns
        -------
        indptr : (n + 1,) int64
        ids : (indptr[-1],) int64
            Of query i ``ids[indptr[i] : indptr[i + 1]]``, ascending.
        """
        with self._lock.reading():
            batch, n = self._queries(Q)
            if batch is None:
                return np.zeros(n + 1, np.int64), np.zeros(0, np.int64)
            indptr, slots = self._collect(batch, n, probes)
            ids = self._map.ids[slots]
            query = np.repeat(np.arange(n), np.diff(indptr))
            return indptr, ids[np.lexsort((ids, query))]

    def _collect(self, batch, n, probes=None, exact=False):
        probes = self._effective(1, probes, None, exact)[0]
        codes = None if probes is None else functions.codes_of(self, batch, functions.project(self, batch, queries=True)[0], probes)
        return self._ready().candidates(n, codes)

    def radius(self, Q, r, *, probes=None, exact=False):
        """All rows found within a distance of a query.

        Parameters
        ----------
        Q : (n, dim)
        r : float
            Greatest distance, in the terms of the metric.
        probes, exact
            As in `query`.

        Returns
        -------
        indptr : (n + 1,) int64
        ids : (indptr[-1],) int64
            Of query i ``ids[indptr[i] : indptr[i + 1]]``, nearest first.
        distances : (indptr[-1],) float32
        """
        with self._lock.reading():
            batch, n = self._queries(Q)
            parts, sizes = [], np.zeros(n, np.int64)
            step = max(1, (1 << 22) // max(1, len(self)))  # so many queries may have all rows as candidates
            for lo in range(0, n, step) if batch is not None else ():
                part = self._rows.part(batch, lo, min(n, lo + step))
                indptr, slots = self._collect(part, min(n, lo + step) - lo, probes, exact)
                distances = self._ready().measure(part, indptr, slots)
                if self.metric == "l2":
                    distances = np.sqrt(distances)
                query = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
                near = distances <= r
                query, slots, distances = query[near], slots[near], distances[near]
                order = np.lexsort((slots, distances, query))
                parts.append((self._map.ids[slots[order]], distances[order]))
                sizes[lo:lo + step] = np.bincount(query, minlength=len(indptr) - 1)
            ids = np.concatenate([p[0] for p in parts]) if parts else np.zeros(0, np.int64)
            distances = np.concatenate([p[1] for p in parts]) if parts else np.zeros(0, np.float32)
            return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64), ids, distances

    # --- measures -----------------------------------------------------------------------------------------------------

    def stats(self):
        """What the index is and how full its buckets are.

        Returns
        -------
        dict
            rows, metric, dim, kind, K, L, probes, trained (rows at the last build), nbytes, and ``buckets``
            (`BucketStore.stats`), None before there are tables.
        """
        with self._lock.reading():
            family = None if self._tables is None else self._tables.family
            return {"rows": len(self), "metric": self.metric, "dim": self.dim, "kind": None if self._rows is None else self._rows.kind,
                    "family": None if family is None else type(family).__name__, "K": self.K if family is None else family.K,
                    "L": self.L, "probes": self.probes if family is None else self._probes, "rerank": self.rerank,
                    "trained": self._trained, "nbytes": self.nbytes, "buckets": None if family is None else self._tables.stats()}

    def memory_usage(self, n, *, stored=None):
        """Bytes that this index takes at most with n rows, before any is added.

        Parameters
        ----------
        n : int
        stored : float, optional
            Mean number of stored columns of a sparse row; without it rows count as dense.

        Returns
        -------
        int
            Of the arrays. A dict from ids to slots, made at the first removal, update or addition with ids of your own, takes about
            100 bytes a row besides.
        """
        from mongoose_nb.search.families import memory

        n = check_int("n", n, low=0)
        sparse = stored is not None or self.metric == "jaccard"
        rows = SparseRows if sparse else BitRows if self.metric == "hamming" else DenseRows
        row = rows(self.dim, self.metric).row_bytes(stored if stored is not None else self.dim if sparse else None)
        slots = n + n // 4 + 32
        return math.ceil(slots * (row + 9)) + memory(self, n, slots)

    def tune(self, X, **options):
        """Choose K, L, probes and rerank for rows like X; see `mongoose_nb.search.tune.tune`."""
        from mongoose_nb.search.tune import tune

        return tune(self, X, **options)

    # --- saving -------------------------------------------------------------------------------------------------------

    def save(self, path):
        """Write the index to one file, replacing it as a whole; nothing is pickled."""
        from mongoose_nb.search.storage import save

        save(self, path)

    @classmethod
    def load(cls, path, *, mmap=False):
        """Read what `save` wrote.

        Parameters
        ----------
        path : path-like
        mmap : bool
            Map rows, sketches and buckets instead of reading them: the index is there at once, read-only, and shares its memory with
            other processes.
        """
        from mongoose_nb.search.storage import load

        return load(cls, path, mmap)

    def __getstate__(self):
        from mongoose_nb.search.storage import state

        with self._lock.reading():
            return state(self, copy=True)

    def __setstate__(self, state):
        from mongoose_nb.search.storage import restore

        restore(self, *state)

    def __repr__(self):
        return (f"LSHIndex({self.metric!r}, dim={self.dim}, K={self.K}, L={self.L}, probes={self.probes}, rerank={self.rerank}, "
                f"rows={len(self)})")
