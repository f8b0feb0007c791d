"""What asks the shards of an index, and makes one answer of theirs."""

from __future__ import annotations

from typing import Any

import numpy as np

from mongoose_nb.core.validation import check_int
from mongoose_nb.distributed.index_ids import SpreadIds
from mongoose_nb.distributed.index_shard import parts_of
from mongoose_nb.distributed.merging import merge_answers, merge_radius
from mongoose_nb.hashing.rows import is_sparse
from mongoose_nb.search.allowed import allowed_mask, filters
from mongoose_nb.search.names import Names
from mongoose_nb.search.radii import radii
from mongoose_nb.search.searching import check_places


class Searchable:
    """The part of `distributed.LSHIndex` that is asked; its shards are made there."""

    _shards: Any
    _empty: Any
    _lock: Any
    _known: SpreadIds
    _names: Names
    _n: int
    _replicas: int
    _rows: int
    _turn: int

    def _ask(self, method, calls):
        """Results of shards, each from one of its replicas, in turn."""
        none, self._turn = [None] * self._n, (self._turn + 1) % self._replicas
        lo = self._turn * self._n
        return self._shards.call_or_raise(method, none * self._turn + calls + none * (self._replicas - 1 - self._turn))[lo:lo + self._n]

    def _checked(self, X):
        """Rows in two dimensions, in the form in which all are kept, after the checks of the local index."""
        rows, batch = self._empty.builder.check(X)
        X = X.tocsr() if is_sparse(X) else np.atleast_2d(np.asarray(X))
        if is_sparse(X) != bool(rows.sparse):
            from scipy import sparse

            X = sparse.csr_matrix(X) if rows.sparse else X.toarray()
        return X, rows.count(batch)

    # --- what is in it ------------------------------------------------------------------------------------------------

    @property
    def metric(self) -> str:
        """Name of the metric."""
        return self._empty.metric

    @property
    def dim(self) -> int:
        """Columns of a row."""
        return self._empty.dim

    @property
    def ids(self) -> np.ndarray:
        """All ids, (n,) int64, ascending; those of rows with keys are numbers that the index counts up."""
        with self._lock:
            return self._known.present

    @property
    def keys(self) -> np.ndarray | None:
        """All keys, (n,) strings, in the order of `ids`; None where rows have no keys."""
        with self._lock:
            return self._names.outward(self._known.present) if self._names.keyed else None

    def __contains__(self, id: int | str) -> bool:
        with self._lock:
            return self._names.holds(self._known, id)

    def get(self, ids: Any) -> Any:
        """The rows of these ids or keys, as they are kept: dense or CSR.

        Parameters
        ----------
        ids : array_like of shape (m,), or strings where rows have keys

        Raises
        ------
        KeyError
            An id or key is not in the index.
        """
        with self._lock:
            ids = self._names.inward(ids)
            self._known.check_present(ids)
            parts = parts_of(ids, self._n)
            rows = [part for part in self._ask("rows", [(ids[at],) if len(at) else None for at in parts]) if part is not None]
            if not rows:
                return np.zeros((0, self.dim), np.float32)
            back = np.argsort(np.concatenate(parts), kind="stable")
            if is_sparse(rows[0]):
                from scipy import sparse

                return sparse.vstack(rows, format="csr")[back]
            return np.concatenate(rows)[back]

    def stats(self) -> list[dict]:
        """`LSHIndex.stats` of every shard, with its ``worker``; of replicas, too."""
        with self._lock:
            found = self._shards.call_or_raise("stats", [()] * self._shards.n)
            return [{**stats, "worker": worker} for stats, worker in zip(found, self._shards.workers, strict=True)]

    # --- searching ----------------------------------------------------------------------------------------------------

    def query(self, Q: Any, k: int = 10, *, probes: int | None = None, rerank: int | None = None, exact: bool = False,
              allowed: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest rows of each query.

        Parameters
        ----------
        Q : array_like or CSR matrix of shape (n, dim)
        k : int
        probes, rerank : int, optional
            In every shard.
        exact : bool
            Whether to look at every row.
        allowed : array_like of ids, mask or callable, or a list of n of these, optional
            Which rows may be answers, as for the local index. A function of ids is sent to the workers.

        Returns
        -------
        ids : ndarray of shape (n, k), int64, or strings where rows have keys
            Nearest first; -1 or None where there are fewer rows. Of equally near rows each shard proposes k, and the lower ids of these
            are taken. Those that a shard proposes were added first, or took the place of a row that was removed. So the answer is that
            of the local index for ids that the index counts up, while no row was removed; else others of equally near rows may be found.
        distances : ndarray of shape (n, k), float32
        """
        k = check_int("k", k, low=1)
        with self._lock:
            Q, n = self._checked(Q)
            check_places(n, k, self._rows)
            allowed = self._filters(allowed, n)
            options = {"probes": probes, "rerank": rerank, "exact": exact}

            def call(part, i):
                own = allowed[i]
                return Q[part], k, {**options, "allowed": own[part] if isinstance(own, list) else own}

            parts = self._divided("query", n, call)
            ids, distances = zip(*(merge_answers(part, k) for part in parts), strict=True)
            return self._names.outward(np.concatenate(ids)), np.concatenate(distances)

    def candidates(self, Q: Any, *, probes: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """All rows that share a probed bucket of their shard with a query, before any distance; as for the local index.

        Parameters
        ----------
        Q : array_like or CSR matrix of shape (n, dim)
        probes : int, optional
            In every shard.

        Returns
        -------
        indptr : ndarray of shape (n + 1,), int64
        ids : ndarray of shape (indptr[-1],), int64, or strings where rows have keys
            Of query i ``ids[indptr[i] : indptr[i + 1]]``, ascending.
        """
        with self._lock:
            Q, _ = self._checked(Q)
            found = self._ask("candidates", [(Q, probes)] * self._n)
            indptr, ids, _ = merge_radius([(bounds, ids, np.zeros(len(ids), np.float32)) for bounds, ids in found])
            return indptr, self._names.outward(ids)

    def radius(self, Q: Any, r: float | np.ndarray, *, probes: int | None = None,
               exact: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All rows found within a distance of a query.

        Parameters
        ----------
        Q : array_like or CSR matrix of shape (n, dim)
        r : float or array_like of shape (n,)
            As for the local index.
        probes, exact
            As in `query`.

        Returns
        -------
        indptr : ndarray of shape (n + 1,), int64
        ids : ndarray of shape (indptr[-1],), int64, or strings where rows have keys
            Of query i ``ids[indptr[i] : indptr[i + 1]]``, nearest first, of equally near rows the lower id.
        distances : ndarray of shape (indptr[-1],), float32
        """
        with self._lock:
            Q, n = self._checked(Q)
            r = radii(r, n, self._empty.builder.metric.signed)
            parts = self._divided("radius", n, lambda part, i: (Q[part], r[part], {"probes": probes, "exact": exact}))
            indptr, ids, distances = zip(*(merge_radius(part) for part in parts), strict=True)
            sizes = np.concatenate([np.diff(part) for part in indptr])
            return np.concatenate([[0], np.cumsum(sizes)]), self._names.outward(np.concatenate(ids)), np.concatenate(distances)

    def _divided(self, method, n, call):
        """Answers of all shards to each part of n queries, which the replicas share; ``call(part, i)`` gives the arguments of shard i."""
        bounds = [n * t // self._replicas for t in range(self._replicas + 1)]
        parts = [slice(lo, hi) for lo, hi in zip(bounds, bounds[1:], strict=False)]
        found = self._shards.call_or_raise(method, [call(part, i) for part in parts for i in range(self._n)])
        return [found[t * self._n:(t + 1) * self._n] for t in range(self._replicas)]

    def _filters(self, allowed, n):
        """A filter for each shard, or a list of filters of all queries for each shard; None for none."""
        if allowed is None:
            return [None] * self._n
        each = filters(allowed, n)
        given = [allowed] if each is None else each
        ids = self._known.present if any(map(self._needs_ids, given)) else np.zeros(0, np.int64)
        split = [self._filter(one, ids) for one in given]
        return [split[0][i] if each is None else [one[i] for one in split] for i in range(self._n)]

    def _needs_ids(self, one):
        """Whether it takes all ids to know which ones a filter allows: workers know no keys, and the ids of one shard."""
        return self._names.keyed if callable(one) else one is not None and np.asarray(one).dtype == bool

    def _filter(self, one, ids):
        """One filter as a filter for each shard: a function of ids, or the ids that are there."""
        if self._needs_ids(one):
            one = ids[allowed_mask(one, ids, self._names)]
        elif one is None or callable(one):
            return [one] * self._n
        else:
            one = self._names.present(np.asarray(one)).astype(np.int64)
        return [one[at] for at in parts_of(one, self._n)]
