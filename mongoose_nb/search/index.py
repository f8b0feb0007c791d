"""LSHIndex: approximate nearest-neighbour and inner-product search with insertions, updates and deletions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mongoose_nb.core.registry import make, parameters
from mongoose_nb.core.validation import check_choice, check_int
from mongoose_nb.search.builder import Builder
from mongoose_nb.search.ids import IdMap, check_one_each
from mongoose_nb.search.lock import ReadWriteLock
from mongoose_nb.search.metrics import Metric
from mongoose_nb.search.names import Names, keyed_names, merged_names
from mongoose_nb.search.saved import SavedIndex

if TYPE_CHECKING:
    import scipy.sparse

    from mongoose_nb.search.tune import Tuned

    Rows = np.ndarray | scipy.sparse.csr_matrix


class LSHIndex(SavedIndex):
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
    storage : {"float16", "int8"}, optional
        In what dense vectors are kept, instead of float32: half or a quarter of the bytes, with a scale for each row under int8 and under
        cosine. Rows and queries are rounded to it, and distances are exact between what is kept. Under l2 and ip the mean of the rows that
        came first is kept at full precision where rows are far from zero. A warning says when rounding is large beside the spread of the
        rows.
    entries : int, optional
        Entries of buckets that are enough for a query. It reads the first probe of every table, then the second, and stops when the buckets
        that it has read hold so many, or after ``probes``, which is then 64 by default. So queries among few rows read more buckets, and
        queries in a crowd fewer, which helps most the queries that find least.

    Notes
    -----
    Rows are dense or, for cosine, ip and jaccard, SciPy CSR. The first rows decide in which form all are kept. Under ``cosine`` they are
    kept at length one, in float32: cosine distances below 1e-13 are rounding. Where all rows point in almost the same direction, as rows
    far from zero do, subtract their mean from rows and queries.

    Functions are learned from the rows: main axes of a sample, their mean, and signs of random directions among the axes (`Projection`).
    They are learned again when the rows have grown fourfold, as long as K is automatic or fewer than 16,384 rows were seen; when so many
    were removed that tables are too fine; and when rows drift: when they are beyond the range of the sketches or longer than the longest
    row that was known, or when a sample of them (looked at after each eighth of the rows has changed) has another mean, spread, direction
    or length, or crowds in few buckets. At most, functions are learned once in advance and then once for an eighth of the rows that change,
    or a 32nd if these are beyond the range, so that in all a change costs O(1) builds; ``stats()["drift"]`` tells how often and why.
    `rebuild` does it at any time. Queries that are not like rows, as activations are not like output weights, need functions that are
    trained on queries: `tune` trains them, given some.

    Exact distances of all candidates are computed for a query beyond the range of the sketches, where these tell rows apart no more: so
    rows that drift are found until functions are learned again.

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
                 exact_fallback: bool = False, train_size: int = 1024, n_threads: int | None = None, seed: int = 0,
                 storage: str | None = None, entries: int | None = None) -> None:
        def count(name, value):
            return None if value is None else check_int(name, value, low=1, high=2**62)  # what kernels take

        self.probes, self.rerank = count("probes", probes), count("rerank", rerank)
        self.max_candidates, self.n_threads = count("max_candidates", max_candidates), count("n_threads", n_threads)
        self.entries = count("entries", entries)
        self.exact_fallback = bool(exact_fallback)
        self._lock = ReadWriteLock()
        self._read_only, self._mapped = False, None
        self._ids, self._names = IdMap(), Names()
        self._builder = Builder(
            make("search metric", metric), check_int("dim", dim, low=1, high=2**31 - 1), self._ids, family=family,
            K=None if K is None else check_int("K", K, low=1, high=256), L=count("L", L), capacity=count("capacity", capacity),
            policy=check_choice("policy", policy, ("fifo", "reservoir")), train_size=check_int("train_size", train_size, low=2),
            seed=check_int("seed", seed, low=0, high=2**64 - 1), storage=storage)

    def _arguments(self):
        return {name: getattr(self, name) for name in parameters(LSHIndex)}

    def _start(self, arguments):
        LSHIndex.__init__(self, **arguments)

    def __repr__(self) -> str:
        metric = self._builder.metric
        return (f"LSHIndex({metric if metric.config() else metric.name!r}, dim={self.dim}, K={self.K}, L={self.L}, probes={self.probes}, "
                f"rerank={self.rerank}, rows={len(self)})")

    # --- changing -----------------------------------------------------------------------------------------------------

    def _writable(self):
        if self._read_only:
            raise ValueError("this index is mapped read-only; load it with mmap=False to change it")

    def add(self, X: Rows, ids: np.ndarray | None = None, *, keys: Sequence[str] | np.ndarray | str | None = None,
            any_id: bool = False) -> np.ndarray:
        """Add rows.

        Parameters
        ----------
        X : array_like or CSR matrix of shape (m, dim), or array_like of shape (dim,)
            CSR for cosine, ip and jaccard.
        ids : array_like of shape (m,), integers, optional
            Any int64 but -1 that are not in the index. By default those that follow the largest that ever was.
        keys : sequence of m strings, optional
            What the rows are called instead of ids, in all other methods and in answers. Either all rows of an index have keys or none.
        any_id : bool
            Whether -1 is an id too. In answers, a finite distance tells it from a place without a row.

        Returns
        -------
        ids : ndarray of shape (m,), int64, or strings where rows have keys

        Raises
        ------
        ValueError, TypeError
            Wrong shapes, values, ids or keys. The index is unchanged.
        """
        self._writable()
        with self._lock.writing():
            rows, batch = self._builder.arrive(X)
            names = self._names if keys is None else keyed_names(self._names, len(self._ids))
            ids = names.new(self._ids, rows.count(batch), ids, keys, any_id)
            return self._added(ids, names, keys, rows, batch)

    def _added(self, ids, names, keys, rows, batch):
        ids = names.take(ids, keys, lambda: self._builder.add(ids, rows, batch))
        self._names = names
        return ids

    def merge(self, other: LSHIndex, *, renumber: bool = False) -> np.ndarray:
        """Add all rows of another index of the same metric and width, which stays as it is.

        Parameters
        ----------
        other : LSHIndex
            Its settings do not matter. It may be mapped.
        renumber : bool
            Whether its rows get new ids, those that follow the largest of this index; else they keep theirs. Keys are kept always.

        Returns
        -------
        ids : ndarray of shape (len(other),), int64, or strings where rows have keys
            The ids or keys here, in the order of ``other.ids``.

        Raises
        ------
        TypeError, ValueError
            Not another index; it differs in metric, width or form of rows, has ids or keys of this one, or keys where this one has ids.
            This index is unchanged.
        """
        self._writable()
        if not isinstance(other, LSHIndex) or other is self:
            raise TypeError(f"merge takes another LSHIndex; got {other!r}")
        ids, theirs, batch = other.named_contents()
        with self._lock.writing():
            rows = self._builder.like_rows(other.builder) if len(ids) else None
            names, ids, keys = merged_names(self._names, self._ids, len(self._ids), ids, theirs, renumber)
            return ids if rows is None else self._added(ids, names, keys, rows, rows.taken_over(batch))

    def remove(self, ids: np.ndarray | Sequence[int | str] | str) -> None:
        """Remove the rows of these ids or keys; O(L) a row.

        Raises
        ------
        KeyError
            An id or key is not in the index. The index is unchanged.
        """
        self._writable()
        with self._lock.writing():
            ids = self._names.inward(ids)
            self._builder.remove(self._ids.slots(ids))
            self._names.forget(ids)

    def update(self, ids: np.ndarray | Sequence[int | str] | str, X: Rows) -> None:
        """Replace the rows of these ids or keys by others; O(L) a row.

        Raises
        ------
        KeyError, ValueError, TypeError
            An id or key is not in the index; wrong shapes or values. The index is unchanged.
        """
        self._writable()
        with self._lock.writing():
            ids = self._names.inward(ids)
            slots = self._ids.slots(ids)
            rows, batch = self._builder.arrive(X)
            check_one_each(ids, rows.count(batch))
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

        `entries` is set to None: it would be a second way to choose probes, whose gain is by query and not by setting. Where the tenth of
        the queries that find least matters, give `worst_tenth`; or set ``index.entries`` afterwards and measure recall yourself.

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
            self.probes, self.rerank, self.entries = tuned.probes, tuned.rerank, None
        return tuned
